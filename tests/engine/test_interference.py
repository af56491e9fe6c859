"""Partials that meet add as waves do: unisons beat, octaves are louder, and a note alone is as loud as was learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tests.engine.scores import SCORE
from torch import Tensor

from loopmeter import Layer
from loopmeter_engine.conditioning import PITCH_MIN, global_features
from loopmeter_engine.model.autoencoder import LONG_FFT, SAMPLE_RATE_HZ
from loopmeter_engine.model.interference import Interference, Waves
from loopmeter_engine.partials import RATIOS
from loopmeter_engine.score import TONAL_LAYERS, Timbre
from loopmeter_engine.training.synth.instrument import Tone
from loopmeter_engine.training.synth.oscillators import midi_hz
from loopmeter_engine.training.synth.render import INSTRUMENTS
from loopmeter_engine.unison import UNISONS

MEETING = Interference()
TIMES_S = torch.linspace(0.1, 3.9, 400)


def _family(layer: Layer, family: str) -> Tensor:
    score = dataclasses.replace(SCORE, timbres={layer: Timbre(family)})
    return MEETING.families(global_features([score]))[0, TONAL_LAYERS.index(layer)]


def _power(waves: Waves) -> Tensor:
    return waves.x.square() + waves.y.square() + waves.loose


def _factors(layer: Layer, family: str, pitch: int) -> tuple[Tensor, Tensor]:
    """By how much a note's partials, alone, are louder than on average: of mid and side, (times, ratios)."""
    count = len(TIMES_S)
    mid, side = MEETING(_family(layer, family).expand(count), torch.full((count,), float(pitch - PITCH_MIN)), TIMES_S)
    return _power(mid), _power(side)


@pytest.mark.parametrize(
    ("layer", "family"),
    [
        ("pad", "supersaw"),
        ("pad", "warm"),
        ("chords", "saw_stab"),
        ("lead", "saw"),
        ("pad", "strings"),
        ("pad", "choir"),
    ],
)
@pytest.mark.parametrize("partial", [2, 5])
def test_partials_swell_and_fade_when_the_instrument_s_own_do(layer: Layer, family: str, partial: int) -> None:
    """Against the sound itself: a long note of the synthesiser, heard in the long window at one partial."""
    pitch = 57
    tone = Tone(midi_hz(pitch), 0.8, 4 * SAMPLE_RATE_HZ + LONG_FFT, Timbre(family), np.random.default_rng(0))
    mid = INSTRUMENTS[layer][family].ring(tone)[0].astype(np.float64)
    middles = (TIMES_S * SAMPLE_RATE_HZ).round().long().numpy()
    windows = mid[middles[:, None] + np.arange(-LONG_FFT // 2, LONG_FFT // 2)] * np.hanning(LONG_FFT)
    waves = np.exp(-2j * np.pi * partial * tone.hz * np.arange(LONG_FFT) / SAMPLE_RATE_HZ)
    heard = np.log(np.abs(windows @ waves))
    told = 0.5 * np.log(_factors(layer, family, pitch)[0][:, partial - 1].numpy())
    trend = np.polynomial.Polynomial.fit(TIMES_S.numpy(), heard - told, 3)(TIMES_S.numpy())  # A filter's own way.
    assert np.corrcoef(heard - trend, told)[0, 1] > 0.8


@pytest.mark.parametrize(("layer", "family"), UNISONS)
def test_on_average_a_unison_is_as_loud_as_was_learned(layer: Layer, family: str) -> None:
    factors = torch.stack([torch.stack(_factors(layer, family, pitch)) for pitch in range(40, 76, 3)])
    assert float(factors[..., :16].clamp(min=1e-3).log().mean().abs()) < 0.35  # 1.5 dB.


def test_what_is_no_unison_does_not_beat() -> None:
    for factors in _factors("chords", "piano", 60):
        assert torch.allclose(factors, torch.ones(len(TIMES_S), RATIOS), atol=1e-5)


def test_where_the_sound_itself_tells_the_timbre_nothing_beats() -> None:
    families = MEETING.families(torch.zeros_like(global_features([SCORE])))
    mid, side = MEETING(families[0], torch.full((families.shape[1],), 30.0), torch.rand(families.shape[1]))
    assert torch.allclose(_power(mid), torch.ones(())) and torch.allclose(_power(side), torch.ones(()))


def _together(interval: int, lower: int, upper: int) -> Tensor:
    """How strong two partials of power 1 are in one bin, over 2 s after both notes began."""
    times_s = torch.linspace(0, 2, 200)
    family = _family("chords", "electric_piano").expand(len(times_s))
    notes = [MEETING(family, torch.full_like(times_s, 33.0 + shift), times_s)[0] for shift in (0, interval)]
    x, y = (getattr(notes[0], part)[:, lower - 1] + getattr(notes[1], part)[:, upper - 1] for part in ("x", "y"))
    return x.square() + y.square()


def test_an_octave_is_four_times_as_strong_where_its_notes_meet() -> None:
    assert torch.allclose(_together(12, 2, 1), torch.full((200,), 4.0), atol=0.05)


def test_a_fifth_swells_and_fades_where_its_notes_meet() -> None:
    strong = _together(7, 3, 2)
    assert strong[0] > 3.9 and strong.min() < 0.1 and strong.max() > 3.9
