"""Notes duck as whole stems of the training data do, are as loud as before on average, and only where music pumps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.engine.scores import SCORE
from torch import Tensor

from loopmeter import Layer
from loopmeter_engine.conditioning import CLOCK_CHANNELS, FRAME_S, SLOTS, events_of, frame_features, global_features
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.model.ducking import Ducking
from loopmeter_engine.score import TONAL_LAYERS, Score
from loopmeter_engine.sidechain import DEPTH_BY_GENRE, SHARE_BY_LAYER
from loopmeter_engine.training.synth.render import _pump

FRAMES = 40


def _factors(score: Score, first_s: float = 0.0, frames: int = FRAMES) -> Tensor:
    """(4 frames, tonal layers)"""
    start = torch.tensor([first_s], dtype=torch.float64)
    clock = frame_features(events_of([score]), start, frames)[0, :, -CLOCK_CHANNELS:]
    return Ducking()(global_features([score]).expand(frames, -1), clock)


@pytest.mark.parametrize("tempo_bpm", [70.0, 124.0, 171.3])
@pytest.mark.parametrize(("genre", "layer"), [("house", "pad"), ("trance", "bass"), ("synthwave", "chords")])
def test_notes_duck_with_the_stem_of_the_same_score(genre: str, layer: Layer, tempo_bpm: float) -> None:
    score = dataclasses.replace(SCORE, genre=genre, tempo_bpm=tempo_bpm)
    gain = np.log(_pump(score, layer) ** 2)
    middles = (np.arange(FRAMES * SLOTS) + 0.5) * FRAME_S / SLOTS * SAMPLE_RATE_HZ
    wanted = torch.from_numpy(gain[middles.astype(int) % len(gain)])
    found = _factors(score)[:, TONAL_LAYERS.index(layer)].log()
    apart = found - wanted
    assert apart.std() < 0.08, "0.35 dB"
    assert abs(float(found.mean())) < 0.15


@pytest.mark.parametrize("genre", ["jazz", "ambient", "trap"])
def test_elsewhere_nothing_ducks(genre: str) -> None:
    assert torch.allclose(_factors(dataclasses.replace(SCORE, genre=genre)), torch.ones(()))


def test_a_layer_that_does_not_duck_stays_as_it_is() -> None:
    factors = _factors(dataclasses.replace(SCORE, genre="house"))
    still = [TONAL_LAYERS.index(layer) for layer in TONAL_LAYERS if layer not in SHARE_BY_LAYER]
    assert still and torch.equal(factors[:, still], torch.ones_like(factors[:, still]))


@pytest.mark.parametrize("genre", DEPTH_BY_GENRE)
def test_any_split_ducks_alike(genre: str) -> None:
    score = dataclasses.replace(SCORE, genre=genre)
    parts = [_factors(score, first * FRAME_S, 10) for first in range(0, FRAMES, 10)]
    assert torch.allclose(torch.cat(parts), _factors(score), atol=1e-4)
