"""Where an instrument's partials lie, as multiples of a note's frequency, and how that sways.

Strings are stiff, bars and bells have modes of their own. The synthesisers of the training data take them from here,
and so does ``model.players``, which says how loud each partial is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopmeter import Layer

HARMONICS = 32  # That players tell apart; above, and between, there are bands.
ORGAN_PIPES = (1, 2, 3, 4, 6, 8, 10, 12, 16)  # Of a pipe an octave below the key.
BELL = (0.5, 1.0, 1.0018, 1.19, 1.5, 2.0, 2.004, 2.67, 3.01, 4.1, 5.43, 6.79, 8.21)
MALLET = (1.0, 3.98, 9.6, 16.1)
GLASS = (1.0, 2.0, 3.0, 4.02, 5.96, 8.03)
STIFF: tuple[tuple[Layer, str], ...] = (("bass", "finger"), ("chords", "guitar"), ("chords", "piano"))
_BETWEEN = (0.5, 1.19, 2.67, 5.43, 6.79)  # More partials than harmonics, of those that have such.
# What lies elsewhere than a harmonic, by the place of that harmonic or of one of ``_BETWEEN``.
_MOVED: dict[tuple[Layer, str], dict[int, float]] = {
    ("chords", "organ"): {33: ORGAN_PIPES[2] / 2},
    ("lead", "bell"): {2: BELL[8], 3: BELL[9], 7: BELL[12], 8: BELL[4]},
    ("lead", "mallet"): {3: MALLET[1], 9: MALLET[2], 15: MALLET[3]},
    ("pad", "glass"): {3: GLASS[3], 5: GLASS[4], 7: GLASS[5]},
}
RATIOS = HARMONICS + len(_BETWEEN)  # Partials in all.
KINDS: tuple[tuple[Layer, str], ...] = (*STIFF, *_MOVED)  # Instruments whose partials are not plain harmonics.


VIBRATO_RISE = 3.0  # So much of a vibrato's depth comes in a second.


@dataclass(frozen=True)
class Vibrato:
    """Up to so many ``cents`` off, ``rate_hz`` times a second, fading in ``delay_s`` after a note's onset."""

    cents: float
    rate_hz: float
    delay_s: float


VIBRATOS: dict[tuple[Layer, str], Vibrato] = {
    ("chords", "organ"): Vibrato(5.0, 6.3, 0.0),
    ("lead", "square"): Vibrato(9.0, 5.3, 0.3),
    ("lead", "saw"): Vibrato(9.0, 5.3, 0.3),
    ("lead", "flute"): Vibrato(7.0, 5.0, 0.25),
    ("lead", "whistle"): Vibrato(14.0, 5.8, 0.2),
}


def stiffness(family: str, hz: float) -> float:
    """Of a string of one of ``STIFF``; of a piano's the more, the shorter it is."""
    of_middle_c = {"finger": 5e-5, "guitar": 6e-5, "piano": 2.5e-4}[family]
    return of_middle_c * float((hz / 261.6) ** 1.2) if family == "piano" else of_middle_c


def stretch(order: NDArray[np.float64], stiff: float) -> NDArray[np.float64]:
    """How much sharper than harmonics are partials 1, 2, 3, ... of a stiff string (Fletcher 1964)."""
    times: NDArray[np.float64] = np.sqrt((1.0 + stiff * order**2) / (1.0 + stiff))
    return times


def partial_ratios(layer: Layer, family: str, hz: float) -> NDArray[np.float64]:
    """(RATIOS,) of a note of ``hz``."""
    order = np.arange(1.0, HARMONICS + 1.0)
    if (layer, family) in STIFF:
        order = order * stretch(order, stiffness(family, hz))
    ratios = np.concatenate([order, _BETWEEN])
    for place, ratio in _MOVED.get((layer, family), {}).items():
        ratios[place] = ratio
    return ratios
