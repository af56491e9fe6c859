"""A live session that goes on from the pack where the gateway can give no more, over scripted connections."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loopmeter import (
    Budget,
    BudgetExceeded,
    ChunkMeter,
    ChunkReceived,
    ConnectionFailed,
    LiveEnded,
    LiveEndReason,
    LiveEvent,
    LiveFallback,
    LivePaused,
    LiveRequest,
    LiveResumed,
    LiveSession,
    LiveStarted,
    Loopmeter,
    ResolvedLive,
    encode_chunk_event,
    encode_live,
)
from loopmeter._async_live import AsyncLiveSession
from loopmeter._async_shelf import AsyncShelf
from loopmeter._live_core import live_start
from loopmeter._retry import RetryPolicy
from loopmeter.bake import Pack, bake, parse_music, plan_bake
from loopmeter.testing import FakeGateway, ManualClock
from loopmeter.testing._clock import AsyncManualClock

CHUNK_FRAMES = 32_768


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Three seconds of standard quality: four chunks and a part."""
    tables = {"defaults": {"tempo_bpm": 80, "bars": 1}, "loop": [{"name": "calm", "prompt": "calm"}]}
    with FakeGateway().client() as client:
        music = parse_music({"pack": {"name": "game"}, **tables}, tmp_path)
        return bake(client, plan_bake(client, music, tmp_path / "pack"))


def started(bits: int = 16) -> str:
    request = ResolvedLive.model_validate(LiveRequest.model_validate({"prompts": [{"text": "x"}]}).model_dump())
    return encode_live(
        LiveStarted(
            job="job_9",
            session="s-1",
            request=request,
            sample_rate_hz=44_100,
            channels=1,
            bits=bits,
            chunk_frames=CHUNK_FRAMES,
        )
    )


