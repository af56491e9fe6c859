"""A mix that is asked for as the sum of its stems."""

from __future__ import annotations

import numpy as np
import pytest

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, EngineFailed, InvalidRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.stopping import LeaseStopped, stop_when
from loopmeter_engine.testing import make_all

MIX = LoopRequest(prompt="warm funk", tempo_bpm=104, bars=1, key="Em", seed=7, stems=True)
STEMS = ("drums", "bass", "chords")


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine(device="cpu")


def _sound(chunks: list[Chunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2").astype(np.int64)


def test_stems_asked_one_by_one_add_up_to_their_mix(engine: LoopmeterEngine) -> None:
    mix = _sound(make_all(engine, MIX.model_copy(update={"layers": STEMS})))
    parts = [_sound(make_all(engine, MIX.model_copy(update={"layers": (layer,)}))) for layer in STEMS]
    assert abs(mix).max() < 0.9 * 32767  # Else the sum would be bent.
    assert abs(mix - np.sum(parts, 0)).max() <= len(STEMS)  # Each was rounded to 16 bit.
    assert all(np.sqrt((part**2).mean()) > 30 for part in parts)


def test_a_mix_goes_on_from_its_state_as_if_it_had_not_stopped(engine: LoopmeterEngine) -> None:
    request = MIX.model_copy(update={"layers": STEMS, "bars": 2})
    whole = make_all(engine, request)
    assert len(whole) > 2
    again = list(engine.lease(request, 2, len(whole) - 2, whole[1].state_after))
    assert [chunk.pcm for chunk in again] == [chunk.pcm for chunk in whole[2:]]
    with pytest.raises(EngineFailed, match="expected a state of 3 stems"):
        list(engine.lease(request, 2, 1, make_all(engine, MIX.model_copy(update={"layers": ("bass",)}))[0].state_after))


def test_a_mix_costs_one_stream_a_stem(engine: LoopmeterEngine) -> None:
    request = MIX.model_copy(update={"layers": STEMS})
    alone = MIX.model_copy(update={"layers": ("bass",)})
    assert engine.plan(request).flops == 3 * engine.plan(alone).flops
    assert engine.plan(alone).flops == engine.plan(alone.model_copy(update={"stems": None})).flops
    assert sum(chunk.usage.flops for chunk in make_all(engine, request)) == engine.plan(request).flops


def test_a_mix_that_nobody_wants_stops(engine: LoopmeterEngine) -> None:
    with stop_when(lambda: True), pytest.raises(LeaseStopped):
        make_all(engine, MIX.model_copy(update={"layers": STEMS}))


def test_without_layers_the_stems_are_those_of_the_genre(engine: LoopmeterEngine) -> None:
    layers = engine.score(MIX).summary["layers"]
    assert isinstance(layers, dict) and len(layers) > 1
    assert engine.plan(MIX).flops == len(layers) * engine.plan(MIX.model_copy(update={"layers": ("bass",)})).flops


def test_stems_of_one_sound_and_of_an_engine_that_makes_none_are_refused(engine: LoopmeterEngine) -> None:
    with pytest.raises(InvalidRequest, match="expected no stems with continue"):
        engine.plan(MIX.model_copy(update={"task": "continue"}))
    with pytest.raises(InvalidRequest, match="an engine that can do stems"):
        FakeEngine().plan(MIX)
