"""A live session from its client's side, message by message, without a socket."""

from __future__ import annotations

import pytest

import loopmeter
from loopmeter import (
    ChunkMeter,
    ChunkProtocolError,
    ChunkReceived,
    Conflict,
    InvalidRequest,
    LiveApplied,
    LiveEnded,
    LiveError,
    LivePause,
    LiveResume,
    LiveStarted,
    LiveStop,
    Loopmeter,
    Problem,
    ResolvedLive,
    encode_chunk_event,
    encode_live,
)
from loopmeter._live_core import LiveCore, Playout, live_start

START = live_start("drums", {"tempo_bpm": 92.0}, max_tokens=500, credit=4, session="s-1")
STARTED = LiveStarted(
    job="live_1",
    session="s-1",
    request=ResolvedLive.model_validate(START.request().model_dump()),
    sample_rate_hz=10,
    channels=1,
    bits=16,
    chunk_frames=10,
)


def chunk(index: int, tokens: int = 3) -> bytes:
    meter = ChunkMeter(index=index, frames=10, tokens=tokens, tokens_total=tokens * (index + 1))
    return encode_chunk_event(ChunkReceived(bytes(20), meter))


def opened(started: LiveStarted = STARTED) -> LiveCore:
    core = LiveCore(START)
    core.opening()
    core.receive(encode_live(started))
    return core


def test_the_first_connection_starts_and_later_ones_resume() -> None:
    core = LiveCore(START)
    assert core.opening() == START
    core.receive(encode_live(STARTED))
    core.receive(chunk(0))
    assert core.opening() == LiveResume(session="s-1", from_chunk=1, credit=4)


def test_chunks_add_up_to_position_and_spend() -> None:
    core = opened()
    assert core.tokens_per_minute == 0
    for index in range(90):
        core.receive(chunk(index, tokens=1 if index < 20 else 5))
    assert (core.position_s, core.tokens_charged) == (90.0, 450)
    assert core.tokens_per_minute == 300  # Only the last minute counts.


def test_what_was_not_heard_is_sent_again_after_a_break() -> None:
    core = opened()
    heard, known, lost = (core.steering({"density": share}) for share in (0.1, 0.2, 0.3))
    core.receive(encode_live(LiveApplied(ref=heard.ref, chunk=1, frame=0, bar=0)))
    core.pausing(True)
    core.stopping()
    core.opening()
    event, answers = core.receive(encode_live(STARTED.model_copy(update={"known_refs": (known.ref,)})))
    assert (event, answers) == (None, [lost, LivePause(), LiveStop()])


def test_a_change_is_told_once_though_it_is_said_again() -> None:
    core = opened()
    message = core.steering({"prompts": {"warm pads": 2.0, "techno": 1.0}})
    applied = LiveApplied(ref=message.ref, chunk=1, frame=0, bar=0)
    assert [core.receive(encode_live(applied))[0] for _ in range(2)] == [applied, None]


def test_a_refused_change_is_an_event_and_a_refused_session_an_error() -> None:
    problem = Problem(status=409, code="taken_over")
    core = opened()
    refused = LiveError(problem=problem, ref="x")
    assert core.receive(encode_live(refused)) == (refused, [])
    core.opening()
    with pytest.raises(Conflict):
        core.receive(encode_live(LiveError(problem=problem)))


@pytest.mark.parametrize("data", [chunk(1), b"", '{"type":"paused"}', "{"], ids=["gap", "empty", "field", "cut"])
def test_what_breaks_the_protocol_is_said_so(data: str | bytes) -> None:
    with pytest.raises(ChunkProtocolError):
        opened().receive(data)


def test_a_session_that_goes_on_elsewhere_is_not_taken_for_ours() -> None:
    core = opened()
    core.receive(chunk(0))
    core.opening()
    with pytest.raises(ChunkProtocolError, match="expected chunk 1 of live_1, found chunk 0 of live_1"):
        core.receive(encode_live(STARTED))


def test_unknown_messages_are_ignored() -> None:
    assert opened().receive('{"type":"fireworks","colour":"red"}') == (None, [])


def test_the_end_is_an_event_with_the_bill() -> None:
    core = opened()
    ended = LiveEnded(reason="budget", chunks=7, tokens_charged=500)
    assert core.receive(encode_live(ended)) == (ended, [])
    assert (core.ended, core.tokens_charged) == (ended, 500)


@pytest.mark.parametrize(
    ("prompt", "options"), [("", {}), (None, {}), ("x", {"density": 2.0}), (None, {"prompts": {"x": 0.0}})]
)
def test_wrong_fields_are_found_before_anything_is_sent(prompt: str | None, options: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        live_start(prompt, options, None, 4, None)
    with pytest.raises(InvalidRequest):
        LiveCore(START).steering({"density": -1})


def test_prompt_and_prompts_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="found both"):
        Loopmeter("http://127.0.0.1:1").live("drums", prompts={"pads": 1.0})


def test_play_out_stands_still_when_the_sound_runs_dry() -> None:
    playout = Playout()
    assert playout.position_s(100.0) == 0.0
    playout.give(2.0, 100.0)
    assert (playout.position_s(101.5), playout.buffered_s(101.5)) == (1.5, 0.5)
    assert playout.position_s(110.0) == 2.0
    playout.give(4.0, 110.0)  # eight seconds of silence before it
    assert (playout.position_s(111.0), playout.buffered_s(111.0)) == (3.0, 1.0)


def test_a_session_says_how_to_install_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with pytest.raises(loopmeter.LoopmeterError, match=r"pip install 'loopmeter\[live\]'"), Loopmeter().live("x"):
        pass
