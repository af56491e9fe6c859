"""The bridge's way to a gateway on its own machine, beside httpx and against servers that break off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.integrations.osc_peer import asynchronous

from loopmeter import (
    AsyncLoopmeter,
    ConnectionFailed,
    HttpRequest,
    InsufficientTokens,
    LoopmeterError,
    NotFound,
    Timeout,
)
from loopmeter.testing import FakeGateway
from loopmeter_integrations.osc._nearby import CONNECTIONS_MAX, IDLE_MAX, NearbyTransport, is_nearby

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUESTION = HttpRequest("GET", "/v1/balance", {"Accept": "application/json"})
ORDER = HttpRequest("POST", "/v1/loops", {"Idempotency-Key": "mine"}, b"{}")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request by ``serve``; ``connections`` counts who came."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.heads: list[bytes] = []
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await self._serve(reader, writer)
        self.left.set()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(serve: Serve, limits: Timeout | None = None) -> AsyncIterator[tuple[NearbyTransport, Server]]:
    server = Server(serve)
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    transport = NearbyTransport(f"http://127.0.0.1:{port}/under", "lm_test", limits or Timeout())
    try:
        yield transport, server
    finally:
        await transport.aclose()
        listener.close()
        await server.aclose()


def saying(*answers: bytes) -> Serve:
    """Say these answers in turn, the last one for ever, and close the connection after one that says so."""
    left = list(answers)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer)
        if b"Connection: close" in answer:
            raise ConnectionError

    return serve


async def whole(transport: NearbyTransport, request: HttpRequest = QUESTION) -> bytes:
    answer = await transport.send(request)
    try:
        pieces = []
        while piece := await answer.read():
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        await answer.aclose()


async def everything(client: AsyncLoopmeter) -> list[object]:
    """What a customer does, and what comes of it."""
    quote = await client.quote("drums", tempo_bpm=120, bars=2)
    loop = await client.loops.create("drums", tempo_bpm=120, bars=2, seed=1)
    async with client.loops.stream("bass", tempo_bpm=120, bars=30) as stream:
        first = await anext(stream)
    refused: list[type[LoopmeterError]] = []
    for call in (client.loops.get("job_none"), client.loops.create("drums", bars=120, tempo_bpm=120)):
        with pytest.raises((NotFound, InsufficientTokens)) as caught:
            await call
        refused.append(caught.type)
    assert stream.bill is not None
    paid = loop.tokens_charged + stream.bill.tokens_charged
    bills = (loop.tokens_charged, stream.bill.state, paid + (await client.balance()).posted)
    models = await client.models()
    return [quote.tokens, loop.pcm, loop.meters, await client.loops.midi(loop.id), first, bills, models, refused]


@asynchronous
async def test_through_it_a_client_gets_what_it_gets_through_httpx() -> None:
    found = []
    for nearby in (True, False):
        with FakeGateway(tokens=2000, api_key="lm_test").serve() as url:
            transport = NearbyTransport(url, "lm_test", Timeout()) if nearby else None
            async with AsyncLoopmeter(url, "lm_test", transport=transport) as client:
                found.append(await everything(client))
    assert found[0] == found[1]


@asynchronous
async def test_requests_carry_the_key_below_the_address_on_one_connection() -> None:
    async with serving(saying(ANSWER)) as (transport, server):
        assert [await whole(transport) for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1 and len(server.heads) == 3
    assert server.heads[0].startswith(b"GET /under/v1/balance HTTP/1.1\r\n")
    assert b"Authorization: Bearer lm_test\r\n" in server.heads[0]


@pytest.mark.parametrize(
    "first",
    [
        ANSWER.replace(b"200 OK", b"200 OK\r\nConnection: close"),
        ANSWER + b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        ANSWER + ANSWER,
    ],
    ids=["told", "closed with a word", "a word too much"],
)
@asynchronous
async def test_a_connection_that_is_at_its_end_or_out_of_step_is_not_used_again(first: bytes) -> None:
    async with serving(saying(first, ANSWER)) as (transport, server):
        assert [await whole(transport), await whole(transport)] == [b"ok", b"ok"]
    assert server.connections == 2


@asynchronous
async def test_a_connection_that_was_closed_or_spoke_while_it_was_idle_is_not_used_again() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(ANSWER)

    async with serving(serve) as (transport, server):
        await whole(transport)
        writers[0].close()
        await until(lambda: not transport._idle[0].is_usable())
        await whole(transport)
        writers[1].write(ANSWER)
        await until(lambda: not transport._idle[0].is_usable())
        assert await whole(transport) == b"ok"
    assert server.connections == 3


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a socket has told."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("waited in vain")


@asynchronous
async def test_an_answer_left_in_the_middle_takes_its_connection_along() -> None:
    async with serving(saying(ANSWER.replace(b": 2", b": 9"))) as (transport, server):
        answer = await transport.send(QUESTION)
        assert await answer.read() == b"ok"
        await answer.aclose()
        await asyncio.wait_for(server.left.wait(), 20)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal status line"),
        (b"Connection: close", "peer unexpectedly closed connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok", "without sending complete message"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nok", "incomplete chunked"),
        (b"", "silence for too long"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "silence for too long"),
    ],
    ids=["no HTTP", "half a line", "cut", "cut in a piece", "silence", "silence in the middle"],
)
@asynchronous
async def test_what_breaks_off_is_a_failed_connection_that_says_why(said: bytes, told: str) -> None:
    async with serving(saying(said), Timeout(read_s=0.2)) as (transport, _):
        with pytest.raises(ConnectionFailed, match=told):
            await whole(transport)
        assert transport._idle == []


@asynchronous
async def test_a_gateway_that_is_not_there_is_a_failed_connection_with_the_orders_key() -> None:
    async with serving(saying(ANSWER)) as (transport, _):
        pass
    with pytest.raises(ConnectionFailed, match="Connect call failed") as caught:
        await transport.send(ORDER)
    assert caught.value.idempotency_key == "mine"


@asynchronous
async def test_connections_are_bounded_and_failures_give_theirs_back() -> None:
    async with serving(saying(ANSWER), Timeout(pool_s=0.1)) as (transport, server):
        answers = [await transport.send(QUESTION) for _ in range(CONNECTIONS_MAX)]
        with pytest.raises(ConnectionFailed, match="all connections are in use"):
            await transport.send(QUESTION)
        for answer in answers:
            assert await answer.read() == b"ok" and await answer.read() == b""
            await answer.aclose()
            await answer.aclose()
        assert len(transport._idle) == IDLE_MAX and server.connections == CONNECTIONS_MAX

    for _ in range(CONNECTIONS_MAX + 1):
        with pytest.raises(ConnectionFailed, match="Connect call failed"):
            await transport.send(QUESTION)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8130", True),
        ("http://localhost", True),
        ("http://[::1]:8130/loops", True),
        ("https://127.0.0.1:8130", False),
        ("http://192.168.1.5:8130", False),
        ("http://gateway.example", False),
    ],
)
def test_nearby_is_plain_http_on_loopback(url: str, expected: bool) -> None:
    assert is_nearby(url) is expected
