"""Choosing how each layer sounds: the genre's families and ranges, moved by the mood, overruled by the words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from loopmeter import Layer
from loopmeter_engine.planner.genres.model import Genre, Range, Sound
from loopmeter_engine.planner.moods import Mood
from loopmeter_engine.score import FAMILIES, MACROS, Timbre

_HABITS: dict[Layer, dict[str, Range]] = {
    "drums": {"brightness": (0.4, 0.65), "softness": (0.0, 0.15), "length": (0.3, 0.6), "drive": (0.05, 0.3),
              "space": (0.05, 0.25), "width": (0.3, 0.6), "level": (0.75, 0.9)},
    "bass": {"brightness": (0.25, 0.5), "softness": (0.0, 0.2), "length": (0.35, 0.65), "drive": (0.1, 0.35),
             "space": (0.0, 0.1), "width": (0.0, 0.2), "level": (0.7, 0.85)},
    "chords": {"brightness": (0.35, 0.6), "softness": (0.05, 0.25), "length": (0.35, 0.65), "drive": (0.05, 0.3),
               "space": (0.15, 0.4), "width": (0.3, 0.7), "level": (0.55, 0.72)},
    "lead": {"brightness": (0.4, 0.65), "softness": (0.05, 0.25), "length": (0.35, 0.65), "drive": (0.05, 0.3),
             "space": (0.2, 0.45), "width": (0.2, 0.5), "level": (0.55, 0.75)},
    "pad": {"brightness": (0.25, 0.5), "softness": (0.45, 0.8), "length": (0.5, 0.8), "drive": (0.0, 0.15),
            "space": (0.3, 0.6), "width": (0.5, 0.9), "level": (0.42, 0.6)},
    "fx": {"brightness": (0.3, 0.6), "softness": (0.2, 0.5), "length": (0.4, 0.7), "drive": (0.0, 0.2),
           "space": (0.3, 0.6), "width": (0.5, 0.9), "level": (0.25, 0.45)},
}  # fmt: skip


def choose_timbre(
    genre: Genre,
    mood: Mood,
    layer: Layer,
    rng: np.random.Generator,
    family: str | None = None,
    macros: Mapping[str, float] | None = None,
) -> Timbre:
    """A timbre for one layer. ``family`` and ``macros`` are taken as they are.

    Raises:
        ValueError: the family or a macro is unknown, or a macro is outside 0..1.
    """
    choices = genre.sounds.get(layer) or (Sound(FAMILIES[layer][0], {}),)
    # The first choice of a genre is its signature: twice as likely as any other.
    weights = np.array([2.0] + [1.0] * (len(choices) - 1))
    drawn = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    rolls = {macro: float(rng.random()) for macro in MACROS}
    if family is not None:
        if family not in FAMILIES[layer]:
            raise ValueError(f"expected a family of {layer} ({', '.join(FAMILIES[layer])}), found {family!r}")
        drawn = next((choice for choice in choices if choice.family == family), Sound(family, {}))
    values: dict[str, float] = {}
    for macro in MACROS:
        low, high = drawn.macros.get(macro, _HABITS[layer][macro])
        shift = (mood.macros or {}).get(macro, 0.0)
        if layer == "bass" and macro in ("space", "width"):
            shift = min(shift, 0.05)
        values[macro] = round(min(1.0, max(0.0, low + (high - low) * rolls[macro] + shift)), 4)
    for macro, value in (macros or {}).items():
        if macro not in MACROS or not 0.0 <= value <= 1.0:
            raise ValueError(f"expected a macro of {', '.join(MACROS)} in 0..1, found {macro}={value!r}")
        values[macro] = float(value)
    return Timbre(drawn.family, **values)
