"""A gateway on a real socket in this event loop, and a plain WebSocket client of its live sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from loopmeter import ChunkReceived, decode_chunk_record
from loopmeter_engine.contract import Engine

from .conftest import PATIENCE_S, Client, House

PROMPTS = [{"text": "dusty drums"}]


@asynccontextmanager
async def listening(house: House, engine: Engine | None = None, **settings: Any) -> AsyncIterator[tuple[Client, str]]:
    """The gateway, and the address of its live sessions."""
    async with house.open(engine, **settings) as client:
        config = uvicorn.Config(
            client.app, port=0, lifespan="off", ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        listener = config.bind_socket()
        listener.listen()
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield client, f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/live"
        finally:
            server.should_exit = True
            await serving


class Peer:
    """One connection. ``seen`` are the text messages so far, ``chunks`` the chunks."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.seen: list[dict[str, Any]] = []
        self.chunks: list[ChunkReceived] = []
        self.started: dict[str, Any] = {}

    async def send(self, type_: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"type": type_, **fields}))

    async def receive(self) -> dict[str, Any] | ChunkReceived:
        data = await asyncio.wait_for(self._socket.recv(), PATIENCE_S)
        if isinstance(data, bytes):
            chunk = decode_chunk_record(data, self.started["channels"], self.started["bits"])
            self.chunks.append(chunk)
            return chunk
        message: dict[str, Any] = json.loads(data)
        self.seen.append(message)
        if message["type"] == "started":
            self.started = message
        return message

    async def until(self, type_: str) -> dict[str, Any]:
        """The next text message of a type; everything before it is kept in ``seen`` and ``chunks``."""
        while True:
            message = await self.receive()
            if isinstance(message, dict) and message["type"] == type_:
                return message

    async def take(self, chunks: int) -> list[ChunkReceived]:
        """The next chunks."""
        first = len(self.chunks)
        while len(self.chunks) < first + chunks:
            await self.receive()
        return self.chunks[first:]

    async def closed(self) -> int:
        """How the gateway closed the connection."""
        await asyncio.wait_for(self._socket.wait_closed(), PATIENCE_S)
        assert self._socket.close_code is not None
        return self._socket.close_code

    def cut(self) -> None:
        """Drop the connection without a word."""
        self._socket.transport.abort()


@asynccontextmanager
async def peer(url: str, key: str) -> AsyncIterator[Peer]:
    headers = {"Authorization": f"Bearer {key}"}
    async with connect(url, additional_headers=headers, compression=None, proxy=None) as socket:
        yield Peer(socket)


@asynccontextmanager
async def playing(url: str, key: str, **fields: Any) -> AsyncIterator[Peer]:
    """A connection that has started a session."""
    async with peer(url, key) as found:
        await found.send("start", **{"session": "s-1", "prompts": PROMPTS, "tempo_bpm": 120, **fields})
        await found.until("started")
        yield found
