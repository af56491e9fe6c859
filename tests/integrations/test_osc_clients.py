"""What the bridge keeps for each client: leases, spending; what it says when it is late; what it records."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integrations.osc_peer import Peer, asynchronous, bridge_and_peer, peer_of
from tests.integrations.scripted_gateway import PRICE_TOKENS
from tests.integrations.test_osc_codec import bundle
from tests.integrations.test_osc_hostile import hello, ntp

from loopmeter_integrations.osc import BridgeSettings
from loopmeter_integrations.osc._clients import Client, Subscriptions, TooManySubscriptions
from loopmeter_integrations.osc._limits import CapReached, SpendingCaps
from loopmeter_integrations.osc._recording import BadRecording, read_recording

ADA, BOB = Client("udp", "127.0.0.1", 1), Client("udp", "127.0.0.1", 2)


def test_a_lease_runs_out_unless_it_is_renewed() -> None:
    told = Subscriptions()
    told.lease("heartbeat", ADA, "a", until_s=10, now_s=0)
    told.lease("heartbeat", BOB, "b", until_s=5, now_s=0)
    assert list(told.of("heartbeat", 4)) == [(ADA, "a"), (BOB, "b")]
    assert list(told.of("beat", 4)) == []
    assert list(told.of("heartbeat", 5)) == [(ADA, "a")]
    told.lease("heartbeat", ADA, "again", until_s=20, now_s=6)
    assert list(told.of("heartbeat", 15)) == [(ADA, "again")]
    told.lease("heartbeat", ADA, "again", until_s=16, now_s=16)
    assert len(told) == 0


def test_leases_are_bounded_and_expired_ones_make_room() -> None:
    told = Subscriptions(subscriptions_max=1)
    told.lease("heartbeat", ADA, "a", until_s=10, now_s=0)
    with pytest.raises(TooManySubscriptions, match="at most 1"):
        told.lease("heartbeat", BOB, "b", until_s=10, now_s=0)
    told.lease("heartbeat", BOB, "b", until_s=20, now_s=11)
    told.forget(BOB)
    assert len(told) == 0


@asynchronous
async def test_heartbeats_come_to_who_subscribed_until_they_leave(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (endpoint, peer, _gateway), peer_of(endpoint) as other:
        peer.ask("/loopmeter/subscribe", "s", "heartbeat", 60)
        assert await peer.heard() == ("/loopmeter/subscribed", "s", "heartbeat", 60.0)
        assert await peer.heard() == ("/loopmeter/heartbeat", "s", 0, 0, "up")
        assert await peer.heard() == ("/loopmeter/heartbeat", "s", 1, 0, "up")
        peer.ask("/loopmeter/subscribe", "s", "heartbeat", 0.0)
        while (await peer.heard())[0] != "/loopmeter/subscribed":
            pass
        other.ask("/loopmeter/subscribe", "o", "gossip", 60)
        answer = await other.heard()
        assert answer[:3] == ("/loopmeter/error", "o", "bad_arguments")
        assert "topic: expected one of heartbeat" in str(answer[3])


@asynchronous
async def test_the_heartbeat_says_when_the_gateway_is_down(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        gateway.unreachable = True
        peer.ask("/loopmeter/balance", "b")
        assert (await peer.heard())[2] == "unreachable"
        peer.ask("/loopmeter/subscribe", "s", "heartbeat", 60)
        await peer.heard()
        assert (await peer.heard())[4] == "down"


@given(st.lists(st.tuples(st.sampled_from([ADA, BOB]), st.integers(1, 900), st.integers(0, 900)), max_size=40))
def test_whatever_is_asked_for_an_hours_spending_stays_under_its_caps(
    asked: list[tuple[Client, int, int]],
) -> None:
    caps = SpendingCaps(per_client=1000, in_all=1500)
    spent: list[tuple[float, Client, int]] = []
    for number, (client, price, charged) in enumerate(asked):
        now_s = number * 400.0
        try:
            minute = caps.reserve(client, price, now_s)
        except CapReached:
            continue
        caps.settle(client, minute, price, min(price, charged))
        spent.append((now_s, client, min(price, charged)))
        hour = [entry for entry in spent if entry[0] > now_s - 3600]
        assert sum(tokens for _, _, tokens in hour) <= 1500
        assert all(sum(tokens for _, who, tokens in hour if who == one) <= 1000 for one in (ADA, BOB))


def test_what_was_reserved_counts_until_it_is_settled() -> None:
    caps = SpendingCaps(in_all=1000)
    minute = caps.reserve(ADA, 800, 0)
    with pytest.raises(CapReached, match="found 800 spent and 800 asked for"):
        caps.reserve(BOB, 800, 0)
    caps.settle(ADA, minute, 800, 100)
    caps.reserve(BOB, 800, 0)
    with pytest.raises(CapReached):
        caps.reserve(ADA, 800, 3599)
    caps.reserve(ADA, 800, 3700)


@pytest.mark.parametrize(
    ("settings", "code", "option"),
    [
        (BridgeSettings(tokens_per_hour=PRICE_TOKENS), "cap_hour", "--tokens-per-hour"),
        (BridgeSettings(tokens_per_client_hour=PRICE_TOKENS), "cap_client", "--tokens-per-client-hour"),
    ],
    ids=["in all", "one client"],
)
@asynchronous
async def test_a_cap_refuses_by_name_before_anything_is_ordered(
    tmp_path: Path, settings: BridgeSettings, code: str, option: str
) -> None:
    async with bridge_and_peer(tmp_path, settings=settings) as (endpoint, peer, gateway), peer_of(endpoint) as other:
        peer.ask_loop("first")
        await peer.heard_until("/loopmeter/ready")
        peer.ask_loop("second")
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "second", code)
        assert option in str(answer[3])
        assert list(gateway.jobs) == ["job1"]
        other.ask_loop("third")
        assert (await other.heard())[0] == ("/loopmeter/error" if code == "cap_hour" else "/loopmeter/accepted")


@asynchronous
async def test_two_loops_at_once_cannot_both_have_the_last_tokens(tmp_path: Path) -> None:
    settings = BridgeSettings(tokens_per_hour=PRICE_TOKENS)
    async with bridge_and_peer(tmp_path, settings=settings) as (_, peer, gateway):
        gateway.chunks_allowed = 0
        peer.ask_loop("a")
        peer.ask_loop("b")
        answers = {str((await peer.heard())[0]) for _ in range(2)}
        assert answers == {"/loopmeter/accepted", "/loopmeter/error"}


@asynchronous
async def test_a_message_that_is_late_runs_and_is_told_so(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, _gateway):
        peer.send(bundle(ntp(time.time() - 2), hello("a")))
        address, own_id, late_for, late_ms = await peer.heard()
        assert (address, own_id, late_for) == ("/loopmeter/late", "a", "/loopmeter/hello")
        assert 2000 <= float(str(late_ms)) < 60_000
        assert (await peer.heard())[:2] == ("/loopmeter/welcome", "a")


@asynchronous
async def test_what_was_recorded_can_be_replayed(tmp_path: Path) -> None:
    log = tmp_path / "show.jsonl"
    async with bridge_and_peer(tmp_path / "one", settings=BridgeSettings(record=log)) as (_, peer, _gateway):
        peer.ask_loop("a", "drums", 1, "seed", 3)
        ready = (await peer.heard_until("/loopmeter/ready"))[-1]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["way"] for entry in entries] == ["in"] + ["out"] * 6
    assert entries[0]["text"].startswith("/loopmeter/loop 'a' 'drums' 120.0 1")
    assert entries[-1]["text"].startswith("/loopmeter/ready 'a'")

    again = BridgeSettings(replay=log, record=tmp_path / "again.jsonl")
    async with bridge_and_peer(tmp_path / "two", settings=again) as (_, peer, gateway):
        await gateway.until_sent("GET /v1/loops/job1/midi")
        while (await _running(peer)) > 0:
            pass
    made = tmp_path / "two" / Path(str(ready[2])).name
    assert made.read_bytes() == Path(str(ready[2])).read_bytes()


async def _running(peer: Peer) -> int:
    """How many requests run beside the one that asks."""
    await asyncio.sleep(0.02)  # Who asks again and again leaves time for the work.
    peer.ask("/loopmeter/subscribe", "s", "heartbeat", 60)
    while (answer := await peer.heard())[0] != "/loopmeter/heartbeat":
        pass
    peer.ask("/loopmeter/subscribe", "s", "heartbeat", 0)
    return int(str(answer[3]))


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"way": "in", "client": 3}', '["in"]', "\x00"])
def test_what_is_no_recording_names_the_line(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text('{"way": "out"}\n' + line + "\n")
    with pytest.raises(BadRecording, match="found line 2 of"):
        read_recording(log)
