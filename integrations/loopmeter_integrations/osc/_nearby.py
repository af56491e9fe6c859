"""Requests to a gateway on this machine, with little in between: h11 on a socket of asyncio.

Where no network lies between bridge and gateway, what a request costs is the work around it: from an order to the
first word about it httpx takes 1 to 1.5 ms more than this, half of all that the bridge does. It is a transport of the
SDK: what is retried, and when, is decided there. Neither TLS nor proxies.

Reading order: ``NearbyTransport``, ``_Answer``, ``_Connection``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.metadata import version
from urllib.parse import urlsplit

import h11

from loopmeter import ConnectionFailed, HttpRequest, Timeout

CONNECTIONS_MAX = 100
IDLE_MAX = 20
_PIECE_BYTES = 65_536
_AHEAD_BYTES = 4096  # What waits here for a slow reader counts as delivered, so it is kept small.
_PORT = 80


def is_nearby(url: str) -> bool:
    """Whether the gateway at ``url`` listens on loopback, in plain HTTP."""
    parts = urlsplit(url)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"


class NearbyTransport:
    """Carries requests to the gateway at ``url``, plain HTTP, and keeps up to ``IDLE_MAX`` connections for the next.

    For one event loop. A connection that its other side has closed meanwhile is not used again; one whose answer was
    not read to its end is closed with it.
    """

    def __init__(self, url: str, api_key: str | None, timeout: Timeout) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._url = url
        self._endpoint = (parts.hostname, parts.port or _PORT)
        self._prefix = parts.path.rstrip("/")
        self._headers = [("Host", parts.netloc), ("User-Agent", f"loopmeter-bridge/{version('loopmeter')}")]
        if api_key:
            self._headers.append(("Authorization", f"Bearer {api_key}"))
        self._timeout = timeout
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[_Connection] = []

    async def send(self, request: HttpRequest) -> _Answer:
        """Send, and give the answer at the end of its headers. Raises ``ConnectionFailed``."""
        limits = request.timeout or self._timeout
        with self._told(request.idempotency_key):
            connection = await self._connection(limits)
            try:
                await connection.send(self._event(request), request.body, limits.write_s)
                response = await connection.response(limits.read_s)
            except BaseException:
                self._leave(connection)
                raise
        return _Answer(self, connection, response, limits.read_s)

    async def aclose(self) -> None:
        """Close what is idle. What is in use is closed with its answer."""
        while self._idle:
            self._idle.pop().close()

    async def _connection(self, limits: Timeout) -> _Connection:
        async with _within(limits.pool_s, "all connections are in use"):
            await self._free.acquire()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        try:
            async with _within(limits.connect_s, "no connection in time"):
                return await _Connection.open(*self._endpoint)
        except BaseException:
            self._free.release()
            raise

    def _leave(self, connection: _Connection) -> None:
        """Keep the connection for the next request, if it is at the end of this one."""
        self._free.release()
        if len(self._idle) < IDLE_MAX and connection.is_done():
            self._idle.append(connection)
        else:
            connection.close()

    def _event(self, request: HttpRequest) -> h11.Request:
        headers = [*self._headers, *request.headers.items(), ("Content-Length", str(len(request.body)))]
        return h11.Request(method=request.method, target=self._prefix + request.path, headers=headers)

    @contextlib.contextmanager
    def _told(self, idempotency_key: str | None) -> Iterator[None]:
        """In the SDK's words what failed below it."""
        try:
            yield
        except (OSError, h11.ProtocolError) as error:  # A TimeoutError is an OSError.
            raise ConnectionFailed(self._url, str(error), idempotency_key=idempotency_key) from error


class _Answer:
    """An answer whose body is still on its way."""

    def __init__(
        self, transport: NearbyTransport, connection: _Connection, response: h11.Response, read_s: float | None
    ) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self._read_s = read_s
        self.status = response.status_code
        self.headers: Mapping[str, str] = {
            name.decode("ascii"): value.decode("latin-1")  # h11 gives names in lower case.
            for name, value in response.headers
        }

    async def read(self) -> bytes:
        """Some bytes, or ``b""`` at the end. Raises ``ConnectionFailed``."""
        if self._connection is None:
            return b""
        with self._transport._told(None):
            return await self._connection.piece(self._read_s)

    async def aclose(self) -> None:
        """Free the connection, for the next request if the body was read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport._leave(connection)


class _Connection:
    """One connection, one request after another."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, host: str, port: int) -> _Connection:
        loop = asyncio.get_running_loop()
        reader = _Reader(_AHEAD_BYTES, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, host, port)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def send(self, request: h11.Request, body: bytes, limit_s: float | None) -> None:
        """The whole request at once: in pieces, it would wake the gateway for each."""
        parts = [self._state.send(event) for event in (request, h11.Data(body), h11.EndOfMessage())]
        self._writer.write(b"".join(part for part in parts if part))
        async with _within(limit_s, "the request could not be sent in time"):
            await self._writer.drain()

    async def response(self, limit_s: float | None) -> h11.Response:
        while True:
            event = await self._event(limit_s)
            if isinstance(event, h11.Response):
                return event
            assert isinstance(event, h11.InformationalResponse)

    async def piece(self, limit_s: float | None) -> bytes:
        """Of the body of an answer; ``b""`` at its end, again and again."""
        while self._state.their_state is h11.SEND_BODY:
            event = await self._event(limit_s)
            if isinstance(event, h11.Data) and event.data:
                return bytes(event.data)
        return b""

    async def _event(self, limit_s: float | None) -> object:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            async with _within(limit_s, "silence for too long"):
                data = await self._reader.read(_PIECE_BYTES)
            self._reader.unread_bytes -= len(data)
            self._state.receive_data(data)
        return event

    def is_done(self) -> bool:
        """Whether request and answer are over and another may follow; makes ready for it."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    def is_usable(self) -> bool:
        """Whether the other side has neither closed it nor said anything unasked."""
        unasked = self._reader.unread_bytes or self._state.trailing_data[0]
        return not (unasked or self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        self._writer.close()


class _Reader(asyncio.StreamReader):
    """Knows how much has come that nobody has read."""

    unread_bytes = 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # What comes from a socket.
        self.unread_bytes += len(data)
        super().feed_data(data)


@contextlib.asynccontextmanager
async def _within(limit_s: float | None, reason: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise TimeoutError(reason) from error
