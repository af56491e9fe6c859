"""A client on a UDP socket that keeps what it hears, and a bridge to talk to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from pathlib import Path

from tests.integrations.scripted_gateway import ScriptedGateway

from loopmeter import AsyncLoopmeter
from loopmeter_integrations.osc import BridgeSettings, serve_osc
from loopmeter_integrations.osc._codec import Message, decode_datagram, encode_message

REPLY_S_MAX = 20.0
TEST_S_MAX = 100.0


def asynchronous(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own, with an end to its time.

    The signal behind pytest's own limit may be raised in any task of a busy loop, which keeps it to itself.
    """

    @wraps(test)
    def run(**fixtures: object) -> None:
        limit_s = None if any(mark.name == "soak" for mark in getattr(run, "pytestmark", ())) else TEST_S_MAX

        async def limited() -> None:
            async with asyncio.timeout(limit_s):
                await test(**fixtures)

        asyncio.run(limited())

    return run


class Clock:
    """Real seconds, but waiting takes none: retries follow at once."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Peer(asyncio.DatagramProtocol):
    """``ask`` sends, ``heard`` gives the next answer as ``(address, *arguments)``."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[Message] = asyncio.Queue()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        (message,) = decode_datagram(data)
        assert isinstance(message, Message)
        self._heard.put_nowait(message)

    def send(self, datagram: bytes) -> None:
        self._transport.sendto(datagram)

    def ask(self, address: str, *arguments: str | int | float) -> None:
        types = "".join("s" if isinstance(a, str) else "i" if isinstance(a, int) else "f" for a in arguments)
        self.send(encode_message(address, types, arguments))

    def ask_loop(self, own_id: str = "a", prompt: str = "drums", bars: int = 1, *options: str | int | float) -> None:
        self.ask("/loopmeter/loop", own_id, prompt, 120.0, bars, "Am", "standard", *options)

    async def heard(self) -> tuple[object, ...]:
        message = await asyncio.wait_for(self._heard.get(), REPLY_S_MAX)
        return (message.address, *message.arguments)

    async def heard_until(self, address: str) -> list[tuple[object, ...]]:
        answers = [await self.heard()]
        while answers[-1][0] != address:
            assert answers[-1][0] != "/loopmeter/error", answers
            answers.append(await self.heard())
        return answers


@contextlib.asynccontextmanager
async def peer_of(endpoint: tuple[str, int]) -> AsyncIterator[Peer]:
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(Peer, remote_addr=endpoint)
    try:
        yield peer
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def bridge_and_peer(
    out: Path, gateway: ScriptedGateway | None = None, settings: BridgeSettings | None = None
) -> AsyncIterator[tuple[tuple[str, int], Peer, ScriptedGateway]]:
    """A bridge over a scripted gateway, its endpoint, and one client of it."""
    scripted = gateway or ScriptedGateway()
    async with (
        AsyncLoopmeter("http://scripted", "lm_test", transport=scripted, clock=Clock()) as client,
        serve_osc(client, ("127.0.0.1", 0), out, settings) as endpoint,
        peer_of(endpoint) as peer,
    ):
        yield endpoint, peer, scripted
