"""The bridge described to machines: OSCQuery over HTTP on the bridge's own port, and DNS-SD to find that port.

OSCQuery 1.0 gives the addresses as a tree of JSON. Ours are methods, without a value to read, so an attribute that a
node lacks is answered with 204, as the proposal says. The HTTP here is as much as a GET takes: one answer, then the
connection ends.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from loopmeter_integrations.osc._table import PROTOCOL, REQUESTS, Parameter, Request

REQUEST_BYTES_MAX = 8192
_ATTRIBUTES = ("FULL_PATH", "CONTENTS", "TYPE", "ACCESS", "DESCRIPTION", "RANGE", "VALUE", "HOST_INFO")
_WRITE_ONLY = 2

log = logging.getLogger("loopmeter.osc")
Node = dict[str, Any]


def is_http(first: int) -> bool:
    """Whether a stream that begins with this byte may be HTTP: ``GET``, ``HEAD``, ``POST``, …"""
    return first in b"GHPDOTC"


def tree() -> Node:
    """The addresses of the table, as OSCQuery nests them."""
    root: Node = {"FULL_PATH": "/", "ACCESS": 0, "CONTENTS": {}}
    for request in REQUESTS.values():
        node, path = root, ""
        *folders, name = request.address.strip("/").split("/")
        for folder in folders:
            path += f"/{folder}"
            contents = node.setdefault("CONTENTS", {})
            node = contents.setdefault(folder, {"FULL_PATH": path, "ACCESS": 0, "CONTENTS": {}})
        found = node.setdefault("CONTENTS", {}).setdefault(name, {})
        found.update(_method(request))
    return root


def host_info(port: int) -> Node:
    """Who answers, and where OSC goes."""
    return {
        "NAME": "Loopmeter",
        "OSC_PORT": port,
        "OSC_TRANSPORT": "UDP",
        "EXTENSIONS": {"ACCESS": True, "VALUE": False, "RANGE": False, "DESCRIPTION": True, "TYPE": True},
        "LOOPMETER_PROTOCOL": PROTOCOL,
    }


def answer(head: bytes, port: int) -> bytes:
    """The whole HTTP answer to the head of a request."""
    line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return _http(400, {"error": "expected an HTTP/1.1 request"})
    if line[0] not in ("GET", "HEAD"):
        return _http(405, {"error": f"expected GET, found {line[0][:20]}"})
    parts = urlsplit(line[1])
    attribute = parts.query.partition("=")[0]
    if attribute == "HOST_INFO":
        return _http(200, host_info(port), line[0] == "HEAD")
    node = _at(unquote(parts.path))
    if node is None:
        return _http(404, {"error": f"expected an address below /loopmeter, found {parts.path[:100]!r}"})
    if not attribute:
        return _http(200, node, line[0] == "HEAD")
    if attribute not in _ATTRIBUTES:
        return _http(400, {"error": f"expected an attribute among {', '.join(_ATTRIBUTES)}, found {attribute[:40]!r}"})
    return _http(200, {attribute: node[attribute]}, line[0] == "HEAD") if attribute in node else _http(204, None)


@contextlib.asynccontextmanager
async def advertised(host: str, port: int) -> AsyncIterator[None]:
    """Say in the local network that the bridge is here, as ``_osc._udp`` and ``_oscjson._tcp``, while the block runs.

    What cannot be said is logged: a bridge works without it.
    """
    try:
        from zeroconf import IPVersion, ServiceInfo
        from zeroconf.asyncio import AsyncZeroconf
    except ImportError:
        log.info("zeroconf is not installed: the bridge is not advertised")
        yield
        return
    addresses = _addresses(host)
    name = f"Loopmeter {port}"
    services = [
        ServiceInfo(
            f"{kind}.local.",
            f"{name}.{kind}.local.",
            port=port,
            addresses=addresses,
            properties=properties,
            server=f"loopmeter-{port}.local.",
        )
        for kind, properties in (
            ("_osc._udp", {"txtvers": "1", "version": "1.1", "types": "ifs", "uri": "/docs/integrations/osc.md"}),
            ("_oscjson._tcp", {"txtvers": "1"}),
        )
    ]
    try:
        zeroconf = AsyncZeroconf(interfaces=[socket.inet_ntoa(a) for a in addresses], ip_version=IPVersion.V4Only)
    except OSError as error:
        log.warning("the bridge is not advertised: %s", error)
        yield
        return
    try:
        for service in services:
            await zeroconf.async_register_service(service, allow_name_change=True)
        yield
    finally:
        await zeroconf.async_unregister_all_services()
        await zeroconf.async_close()


def _addresses(host: str) -> list[bytes]:
    """Where the bridge can be reached over IPv4; behind "any address" that is the one of the way out."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 4 and not address.is_unspecified:
            return [address.packed]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # Sends nothing: it asks the system which address it would send from.
        return [socket.inet_aton(probe.getsockname()[0])]
    return [socket.inet_aton("127.0.0.1")]


def _method(request: Request) -> Node:
    return {
        "FULL_PATH": request.address,
        "TYPE": "".join(parameter.kind for parameter in request.parameters),
        "ACCESS": _WRITE_ONLY,
        "DESCRIPTION": f"{_named(request.parameters)}: {request.text}",
    }


def _named(parameters: Iterable[Parameter]) -> str:
    return ", ".join(parameter.name for parameter in parameters)


def _at(path: str) -> Node | None:
    node: Node | None = tree()
    for name in path.strip("/").split("/"):
        if name:
            node = None if node is None else node.get("CONTENTS", {}).get(name)
    return node


def _http(status: int, body: Node | None, head_only: bool = False) -> bytes:
    reasons = {200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
    data = b"" if body is None else json.dumps(body, indent=1).encode()
    head = (
        f"HTTP/1.1 {status} {reasons[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        "Connection: close\r\nAccess-Control-Allow-Origin: *\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else data)
