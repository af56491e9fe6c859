"""The bridge on its sockets, UDP and TCP under one port number, as a program."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from loopmeter import AsyncLoopmeter, LoopmeterError, Timeout
from loopmeter_integrations.osc._bridge import Bridge
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._files import AtomicFile
from loopmeter_integrations.osc._instruments import Instruments
from loopmeter_integrations.osc._limits import SpendingCaps
from loopmeter_integrations.osc._nearby import NearbyTransport, is_nearby
from loopmeter_integrations.osc._query import advertised
from loopmeter_integrations.osc._recording import Recorder, read_recording, replay
from loopmeter_integrations.osc._tcp import Connections

Endpoint = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A gateway gives a sign of life every 10 s; on stage a network that fell silent is left sooner than the SDK's minute.
_ON_STAGE = Timeout(read_s=25)
_FREE_PORT_TRIES = 20

log = logging.getLogger("loopmeter.osc")


class BridgeError(LoopmeterError):
    """The bridge cannot start. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """What may be chosen. ``None`` is no limit, no recording. ``allow`` are the networks that may ask; empty is all.

    ``tokens_per_hour`` is for all clients together, ``tokens_per_client_hour`` for each. ``record`` is a file that gets
    every message, ``replay`` one whose messages are asked again at the start, at their pace. ``advertise`` says in the
    local network, by DNS-SD, that the bridge is here.
    """

    allow: tuple[Network, ...] = ()
    tokens_per_client_hour: int | None = None
    tokens_per_hour: int | None = None
    record: Path | None = None
    replay: Path | None = None
    advertise: bool = False
    instruments: Instruments = field(default_factory=Instruments)

    def allows(self, host: str) -> bool:
        """Whether a message from ``host``, a numerical address, is heard."""
        if not self.allow:
            return True
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.allow)


