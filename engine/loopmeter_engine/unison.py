"""How voices of a unison beat: detuned copies of a note, each partial of which swells and fades as their phases meet.

A supersaw, a string section or a reese bass is one note many times over. Its partials are never steady, which is what
makes it wide and alive. Which copies an instrument has is stated here once: the synthesisers of the training data play
them, and ``model.players`` lets what it has learned as steady partials beat in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loopmeter import Layer

GOLDEN = 0.6180339887498949  # Copy n of a unison starts n times so many turns late.
ENSEMBLE_POWER = 0.85  # Partial n of an ensemble spreads n to this power as far as the first, in Hz.


@dataclass(frozen=True)
class Unison:
    """``cents``: how far each copy is off. ``starts``: whether the copies begin ``apart``, ``together`` or, as players
    of an ensemble, at ``random``, where ``cents`` are the standard deviation of one copy."""

    cents: tuple[float, ...]
    starts: Literal["apart", "together", "random"] = "apart"


UNISONS: dict[tuple[Layer, str], Unison] = {
    ("bass", "reese"): Unison((0.0, -17.0, 17.0)),
    ("chords", "saw_stab"): Unison((0.0, -9.0, 9.0, -4.0, 4.0)),
    ("chords", "pluck"): Unison((4.0, -4.0), "together"),
    ("lead", "square"): Unison((0.0, -5.0, 5.0)),
    ("lead", "saw"): Unison((0.0, -8.0, 8.0)),
    ("pad", "warm"): Unison((0.0, -7.0, 7.0, 2.0)),
    ("pad", "supersaw"): Unison((0.0, -6.0, 6.0, -13.0, 13.0, -21.0, 21.0)),
    ("pad", "strings"): Unison((9.0,), "random"),
    ("pad", "choir"): Unison((11.0,), "random"),
}
