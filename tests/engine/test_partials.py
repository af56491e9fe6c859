"""Partials are told where the synthesisers have them."""

from __future__ import annotations

import numpy as np
import pytest

from loopmeter import Layer
from loopmeter_engine.partials import HARMONICS, KINDS, VIBRATOS, Vibrato, partial_ratios
from loopmeter_engine.score import Timbre
from loopmeter_engine.training.synth.instrument import Tone
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, vibrato
from loopmeter_engine.training.synth.render import INSTRUMENTS

HZ = 330.0
_SIZE = 1 << 17  # Windows of 3 s: a bin is a third of a hertz.


@pytest.mark.parametrize(("layer", "family"), KINDS)
def test_the_strongest_partials_of_a_note_lie_where_they_are_told(layer: Layer, family: str) -> None:
    tone = Tone(HZ, 0.9, _SIZE, Timbre(family, brightness=0.8, length=1.0), np.random.default_rng(0))
    level = np.abs(np.fft.rfft(INSTRUMENTS[layer][family].ring(tone)[0] * np.hanning(_SIZE)))
    bin_hz = SAMPLE_RATE_HZ / _SIZE
    told = partial_ratios(layer, family, HZ) * HZ
    found = []
    for _ in range(4):
        top = int(level.argmax())
        found.append(top * bin_hz)
        level[max(0, top - round(60 / bin_hz)) : top + round(60 / bin_hz)] = 0
    off = [np.abs(told - hz).min() for hz in found]
    assert max(off) < 2.5, (found, off)  # The vibrato of an organ moves its partials by so much.


def test_instruments_that_are_not_named_have_harmonics() -> None:
    assert np.array_equal(partial_ratios("bass", "sub", 50.0)[:HARMONICS], np.arange(1, HARMONICS + 1))


@pytest.mark.parametrize("kind", VIBRATOS.values(), ids=lambda kind: f"{kind.cents}")
def test_a_vibrato_reaches_its_cents_and_begins_after_its_delay(kind: Vibrato) -> None:
    turns = vibrato(HZ, 3 * SAMPLE_RATE_HZ, kind).astype(np.float64)
    begin = round(kind.delay_s * SAMPLE_RATE_HZ)
    assert not turns[:begin].any()
    faster = np.diff(turns[2 * SAMPLE_RATE_HZ :]) * SAMPLE_RATE_HZ / HZ
    assert 1200 * np.log2(1 + faster.max()) == pytest.approx(kind.cents, rel=0.05)
