"""OSC over TCP, on the same port number as UDP. A connection is a client: when it ends, what it asked for ends too.

HTTP on the same port is answered with the description of the bridge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._framing import BadFrame, Deframer, frame, framing_of
from loopmeter_integrations.osc._query import REQUEST_BYTES_MAX, answer, is_http

CONNECTIONS_MAX = 256
UNREAD_BYTES_MAX = 2**20  # Answers that a client leaves unread before it is cut off.
FIRST_BYTE_S = 60.0

log = logging.getLogger("loopmeter.osc")


class Receiver(Protocol):
    """Where packets go, and who hears of a client that has gone."""

    def receive(self, packet: bytes, sender: Client) -> None: ...
    def forget(self, client: Client) -> None: ...


class Connections:
    """The open connections. ``accept`` makes the protocol of a new one, ``send`` answers on one."""

    def __init__(
        self, bridge: Receiver, allowed: Callable[[str], bool], connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self.bridge = bridge
        self._allowed = allowed
        self._max = connections_max
        self._open: dict[Client, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def accept(self) -> asyncio.Protocol:
        return _Connection(self)

    def send(self, packet: bytes, client: Client) -> None:
        """Answer. What is for a connection that has ended is dropped."""
        connection = self._open.get(client)
        if connection is not None:
            connection.send(packet)

    def close(self) -> None:
        for connection in list(self._open.values()):
            connection.end()

    def add(self, client: Client, connection: _Connection) -> str:
        """Take a connection in; gives why not, if not."""
        if not self._allowed(client.host):
            return "its host is not on the allow list"
        if len(self._open) >= self._max:
            return f"{self._max} connections are open already"
        self._open[client] = connection
        return ""

    def remove(self, client: Client) -> None:
        if self._open.pop(client, None) is not None:
            self.bridge.forget(client)


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _client: Client

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._deframer: Deframer | None = None
        self._http: bytes | None = None
        self._silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        host, port, *_ = transport.get_extra_info("peername")
        self._transport = transport
        self._client = Client("tcp", host, port)
        refused = self._connections.add(self._client, self)
        if refused:
            log.warning("refused %s: %s", self._client, refused)
            transport.abort()
            return
        # One that never says anything holds one of the places for others.
        self._silence = asyncio.get_running_loop().call_later(FIRST_BYTE_S, self.end)

    def data_received(self, data: bytes) -> None:
        if self._http is not None or (self._deframer is None and is_http(data[0])):
            self._describe(data)
            return
        if self._silence is not None:
            self._silence.cancel()
        if self._deframer is None:
            framing = framing_of(data[0])
            if framing is None:
                log.warning("%s: expected OSC in SLIP or length-prefix framing, found %r", self._client, data[:16])
                self.end()
                return
            self._deframer = Deframer(framing)
        try:
            packets = self._deframer.receive(data)
        except BadFrame as error:
            log.warning("%s: %s", self._client, error)
            self.end()
            return
        for packet in packets:
            self._connections.bridge.receive(packet, self._client)

    def _describe(self, data: bytes) -> None:
        """Collect the head of an HTTP request and answer it. What takes longer than the first byte may is cut off."""
        self._http = (self._http or b"") + data
        if b"\r\n\r\n" in self._http:
            self._transport.write(answer(self._http, self._transport.get_extra_info("sockname")[1]))
            self._transport.close()
        elif len(self._http) > REQUEST_BYTES_MAX:
            self.end()

    def connection_lost(self, _: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._connections.remove(self._client)

    def send(self, packet: bytes) -> None:
        if self._deframer is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            log.warning("%s does not read its answers: cut off", self._client)
            self.end()
            return
        self._transport.write(frame(packet, self._deframer.framing))

    def end(self) -> None:
        self._transport.abort()
