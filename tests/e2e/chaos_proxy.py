"""A proxy on loopback that ill-treats what passes: every kind of accident between a client and a gateway, from a seed.

One request per connection. Faults: the request is dropped, before or after it has arrived; it arrives twice; it is
answered 500, 502 or 503; the answer is late; its connection is reset or closed in the middle; a piece of its body
comes twice; a bit of a chunk stream is flipped. Head and body of an answer are told apart, so that no fault can turn
one JSON number into another, which no client could notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine

FAULTS = (
    "drop",
    "lose",
    "arrive twice",
    "refuse",
    "refuse after",
    "delay",
    "reset",
    "truncate",
    "repeat a piece",
    "flip a bit",
)
BLOCK_BYTES = 65_536


class ChaosProxy:
    """Listens at ``url``, sends on to ``port``. ``faults`` counts what it did."""

    def __init__(self, port: int, seed: int, rate: float) -> None:
        self._port = port
        self._dice = random.Random(seed)
        self._rate = rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.faults: Counter[str] = Counter()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ChaosProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                for writer in self._writers:  # Work that was cancelled, perhaps before it began, left them open.
                    writer.transport.abort()
                await asyncio.sleep(0)  # The loop closes them in its next turn.

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._keep(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await _request(reader)
            fault = self._dice.choice(FAULTS) if self._dice.random() < self._rate else "none"
            if fault == "flip a bit" and b"vnd.loopmeter.chunks" not in request:
                fault = "none"
            self.faults[fault] += 1
            await self._treat(fault, request, writer)
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _treat(self, fault: str, request: bytes, writer: asyncio.StreamWriter) -> None:
        match fault:
            case "drop":
                return
            case "refuse":
                await self._refuse(writer)
                return
            case "delay":
                await asyncio.sleep(self._dice.uniform(0.005, 0.05))
            case "arrive twice":
                self._keep(self._swallow(request))
        upstream, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.add(upstream_writer)
        try:
            upstream_writer.write(request)
            head = await upstream.readuntil(b"\r\n\r\n")
            if fault == "refuse after":
                await self._refuse(writer)
            elif fault != "lose":
                await self._relay(fault, head, upstream, writer)
        finally:
            upstream_writer.close()
            with contextlib.suppress(ConnectionError):
                await upstream_writer.wait_closed()

    async def _relay(
        self, fault: str, head: bytes, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send the answer, with one accident in its body at a place drawn over many sizes."""
        place = int(10 ** self._dice.uniform(0, 6)) if fault in FAULTS[6:] else -1
        writer.write(head)
        seen = 0
        while block := await upstream.read(BLOCK_BYTES):
            if not seen <= place < seen + len(block):
                seen += len(block)
                writer.write(block)
                await writer.drain()
                continue
            inside = place - seen
            seen += len(block)
            match fault:
                case "reset":
                    writer.write(block[:inside])
                    await writer.drain()
                    writer.transport.abort()
                    return
                case "truncate":
                    writer.write(block[:inside])
                    await writer.drain()
                    return
                case "repeat a piece":
                    size = self._dice.randint(1, max(1, inside))
                    writer.write(block[:inside] + block[max(0, inside - size) : inside] + block[inside:])
                case "flip a bit":
                    flipped = block[inside] ^ 1 << self._dice.randrange(8)
                    writer.write(block[:inside] + bytes([flipped]) + block[inside + 1 :])

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        status = self._dice.choice((b"500 Broken", b"502 Bad Gateway", b"503 Busy"))
        writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 4\r\n\r\noops")
        await writer.drain()

    async def _swallow(self, request: bytes) -> None:
        """The same request once more; its answer goes nowhere, after a while."""
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(writer)
            writer.write(request)
            await reader.read(1024)
            writer.close()
            await writer.wait_closed()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A whole request, asking for an answer that ends with its connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines[1:]}
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""]) + body
