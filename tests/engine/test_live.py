"""Steered sound: pieces from bar to bar, no click where a change comes in, music that moves on."""

from __future__ import annotations

import numpy as np
import pytest

from loopmeter import LivePrompt, LiveRequest, LiveSettings
from loopmeter_engine.blocks import BLOCK_SAMPLES
from loopmeter_engine.contract import EngineFailed, LiveChange
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.live import ROUND_BARS, pieces_within
from loopmeter_engine.live_grid import spans
from loopmeter_engine.seam import seam_ratio
from loopmeter_engine.testing import make_live

REQUEST = LiveRequest(prompts=(LivePrompt(text="deep house, bass and chords"),), tempo_bpm=150, key="Am", seed=2)


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine(device="cpu")


def test_rounds_follow_each_other_on_their_bars() -> None:
    played = spans(REQUEST, [], BLOCK_SAMPLES, 44_100)
    round_samples = round(ROUND_BARS * 4 * 60 / 150 * 44_100)
    found = pieces_within(played, 0, 3 * round_samples)
    assert [(piece.start, piece.number) for piece in found] == [(k * round_samples, k) for k in range(3)]
    assert pieces_within(played, round_samples - 1, round_samples + 1) == found[:2]
    assert pieces_within(played, round_samples, round_samples + 1) == found[1:2]


def test_a_change_begins_a_piece_of_its_own() -> None:
    played = spans(REQUEST, [LiveChange(1, LiveSettings(tempo_bpm=75))], BLOCK_SAMPLES, 44_100)
    bar = round(4 * 60 / 150 * 44_100)
    found = pieces_within(played, 0, 200_000)
    assert [(piece.start, piece.request.tempo_bpm) for piece in found] == [(0, 150), (bar, 75)]


def test_a_change_that_comes_late_is_faded_into_what_was_given(engine: LoopmeterEngine) -> None:
    """The bar begins right behind a chunk's end, whose sound was already made when the change came."""
    request = REQUEST.model_copy(update={"tempo_bpm": 120 * 44_100 / (BLOCK_SAMPLES + 1500), "beats_per_bar": 2})
    chunks = make_live(engine, request, [LiveChange(1, LiveSettings(density=1.0, intensity=1.0))], 3, 1)
    ((place,),) = [chunk.applied for chunk in chunks if chunk.applied]
    assert place.frame == BLOCK_SAMPLES + 1500
    sound = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2") / 32768
    assert seam_ratio(np.roll(sound, -BLOCK_SAMPLES)[None]) <= 1


def test_a_state_of_something_else_is_refused(engine: LoopmeterEngine) -> None:
    with pytest.raises(EngineFailed, match="expected a session's state"):
        list(engine.lease_live(REQUEST, [], 3, 1, b"no state"))


def test_the_steady_chunk_costs_what_the_plan_says(engine: LoopmeterEngine) -> None:
    chunks = make_live(engine, REQUEST, [], 3, 3)
    plan = engine.plan_live(REQUEST)
    assert [chunk.usage.flops for chunk in chunks[1:]] == [plan.flops_per_chunk] * 2
    assert chunks[0].usage.flops > plan.flops_per_chunk  # The block behind it is made, too.


def test_weights_choose_the_prompt_that_is_planned(engine: LoopmeterEngine) -> None:
    prompts = (LivePrompt(text="slow reggae, one drop", weight=0.2), LivePrompt(text="techno, driving", weight=0.9))
    plan = engine.plan_live(LiveRequest(prompts=prompts))
    assert plan.request.tempo_bpm is not None and plan.request.tempo_bpm > 115