def chunk(index: int, bits: int = 16) -> bytes:
    meter = ChunkMeter(index=index, frames=CHUNK_FRAMES, tokens=9, tokens_total=9 * (index + 1))
    return encode_chunk_event(ChunkReceived(b"\1" * (CHUNK_FRAMES * bits // 8), meter))


def ended(reason: LiveEndReason) -> str:
    return encode_live(LiveEnded(reason=reason, chunks=1, tokens_charged=9))


class Script:
    """Transport and socket of one connection that says these messages, and then nothing ever again."""

    def __init__(self, *messages: str | bytes) -> None:
        self._messages = list(messages)

    def connect(self) -> Script:
        if not self._messages:
            raise ConnectionFailed("http://gateway.fake", "unplugged")
        return self

    def send(self, text: str) -> None:
        """Heard by nobody."""

    def receive(self, timeout_s: float) -> str | bytes:
        if not self._messages:
            raise ConnectionFailed("http://gateway.fake", "unplugged")
        return self._messages.pop(0)

    def close(self) -> None:
        """Nothing is open."""


def client_of(pack: Pack, *messages: str | bytes, budget: Budget | None = None) -> Loopmeter:
    return Loopmeter(
        "http://gateway.fake",
        live_transport=Script(*messages),
        clock=ManualClock(),
        pack=pack,
        patience_s=0.0,
        max_retries=0,
        budget=budget,
    )


def some(session: LiveSession, events: int) -> list[LiveEvent]:
    return [next(session) for _ in range(events)]


def test_without_a_gateway_the_pack_plays_round_and_round_until_it_is_stopped(pack: Pack) -> None:
    pcm = pack.read("calm").pcm
    with client_of(pack).live("rain", fallback="calm") as session:
        first, *chunks = some(session, 11)
        session.stop()
        (last,) = session

    assert isinstance(first, LiveFallback) and first.name == "calm" and "no answer from" in first.reason
    played = b"".join(event.pcm for event in chunks if isinstance(event, ChunkReceived))
    assert played == (pcm * 3)[: 10 * CHUNK_FRAMES * 2] and len(played) > 2 * len(pcm)
    assert isinstance(last, LiveEnded) and (last.reason, last.tokens_charged) == ("stopped", 0)
    assert (session.source, session.position_s) == ("pack", 10 * CHUNK_FRAMES / 44_100)


@pytest.mark.parametrize("reason", ["budget", "no_tokens", "failed", "lost"])
def test_a_session_that_ended_unasked_goes_on_from_the_pack(reason: LiveEndReason, pack: Pack) -> None:
    with client_of(pack, started(), chunk(0), ended(reason)).live("rain", fallback="calm") as session:
        made, fallback, kept = some(session, 3)

    assert isinstance(made, ChunkReceived) and isinstance(kept, ChunkReceived)
    assert fallback == LiveFallback("calm", reason)
    assert (made.index, kept.index) == (0, 1) and kept.pcm == pack.read("calm").pcm[: len(kept.pcm)]
    assert kept.meter.tokens == 0 and session.tokens_charged == kept.meter.tokens_total == 9
    assert session.ended is not None and session.ended.reason == "stopped"


def test_a_session_that_breaks_for_good_goes_on_from_the_pack(pack: Pack) -> None:
    with client_of(pack, started(), chunk(0)).live("rain", fallback="calm") as session:
        _, fallback, kept = some(session, 3)

    assert isinstance(fallback, LiveFallback) and "job_9" in fallback.reason
    assert isinstance(kept, ChunkReceived)


def test_a_session_that_the_player_stopped_is_over(pack: Pack) -> None:
    with client_of(pack, started(), chunk(0), ended("stopped")).live("rain", fallback="calm") as session:
        assert [type(event) for event in session] == [ChunkReceived, LiveEnded]


def test_a_pack_of_another_format_cannot_go_on_and_the_end_is_told(pack: Pack) -> None:
    with client_of(pack, started(24), chunk(0, 24), ended("budget")).live("rain", fallback="calm") as session:
        assert [type(event) for event in session] == [ChunkReceived, LiveEnded]
    assert session.source == "gateway"


def test_a_pause_holds_the_pack_as_well(pack: Pack) -> None:
    with client_of(pack).live("rain", fallback="calm") as session:
        some(session, 2)
        session.pause()
        paused = next(session)
        session.play()
        resumed, kept = some(session, 2)

    assert isinstance(paused, LivePaused) and isinstance(resumed, LiveResumed)
    assert isinstance(kept, ChunkReceived) and kept.index == 1


def test_a_spent_budget_plays_the_pack_and_asks_nobody(pack: Pack) -> None:
    budget = Budget(1)
    budget.reserve("other", 1)
    client = client_of(pack, started(), chunk(0), budget=budget)
    with client.live("rain", fallback="calm") as session:
        first = next(session)

    assert isinstance(first, LiveFallback) and "budget" in first.reason
    with pytest.raises(BudgetExceeded):
        client.live("rain")


def test_without_a_fallback_the_error_is_the_callers(pack: Pack) -> None:
    with pytest.raises(ConnectionFailed), client_of(pack).live("rain"):
        pass
    with pytest.raises(ValueError, match="fallback: expected one of calm, found 'boss'"):
        client_of(pack).live("rain", fallback="boss")


def test_the_async_session_goes_on_as_well(pack: Pack) -> None:
    class Nobody:
        async def connect(self) -> AsyncLiveSession:
            raise ConnectionFailed("http://gateway.fake", "unplugged")

    async def played() -> list[LiveEvent]:
        clock, shelf = AsyncManualClock(ManualClock()), AsyncShelf(None, pack)
        start = live_start("rain", {}, None, 4, None)
        policy = RetryPolicy(retries_max=0)
        found = AsyncLiveSession(Nobody(), clock, policy, start, rescue=lambda: shelf.spare("calm"))  # type: ignore[arg-type]
        async with found as session:
            return [await anext(session) for _ in range(2)]

    fallback, kept = asyncio.run(played())

    assert isinstance(fallback, LiveFallback)
    assert isinstance(kept, ChunkReceived) and kept.pcm == pack.read("calm").pcm[: len(kept.pcm)]
