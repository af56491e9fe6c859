"""The bridge on a UDP socket, as a program."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from loopmeter import AsyncLoopmeter, LoopmeterError
from loopmeter_integrations.osc._bridge import Bridge, Endpoint
from loopmeter_integrations.osc._files import AtomicFile

log = logging.getLogger("loopmeter.osc")


class BridgeError(LoopmeterError):
    """The bridge cannot start. The message says why and what to do."""


def run(listen: str, out: Path, url: str | None, api_key: str | None, *, allow_remote: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. Prints ``listening on osc.udp://HOST:PORT`` when it is ready.

    ``listen`` is ``HOST:PORT``; port 0 takes a free one. ``out`` is made if it is missing. ``url`` and ``api_key`` are
    the gateway's, as for ``AsyncLoopmeter``. Only loopback addresses are taken unless ``allow_remote``: OSC has no
    passwords, so whoever reaches the port spends the key's tokens.

    Raises:
        BridgeError: the address cannot be used, or the folder cannot be written.
    """
    asyncio.run(_run(listen, out, url, api_key, allow_remote))


async def _run(listen: str, out: Path, url: str | None, api_key: str | None, allow_remote: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        AsyncLoopmeter(url, api_key) as client,
        serve_osc(client, parse_listen(listen, allow_remote=allow_remote), out) as (host, port),
    ):
        print(f"listening on osc.udp://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        await stop.wait()


@contextlib.asynccontextmanager
async def serve_osc(client: AsyncLoopmeter, listen: Endpoint, out: Path) -> AsyncIterator[Endpoint]:
    """A bridge that listens while the block runs; gives its real host and port. Raises ``BridgeError``."""
    try:
        await asyncio.to_thread(_make_folder, out)
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Protocol(client, out), local_addr=listen
        )
    except OSError as error:
        raise BridgeError(
            f"expected a free UDP port at {listen[0]}:{listen[1]} and a folder {str(out)!r}, found: {error}; "
            "choose another port with --listen or another folder with --out"
        ) from error
    try:
        host, port = transport.get_extra_info("sockname")[:2]
        yield host, port
    finally:
        await protocol.bridge.close()
        transport.close()


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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Protocol(asyncio.DatagramProtocol):
    bridge: Bridge

    def __init__(self, client: AsyncLoopmeter, out: Path) -> None:
        self._client = client
        self._out = out

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # typeshed is wider
        self.bridge = Bridge(self._client, self._out, transport.sendto)

    def datagram_received(self, data: bytes, addr: Endpoint) -> None:
        self.bridge.receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("a client has gone: %s", exc)  # Its port is closed; UDP tells the next time that we use the socket.
