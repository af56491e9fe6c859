"""How the bridge is found and described: OSCQuery over HTTP, DNS-SD in the network."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest
from tests.integrations.osc_peer import asynchronous, bridge_and_peer
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from loopmeter_integrations.osc import BridgeSettings
from loopmeter_integrations.osc._query import answer, tree
from loopmeter_integrations.osc._table import REQUESTS


def test_the_tree_is_the_table() -> None:
    found: dict[str, str] = {}

    def walk(node: dict[str, object]) -> None:
        if "TYPE" in node:
            found[str(node["FULL_PATH"])] = str(node["TYPE"])
        contents = node.get("CONTENTS", {})
        assert isinstance(contents, dict)
        for name, child in contents.items():
            assert child["FULL_PATH"].rpartition("/")[2] == name
            walk(child)

    walk(tree())
    assert found == {
        address: "".join(parameter.kind for parameter in request.parameters) for address, request in REQUESTS.items()
    }


@asynchronous
async def test_the_description_comes_over_http_on_the_same_port(tmp_path: Path) -> None:
    async with (
        bridge_and_peer(tmp_path) as ((host, port), peer, _gateway),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as http,
    ):
        root = (await http.get("/")).json()
        assert root["CONTENTS"]["loopmeter"]["CONTENTS"]["loop"]["TYPE"] == "ssfiss"
        info = (await http.get("/", params="HOST_INFO")).json()
        assert (info["OSC_PORT"], info["OSC_TRANSPORT"]) == (port, "UDP")
        described = await http.get("/loopmeter/cancel?DESCRIPTION")
        assert "Stop the loop" in described.json()["DESCRIPTION"]
        assert [
            (await http.get(path)).status_code
            for path in ("/loopmeter/loop?VALUE", "/nonesuch", "/loopmeter/loop?NONESUCH", "/loopmeter")
        ] == [204, 404, 400, 200]
        assert (await http.post("/")).status_code == 405
        peer.ask("/loopmeter/hello", "h")
        assert (await peer.heard())[:2] == ("/loopmeter/welcome", "h")


@pytest.mark.parametrize("head", [b"GET\r\n\r\n", b"GET / FTP/1.0\r\n\r\n", b"G\xff\xfe / x\r\n\r\n", b"\r\n\r\n"])
def test_what_is_no_http_is_answered_with_400(head: bytes) -> None:
    assert answer(head, 9130).startswith(b"HTTP/1.1 400 ")


@asynchronous
async def test_a_head_without_an_end_is_cut_off(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, _peer, _gateway):
        reader, writer = await asyncio.open_connection(*endpoint)
        writer.write(b"GET /" + b"x" * 20_000)
        try:
            assert await asyncio.wait_for(reader.read(), 20) == b""
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynchronous
async def test_the_bridge_is_found_by_dns_sd_and_gone_when_it_closes(tmp_path: Path) -> None:
    async with AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only) as zeroconf:
        changes: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

        def changed(service_type: str, name: str, state_change: object, **_: object) -> None:
            changes.put_nowait((service_type, name, str(state_change)))

        types = ["_osc._udp.local.", "_oscjson._tcp.local."]
        browser = AsyncServiceBrowser(zeroconf.zeroconf, types, handlers=[changed])
        async with bridge_and_peer(tmp_path, settings=BridgeSettings(advertise=True)) as ((_, port), _peer, _gateway):
            found = await _changes(changes, "Added", port)
            assert set(found) == set(types)
            for service_type, name in found.items():
                info = AsyncServiceInfo(service_type, name)
                assert await info.async_request(zeroconf.zeroconf, 10_000)
                assert info.port == port
                assert info.addresses == [socket.inet_aton("127.0.0.1")]
        assert set(await _changes(changes, "Removed", port)) == set(types)
        await browser.async_cancel()


async def _changes(changes: asyncio.Queue[tuple[str, str, str]], kind: str, port: int) -> dict[str, str]:
    """The services of both types, once each was added or removed."""
    found: dict[str, str] = {}
    while len(found) < 2:
        service_type, name, change = await asyncio.wait_for(changes.get(), 20)
        if change.endswith(kind) and str(port) in name:
            found[service_type] = name
    return found
