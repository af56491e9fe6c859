"""Who plays in unison: instruments of which a note is many detuned copies, whose partials swell and fade.

A supersaw, a string section or a reese bass is never steady, which is what makes it wide and alive. Which copies an
instrument has is stated here once: the synthesisers of the training data play them, and ``model.interference`` lets
what was learned as steady partials beat in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loopmeter import Layer

GOLDEN = 0.6180339887498949  # Copy n of a unison starts n times so many turns late.
ENSEMBLE_SAMPLES = 1 << 18  # After so many an ensemble repeats: 5.9 s.
ENSEMBLE_BIN_HZ = 44_100 / ENSEMBLE_SAMPLES


@dataclass(frozen=True)
class Unison:
    """``cents``: how far each copy is off. ``starts``: whether the copies begin ``apart`` or ``together``.
    ``ensemble_cents``: of so many players that only their spread is stated, a standard deviation; 0 for none."""

    cents: tuple[float, ...] = ()
    starts: Literal["apart", "together"] = "apart"
    ensemble_cents: float = 0.0


UNISONS: dict[tuple[Layer, str], Unison] = {
    ("bass", "reese"): Unison((0.0, -17.0, 17.0)),
    ("chords", "saw_stab"): Unison((0.0, -9.0, 9.0, -4.0, 4.0)),
    ("chords", "pluck"): Unison((4.0, -4.0), "together"),
    ("lead", "square"): Unison((0.0, -5.0, 5.0)),
    ("lead", "saw"): Unison((0.0, -8.0, 8.0)),
    ("pad", "warm"): Unison((0.0, -7.0, 7.0, 2.0)),
    ("pad", "supersaw"): Unison((0.0, -6.0, 6.0, -13.0, 13.0, -21.0, 21.0)),
    ("pad", "strings"): Unison(ensemble_cents=9.0),
    ("pad", "choir"): Unison(ensemble_cents=11.0),
}


def ensemble_band(hz: float, harmonic: int, spread_cents: float) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """One harmonic of an ensemble: bins of ``ENSEMBLE_BIN_HZ``, and amplitudes whose squares add up to about 1.8."""
    centre = hz * harmonic / ENSEMBLE_BIN_HZ
    width = max(1.5, (2.0 ** (spread_cents / 1200.0) - 1.0) * hz * harmonic**0.85 / ENSEMBLE_BIN_HZ)
    last = ENSEMBLE_SAMPLES // 2
    bins = np.arange(max(1, int(centre - 4 * width)), min(last, int(centre + 4 * width) + 1))
    return bins, np.exp(-0.5 * ((bins - centre) / width) ** 2) / np.sqrt(width)


def ensemble_turns(hz: float) -> NDArray[np.float32]:
    """(2, bins) for mid and side: where each bin begins, in turns. It depends on the pitch alone."""
    return np.random.default_rng(round(hz * 1000.0)).random((2, ENSEMBLE_SAMPLES // 2 + 1), np.float32)