def run(
    listen: str,
    out: Path,
    url: str | None,
    api_key: str | None,
    *,
    allow_remote: bool = False,
    settings: BridgeSettings | None = None,
    announce: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. Prints ``listening on osc.udp://HOST:PORT`` when it is ready.

    ``listen`` is ``HOST:PORT``; port 0 takes a free one. ``out`` is made if it is missing. ``url`` and ``api_key`` are
    the gateway's, as for ``AsyncLoopmeter``. Only loopback addresses are taken unless ``allow_remote``: OSC has no
    passwords, so whoever reaches the port spends the key's tokens. ``announce`` is given host (in brackets, if that
    is an IPv6 address) and port instead of printing them.

    Raises:
        BridgeError: the address cannot be used, or the folder cannot be written.
        BadRecording: there is nothing to replay.
        ClockError, OutputError: the clock or the output is missing.
    """
    endpoint = parse_listen(listen, allow_remote=allow_remote)
    asyncio.run(_run(endpoint, out, url, api_key, settings or BridgeSettings(), announce or _announce))


def _announce(host: str, port: int) -> None:
    print(f"listening on osc.udp://{host}:{port}", flush=True)
    print(f"listening on osc.tcp://{host}:{port}", flush=True)
    print(f"described at http://{host}:{port}/", flush=True)


async def _run(
    listen: Endpoint,
    out: Path,
    url: str | None,
    api_key: str | None,
    settings: BridgeSettings,
    announce: Callable[[str, int], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # What is left to the environment is the SDK's to read; the command line has read it already.
    transport = NearbyTransport(url, api_key, _ON_STAGE) if url and api_key and is_nearby(url) else None
    async with (
        AsyncLoopmeter(url, api_key, timeout=_ON_STAGE, transport=transport) as client,
        serve_osc(client, listen, out, settings) as (host, port),
    ):
        announce(f"[{host}]" if ":" in host else host, port)
        checking = asyncio.create_task(_check_gateway(client))
        await stop.wait()
        checking.cancel()


async def _check_gateway(client: AsyncLoopmeter) -> None:
    """Say at once what would only show with the first loop. Who plays needs the bridge all the same: it stays up."""
    trouble = None
    try:
        if (await client.balance()).available == 0:
            trouble = "no tokens are left for this key; an operator grants some with 'loopmeter admin grant'"
    except LoopmeterError as error:
        trouble = error.message
    if trouble is not None:
        print(f"loopmeter: {trouble}. The bridge listens all the same", file=sys.stderr, flush=True)
    # What was loaded until now stays: no later sweep for garbage, which stops all for 20 ms, need look at it.
    gc.collect()
    gc.freeze()


@contextlib.asynccontextmanager
async def serve_osc(
    client: AsyncLoopmeter, listen: Endpoint, out: Path, settings: BridgeSettings | None = None
) -> AsyncIterator[Endpoint]:
    """A bridge that listens while the block runs; gives its real host and port. Raises as ``run``."""
    settings = settings or BridgeSettings()
    async with contextlib.AsyncExitStack() as stack:
        try:
            await asyncio.to_thread(_make_folder, out)
            recorder = Recorder(settings.record) if settings.record is not None else None
        except OSError as error:
            raise BridgeError(
                f"expected a folder {str(out)!r} and a recording that can be written, found: {error}; "
                "choose another folder with --out or another file with --record"
            ) from error
        if recorder is not None:
            stack.callback(recorder.close)
        sockets = _Sockets(settings, recorder)
        caps = SpendingCaps(settings.tokens_per_client_hour, settings.tokens_per_hour)
        bridge = Bridge(client, out, sockets.send, caps=caps, stage=settings.instruments.stage)
        stack.push_async_callback(bridge.close)
        endpoint = await stack.enter_async_context(sockets.listen(bridge, listen))
        if settings.replay is not None:
            messages = await asyncio.to_thread(read_recording, settings.replay)
            replaying = asyncio.create_task(replay(messages, sockets.receive))
            stack.callback(replaying.cancel)
        if settings.advertise:
            await stack.enter_async_context(advertised(*endpoint))
        yield endpoint


class _Sockets:
    """Between the bridge and the network: who is heard, where answers go, what is recorded."""

    _bridge: Bridge
    _udp: asyncio.DatagramTransport
    _connections: Connections

    def __init__(self, settings: BridgeSettings, recorder: Recorder | None) -> None:
        self._settings = settings
        self._recorder = recorder

    @contextlib.asynccontextmanager
    async def listen(self, bridge: Bridge, listen: Endpoint) -> AsyncIterator[Endpoint]:
        self._bridge = bridge
        self._connections = Connections(self, self._settings.allows)
        udp, tcp = await _bound(listen)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._connections.accept, sock=tcp)
        self._udp, _ = await loop.create_datagram_endpoint(partial(_Datagrams, self), sock=udp)
        try:
            host, port, *_ = udp.getsockname()
            yield host, port
        finally:
            server.close()
            self._connections.close()
            await bridge.close()
            self._udp.close()

    def receive(self, packet: bytes, sender: Client) -> None:
        if self._recorder is not None:
            self._recorder.write("in", packet, sender)
        self._bridge.receive(packet, sender)

    def receive_datagram(self, packet: bytes, address: tuple[str | int, ...]) -> None:
        host, port = str(address[0]), int(address[1])
        if self._settings.allows(host):
            self.receive(packet, Client("udp", host, port, address))
        else:  # Not answered either: it may be somebody else's address.
            log.warning("refused a message from %s: its host is not on the allow list", host)

    def forget(self, client: Client) -> None:
        self._bridge.forget(client)

    def send(self, packet: bytes, client: Client) -> None:
        if self._recorder is not None:
            self._recorder.write("out", packet, client)
        if client.transport == "tcp":
            self._connections.send(packet, client)
        elif client.transport == "udp" and not self._udp.is_closing():
            self._udp.sendto(packet, client.socket_address or (client.host, client.port))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, sockets: _Sockets) -> None:
        self._sockets = sockets

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        self._sockets.receive_datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("a client has gone: %s", exc)  # Its port is closed; UDP tells the next time that we use the socket.


async def _bound(listen: Endpoint) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket under one port number."""
    host, port = listen
    for attempt in range(_FREE_PORT_TRIES):
        try:
            return await _bound_once(host, port)
        except OSError as error:
            if port == 0 and attempt < _FREE_PORT_TRIES - 1:
                continue  # Free for UDP, taken for TCP: ask for another one.
            raise BridgeError(
                f"expected a free UDP and TCP port at {host}:{port}, found: {error}; choose another with --listen"
            ) from error
    raise AssertionError


async def _bound_once(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, _, _, _, address = found[0]
    udp = socket.socket(family, socket.SOCK_DGRAM)
    tcp = socket.socket(family, socket.SOCK_STREAM)
    try:
        udp.bind(address)
        # A port that was closed a moment ago can be taken again; UDP, bound first, keeps out a second bridge.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address[0], udp.getsockname()[1], *address[2:]))
        for bound in (udp, tcp):
            bound.setblocking(False)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp


def _make_folder(out: Path) -> None:
    """Make the folder if it is missing, and try it: better now than when a loop is paid."""
    out.mkdir(parents=True, exist_ok=True)
    with AtomicFile(out):
        pass


def parse_listen(listen: str, *, allow_remote: bool = False) -> Endpoint:
    """``HOST:PORT`` as a pair.

    Raises:
        BridgeError: it is something else, or not loopback without ``allow_remote``.
    """
    parts = urlsplit(f"//{listen}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.path or parts.username is not None:
        raise BridgeError(f"expected HOST:PORT such as 127.0.0.1:9130 to listen on, found {listen!r}")
    if not allow_remote and not _is_loopback(host):
        raise BridgeError(
            f"expected a loopback address such as 127.0.0.1, found {host!r}: whoever reaches the port spends your "
            "tokens; to mean it, add --allow-remote"
        )
    return host, port


def parse_networks(networks: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as in ``192.168.1.0/24``. Raises ``BridgeError``."""
    try:
        return tuple(ipaddress.ip_network(network) for network in networks)
    except ValueError as error:
        raise BridgeError(f"expected an address or network such as 192.168.1.0/24 to allow, found: {error}") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
