"""Time tags, damaged datagrams and floods: what must not stop the bridge."""

from __future__ import annotations

import asyncio
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integrations.osc_peer import asynchronous, bridge_and_peer
from tests.integrations.scripted_gateway import ScriptedGateway
from tests.integrations.test_osc_codec import bundle

from loopmeter import AsyncLoopmeter
from loopmeter_integrations.osc import BridgeError, parse_listen, serve_osc
from loopmeter_integrations.osc._bridge import Bridge
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._codec import Message, decode_datagram, encode_message
from loopmeter_integrations.osc._table import ERROR, REPLIES, REQUESTS

SENDER = Client("udp", "127.0.0.1", 40_000)
LOOP = encode_message("/loopmeter/loop", "ssfiss", ["a", "drums", 120.0, 1, "Am", "standard"])


def hello(own_id: str) -> bytes:
    return encode_message("/loopmeter/hello", "s", [own_id])


def ntp(unix_s: float) -> int:
    return int((unix_s + 2_208_988_800) * 2**32)


@asynchronous
async def test_a_bundle_in_the_future_waits_and_nothing_else_does(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        due_s = time.time() + 0.8
        peer.send(bundle(ntp(due_s), hello("later"), hello("last")))
        sent_s = time.time()
        peer.send(hello("now"))
        assert (await peer.heard())[1] == "now"
        assert time.time() - sent_s < 0.4, "a plain message waited for a bundle"
        assert [(await peer.heard())[1], (await peer.heard())[1]] == ["later", "last"]
        assert time.time() >= due_s


@pytest.mark.parametrize("time_tag", [0, 1, ntp(1_000_000_000)], ids=["zero", "immediately", "years ago"])
@asynchronous
async def test_a_bundle_that_is_due_runs_at_once(tmp_path: Path, time_tag: int) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.send(bundle(time_tag, hello("a")))
        assert (await peer.heard())[:2] == ("/loopmeter/welcome", "a")


@asynchronous
async def test_a_clock_that_is_hours_ahead_is_told(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.send(bundle(ntp(time.time() + 7200), hello("a")))
        answer = await peer.heard()
        assert answer[:3] == (ERROR, "a", "time_tag")
        assert "at most 60 s ahead" in str(answer[3])


@asynchronous
async def test_a_type_that_is_not_read_is_told_under_its_id(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.send(b"/loopmeter/hello\0\0\0\0,sI\0id7\0")
        answer = await peer.heard()
        assert answer[:3] == (ERROR, "id7", "malformed")
        assert "'I'" in str(answer[3])


@pytest.mark.parametrize(
    "datagram",
    [b"", b"GET / HTTP/1.1\r\n", b"\xff" * 9000, bundle(1) + struct.pack(">i", -4), encode_message(ERROR, "s", ["a"])],
    ids=["empty", "text", "noise", "endless bundle", "another bridge's error"],
)
@asynchronous
async def test_what_has_no_id_is_ignored_and_the_next_message_served(tmp_path: Path, datagram: bytes) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.send(datagram)
        peer.send(hello("a"))
        assert (await peer.heard())[:2] == ("/loopmeter/welcome", "a")


@asynchronous
async def test_a_flood_is_answered_once(tmp_path: Path) -> None:
    sent: list[bytes] = []
    async with AsyncLoopmeter("http://scripted", "k", transport=ScriptedGateway()) as client:
        bridge = Bridge(client, tmp_path, lambda datagram, _: sent.append(datagram))
        for _ in range(1000):
            bridge.receive(encode_message("/nonesuch", "s", ["a"]), SENDER)
        await bridge.close()
    codes = [_only(datagram).arguments[1] for datagram in sent]
    assert codes.count("rate_limited") == 1
    assert 200 <= codes.count("unknown_address") <= 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_datagrams_get_a_readable_answer_or_none(tmp_path: Path, data: st.DataObject) -> None:
    """Every answer is one that the table knows, and the bridge still serves when all is over."""
    datagrams = [_damaged(data) for _ in range(20)]
    sent: list[bytes] = []

    async def receive() -> None:
        async with AsyncLoopmeter("http://scripted", "k", transport=ScriptedGateway()) as client:
            bridge = Bridge(client, tmp_path, lambda datagram, _: sent.append(datagram))
            for datagram in datagrams:
                bridge.receive(datagram, SENDER)
            await bridge.close()
            still = Bridge(client, tmp_path, lambda datagram, _: sent.append(datagram))
            still.receive(encode_message("/loopmeter/cancel", "s", ["served"]), SENDER)

    asyncio.run(receive())
    assert {_only(datagram).address for datagram in sent} <= REPLIES.keys()
    assert _only(sent[-1]).arguments[:2] == ("served", "unknown_id")


def _damaged(data: st.DataObject) -> bytes:
    whole = data.draw(st.sampled_from([LOOP, bundle(1, LOOP, hello("b")), *map(_empty, REQUESTS)]))
    datagram = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    return bytes(datagram[: data.draw(st.integers(0, len(datagram)))] + data.draw(st.binary(max_size=12)))


def _empty(address: str) -> bytes:
    return encode_message(address, "", [])


def _only(datagram: bytes) -> Message:
    (message,) = decode_datagram(datagram)
    assert isinstance(message, Message)
    return message


@pytest.mark.parametrize("listen", ["0.0.0.0:9130", "192.168.1.5:9130", "[::]:9130", "studio.example:9130"])
def test_an_address_that_others_can_reach_must_be_meant(listen: str) -> None:
    with pytest.raises(BridgeError, match="--allow-remote"):
        parse_listen(listen)
    assert parse_listen(listen, allow_remote=True)[1] == 9130


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [("127.0.0.1:9130", ("127.0.0.1", 9130)), ("localhost:0", ("localhost", 0)), ("[::1]:5", ("::1", 5))],
)
def test_a_loopback_address_is_taken(listen: str, endpoint: tuple[str, int]) -> None:
    assert parse_listen(listen) == endpoint


@pytest.mark.parametrize("listen", ["", "9130", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "a@127.0.0.1:1", ":1"])
def test_what_is_no_address_says_what_one_looks_like(listen: str) -> None:
    with pytest.raises(BridgeError, match=r"expected HOST:PORT such as 127\.0\.0\.1:9130"):
        parse_listen(listen)


@asynchronous
async def test_a_port_in_use_says_so(tmp_path: Path) -> None:
    async with (
        bridge_and_peer(tmp_path) as (endpoint, _peer, _gateway),
        AsyncLoopmeter("http://scripted", "k", transport=ScriptedGateway()) as client,
    ):
        with pytest.raises(BridgeError, match="expected a free UDP and TCP port"):
            async with serve_osc(client, endpoint, tmp_path):
                pass


@asynchronous
async def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with AsyncLoopmeter("http://scripted", "k", transport=ScriptedGateway()) as client:
        with pytest.raises(BridgeError, match="--out"):
            async with serve_osc(client, ("127.0.0.1", 0), tmp_path / "file" / "out"):
                pass
