"""The vocabulary of the genre tables. Every pattern is one bar of sixteen steps, spaces ignored (or two: 32 steps).

Drum steps: ``X`` accent, ``x`` normal, ``o`` soft, ``g`` ghost; ``+`` normal and ``?`` ghost that the density may
leave out; ``r`` two 32nds, ``t`` a triplet over this step and the next; ``.`` rest.
Chord steps: ``X x o`` strike the whole chord, a digit plays that voice alone (1 = lowest), ``-`` holds, ``.`` rests.
Bass steps: ``1 3 5 7`` a tone of the chord, ``8`` the upper octave, ``l`` the lower octave, ``a`` a step towards the
next chord, ``-`` holds, ``.`` rests. Lead steps: ``x`` a note, ``-`` holds, ``.`` rests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from loopmeter import Layer

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sound:
    """A family of ``score.FAMILIES`` and the ranges from which its macros are drawn; the rest is the layer's habit."""

    family: str
    macros: dict[str, Range]


@dataclass(frozen=True, slots=True)
class DrumPattern:
    """The bar that a genre repeats. ``extras`` are rows that come in by density, most likely first."""

    rows: dict[str, str]
    extras: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrumFill:
    """The last steps of a phrase: the rows' length says how many. Drums in ``keep`` play their pattern on."""

    rows: dict[str, str]
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Genre:
    """All habits of one genre. ``swing`` 1.0 means triplets, on the unit ``swing_beats`` (0.25 or 0.5)."""

    name: str
    tempo_bpm: tuple[float, float, float]  # Slowest, usual, fastest.
    mood: str
    modes: dict[str, float]  # Weights.
    drums: tuple[DrumPattern, ...]
    bass: tuple[str, ...]
    chords: tuple[str, ...]
    lead: tuple[str, ...]
    sounds: dict[Layer, tuple[Sound, ...]]
    layers: tuple[Layer, ...]
    fills: tuple[DrumFill, ...] = ()
    fill_share: float = 0.6
    swing: Range = (0.0, 0.1)
    swing_beats: float = 0.25
    chord_sizes: dict[str, float] = field(default_factory=lambda: {"triad": 1.0})
    bars_per_chord: float = 1.0
    vamp_share: float = 0.0  # How often one or two chords are all there is.
    bass_locks: float = 0.3  # How often the bass plays the kick's rhythm.
    bass_centre: int = 36
    chord_centre: int = 62
    lead_centre: int = 74
    lead_rest: float = 0.25  # Share of bars that the lead leaves open.
    pad_style: str = "open"  # ``open``, ``close``, ``high`` or ``pulse``.
    crash: bool = True
    fx: tuple[str, ...] = ()
    groove: str = "rock"  # The style of the Groove data that gives timing and dynamics.
    human: float = 0.5  # How much of it: 0 is a machine.
    density: float = 0.5


def sound(family: str, **macros: Range) -> Sound:
    return Sound(family, dict(macros))


def steps_of(row: str) -> str:
    """The row without the spaces that make it readable."""
    return row.replace(" ", "")
