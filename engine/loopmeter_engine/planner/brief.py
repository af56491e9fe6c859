"""What the words of a prompt asked for, as the planner takes it. Filled by ``loopmeter_engine.text``."""

from __future__ import annotations

from dataclasses import dataclass, field

from loopmeter import Layer


@dataclass(frozen=True, slots=True)
class PromptBrief:
    """Every choice that a prompt made; ``None`` or empty means that it said nothing.

    ``genre``, ``mood`` and ``mode`` are names of ``names.py``; ``tonic`` is a pitch class, 0 = C. ``layers_only``
    ("just drums") sets the layers, ``layers_without`` ("no drums") takes some from the genre's habit. ``families``
    holds names of ``score.FAMILIES[layer]``, ``macros`` names of ``score.MACROS`` with values 0..1, ``density`` is
    0 (sparse) to 1 (busy). ``beats_per_bar`` is a meter that the words named ("waltz", "6/8").
    """

    genre: str | None = None
    mood: str | None = None
    tempo_bpm: float | None = None
    bars: int | None = None
    tonic: int | None = None
    mode: str | None = None
    layers_only: tuple[Layer, ...] = ()
    layers_without: tuple[Layer, ...] = ()
    families: dict[Layer, str] = field(default_factory=dict)
    macros: dict[Layer, dict[str, float]] = field(default_factory=dict)
    density: float | None = None
    beats_per_bar: int | None = None
