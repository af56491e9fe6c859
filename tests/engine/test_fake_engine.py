from __future__ import annotations

import io

import mido
import pytest

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import EngineContract, LiveEngineContract, make_all

REQUEST = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92, bars=2, beats_per_bar=3, key="Am")


class TestFakeEngineKeepsTheContract(EngineContract, LiveEngineContract):
    @pytest.fixture
    def engine(self) -> FakeEngine:
        return FakeEngine()


def test_open_fields_are_filled_in() -> None:
    resolved = FakeEngine().plan(LoopRequest(prompt="anything")).request
    assert (resolved.tempo_bpm, resolved.bars, resolved.key) == (120.0, 4, "C")


def test_chunks_mimic_the_real_engine() -> None:
    plan = FakeEngine().plan(LoopRequest(prompt="x", tempo_bpm=120, bars=1))
    assert plan.chunk_frames == (22_528, 32_768, 32_768, 136)


def test_two_engines_make_equal_bytes() -> None:
    assert make_all(FakeEngine(), REQUEST) == make_all(FakeEngine(), REQUEST)


@pytest.mark.parametrize("wrong", ["another chunk's", "another request's", "cut short", "flipped", "empty"])
def test_a_wrong_state_is_refused(wrong: str) -> None:
    engine = FakeEngine()
    chunks = make_all(engine, REQUEST)
    right = chunks[0].state_after
    state = {
        "another chunk's": chunks[1].state_after,
        "another request's": make_all(engine, REQUEST.model_copy(update={"seed": 1}))[0].state_after,
        "cut short": right[:-1],
        "flipped": bytes([right[0] ^ 1]) + right[1:],
        "empty": b"",
    }[wrong]
    with pytest.raises(EngineFailed, match="expected the state after chunk 0"):
        list(engine.lease(REQUEST, 1, 1, state))


def test_the_metronome_is_a_readable_midi_file_of_the_loops_length() -> None:
    midi = mido.MidiFile(file=io.BytesIO(FakeEngine().score(REQUEST).midi))
    notes = [message for message in midi.tracks[0] if message.type == "note_on"]
    assert [message.note for message in notes] == [76, 77, 77, 76, 77, 77]
    assert all(message.channel == 9 for message in notes)
    assert sum(message.time for message in midi.tracks[0]) == 6 * midi.ticks_per_beat
    assert midi.length == pytest.approx(6 * 60 / 92, abs=1e-4)


def test_the_delay_is_slept_before_each_chunk_and_not_after_closing() -> None:
    slept: list[float] = []
    engine = FakeEngine(chunk_delay_s=0.5, sleep=slept.append)
    iterator = engine.lease(REQUEST, 0, 3, None)
    next(iterator)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]  # A generator, as the contract suite checks.
    assert slept == [0.5, 0.5]


def test_the_asked_failure_comes_after_the_chunks_before_it() -> None:
    engine = FakeEngine(fail_at_chunk=1)
    iterator = engine.lease(REQUEST, 0, 3, None)
    assert next(iterator).index == 0
    with pytest.raises(EngineFailed, match="chunk 1"):
        next(iterator)
    with pytest.raises(EngineFailed):
        list(engine.lease(REQUEST, 1, 1, None))


def test_a_failure_may_be_transient() -> None:
    engine = FakeEngine(fail_at_chunk=1, fail_times=1)
    first = next(engine.lease(REQUEST, 0, 1, None))
    with pytest.raises(EngineFailed):
        list(engine.lease(REQUEST, 1, 1, first.state_after))
    (retried,) = engine.lease(REQUEST, 1, 1, first.state_after)
    assert retried == make_all(FakeEngine(), REQUEST)[1]
