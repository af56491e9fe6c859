"""What a tape does to a whole loop: it wanders in speed and loses treble. Circular, so that the loop stays seamless.

Every stem is treated alike, so their sum is the mix on the same tape. Notes move by about a millisecond at most.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from loopmeter import Layer
from loopmeter_engine.training.synth.effects import circular_filter, low_pass
from loopmeter_engine.training.synth.envelopes import geometric
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats, hermite

_WOW_HZ, _FLUTTER_HZ = (0.4, 1.5), (6.0, 10.0)
_WOW, _FLUTTER = 0.0025, 0.0008  # Largest change of speed.


def play_on_tape(stems: Mapping[Layer, Floats], rng: np.random.Generator) -> dict[Layer, Floats]:
    """Stems (2, frames) of a loop, as an old tape gives them back."""
    if not stems:
        return {}
    frames = next(iter(stems.values())).shape[-1]
    place = np.arange(frames) + _wander(frames, rng)
    cut = low_pass(geometric(float(rng.random()), 5000.0, 15_000.0))
    return {layer: circular_filter(_read_around(stem, place), cut) for layer, stem in stems.items()}


def _wander(frames: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How far off the head is, in frames: sines with whole numbers of turns in the loop."""
    time = np.arange(frames) / frames
    out = np.zeros(frames)
    for (low, high), depth in ((_WOW_HZ, _WOW), (_FLUTTER_HZ, _FLUTTER)):
        turns = max(1, round(float(rng.uniform(low, high)) * frames / SAMPLE_RATE_HZ))
        speed = depth * float(rng.uniform(0.2, 1.0))
        # A short loop's slowest turn is fast; the change of speed is what is heard, so that stays bounded.
        out += speed * frames / (2.0 * np.pi * turns) * np.sin(2.0 * np.pi * (turns * time + float(rng.random())))
    return out


def _read_around(stem: Floats, place: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Floats:
    whole = np.floor(place).astype(np.intp)
    t = (place - whole).astype(np.float32)
    around = [stem[:, (whole + shift) % stem.shape[-1]] for shift in (-1, 0, 1, 2)]
    return hermite(around[0], around[1], around[2], around[3], t)
