"""Keys, progressions, chords and how they are voiced. All diatonic: every chord tone lies in the mode asked for.

Reading order: ``MODE_STEPS``, ``ChordShape`` and ``chord_on``, ``choose_progression``, ``lay_out``, ``voice``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from loopmeter_engine.planner.moods import Mood
from loopmeter_engine.score import ChordSpan

TABLE_PATH = Path(__file__).parent / "data" / "progressions.csv"
MODE_STEPS: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
MINOR_LIKE = ("minor", "dorian", "phrygian")
# One or two chords that a groove can stay on, per mode, as scale degrees.
VAMPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((1,), (1, 4), (1, 2), (1, 5), (1, 6)),
    "minor": ((1,), (1, 4), (1, 6), (1, 7), (1, 5)),
    "dorian": ((1,), (1, 4), (1, 2), (1, 7)),
    "phrygian": ((1,), (1, 2), (1, 7), (1, 6)),
    "lydian": ((1,), (1, 2), (1, 5)),
    "mixolydian": ((1,), (1, 7), (1, 4), (1, 5)),
}
_STACKS: dict[str, tuple[int, ...]] = {
    "triad": (0, 2, 4),
    "seventh": (0, 2, 4, 6),
    "ninth": (0, 2, 4, 6, 8),
    "add9": (0, 2, 4, 8),
    "sixth": (0, 2, 4, 5),
    "sus2": (0, 1, 4),
    "sus4": (0, 3, 4),
    "power": (0, 4),
}
_SUFFIXES: dict[tuple[int, ...], str] = {
    (0, 4, 7): "", (0, 3, 7): "m", (0, 3, 6): "dim", (0, 7): "5", (0, 2, 7): "sus2", (0, 5, 7): "sus4",
    (0, 4, 7, 11): "maj7", (0, 4, 7, 10): "7", (0, 3, 7, 10): "m7", (0, 3, 6, 10): "m7b5",
    (0, 4, 7, 9): "6", (0, 3, 7, 9): "m6", (0, 2, 4, 7): "add9", (0, 2, 3, 7): "madd9",
    (0, 2, 4, 7, 11): "maj9", (0, 2, 4, 7, 10): "9", (0, 2, 3, 7, 10): "m9",
}  # fmt: skip
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_MAJOR_KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR_KEYS = ("Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm")
_FLAT_KEYS = (5, 10, 3, 8, 1)  # Relative major keys that are written with flats.


@dataclass(frozen=True, slots=True)
class ChordShape:
    """A chord without a place in time. ``intervals`` are semitones above ``root`` (a pitch class), in stack order."""

    root: int
    intervals: tuple[int, ...]
    symbol: str

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        return tuple((self.root + interval) % 12 for interval in self.intervals)


@cache
def scale(tonic: int, mode: str) -> tuple[int, ...]:
    """The seven pitch classes of a key, from its tonic up."""
    return tuple((tonic + step) % 12 for step in MODE_STEPS[mode])


@cache
def chord_on(degree: int, size: str, tonic: int, mode: str) -> ChordShape:
    """The chord that ``size`` (a key of ``Genre.chord_sizes``) builds on a scale degree 1..7, or its plain triad
    where the scale gives that colour no usual name (a suspension over a diminished fifth, a flat ninth)."""
    steps = MODE_STEPS[mode]
    at = degree - 1
    base = steps[at]
    intervals = tuple(steps[(at + i) % 7] + 12 * ((at + i) // 7) - base for i in _STACKS[size])
    suffix = _SUFFIXES.get(tuple(sorted(i % 12 for i in intervals)))
    if suffix is None:
        return chord_on(degree, "seventh" if size == "ninth" else "triad", tonic, mode)
    root = (tonic + base) % 12
    return ChordShape(root, intervals, note_names(tonic, mode)[root] + suffix)


def key_name(tonic: int, mode: str) -> str:
    """``Am``, ``F#``: the key as a request and a key signature write it; a mode by its third."""
    return (_MINOR_KEYS if mode in MINOR_LIKE else _MAJOR_KEYS)[tonic]


def note_names(tonic: int, mode: str) -> tuple[str, ...]:
    """Twelve names, with flats where the key is written with flats."""
    name = key_name(tonic, mode)
    relative_major = (tonic - _MODE_DISTANCE[mode]) % 12
    flat = "b" in name or ("#" not in name and relative_major in _FLAT_KEYS)
    return _FLATS if flat else _SHARPS


_MODE_DISTANCE = {"major": 0, "dorian": 2, "phrygian": 4, "lydian": 5, "mixolydian": 7, "minor": 9}


@cache
def progressions(mode: str) -> tuple[tuple[tuple[int, ...], tuple[str, ...]], ...]:
    """``(degrees, tags)`` of every progression known in a mode."""
    with TABLE_PATH.open(encoding="utf-8", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["mode"] == mode]
    return tuple((tuple(map(int, row["degrees"].split())), tuple(row["tags"].split())) for row in rows)


def choose_progression(rng: np.random.Generator, mode: str, mood: Mood, slots: int, vamp_share: float) -> list[int]:
    """Degrees that fill ``slots`` equal places (or fewer, which then last longer). The mood's tags weigh the draw."""
    if slots <= 1 or rng.random() < vamp_share:
        vamps = [vamp for vamp in VAMPS[mode] if len(vamp) <= slots]
        return list(vamps[int(rng.integers(len(vamps)))])
    known = [(degrees, tags) for degrees, tags in progressions(mode) if len(degrees) <= max(2 * slots, 4)]
    weights = np.array(
        [
            (0.15 + sum(mood.tags.get(tag, 0.0) for tag in tags) / max(len(tags), 1))
            * (1.6 if len(degrees) == slots else 1.0 if slots % len(degrees) == 0 else 0.3)
            * (1.5 if degrees[0] == 1 else 1.0)
            for degrees, tags in known
        ]
    )
    return list(known[int(rng.choice(len(known), p=weights / weights.sum()))][0][: max(slots, 1)])


def lay_out(shapes: list[ChordShape], bars: int, beats_per_bar: int, bars_per_chord: float) -> list[ChordSpan]:
    """Chords in time: each lasts ``bars_per_chord`` (the last one to the end), and the row starts again when it is
    over. Half bars break on a beat."""
    spans: list[ChordSpan] = []
    total = bars * beats_per_bar
    step = max(bars_per_chord * beats_per_bar, 1.0)
    count = max(1, round(total / step + 0.499))
    edges = [min(total, int(i * step + 0.5)) for i in range(count)] + [total]
    for i in range(count):
        shape = shapes[i % len(shapes)]
        if edges[i + 1] <= edges[i]:
            continue
        if spans and spans[-1].symbol == shape.symbol:
            last = spans.pop()
            spans.append(_span(shape, last.onset_beats, edges[i + 1]))
        else:
            spans.append(_span(shape, edges[i], edges[i + 1]))
    return spans


def _span(shape: ChordShape, start: float, end: float) -> ChordSpan:
    return ChordSpan(float(start), float(end - start), shape.root, shape.symbol, shape.pitch_classes)


@lru_cache(maxsize=8192)
def voice(pitch_classes: tuple[int, ...], last: tuple[int, ...], centre: int, low: int, high: int) -> tuple[int, ...]:
    """Four or five MIDI pitches, lowest first: the placing of the chord that moves least from ``last`` (empty at the
    start) and stays near ``centre``."""
    tones = pitch_classes
    if len(tones) == 2:  # A power chord: root, fifth, octave.
        tones = (*tones, tones[0])
    best: tuple[float, tuple[int, ...]] | None = None
    for candidate in _placings(tones, low, high):
        mean = sum(candidate) / len(candidate)
        cost = 0.35 * abs(mean - centre) + (0.0 if not last else _movement(last, candidate))
        cost += 4.0 * sum(b - a <= 1 for a, b in pairwise(candidate))
        cost += 1.5 * sum(a < 48 and b - a < 5 for a, b in pairwise(candidate))
        if best is None or cost < best[0]:
            best = (cost, candidate)
    if best is None:
        return tuple(sorted(_fold(pc, low, high) for pc in dict.fromkeys(tones)))
    return best[1]


def _placings(tones: tuple[int, ...], low: int, high: int) -> list[tuple[int, ...]]:
    placings = []
    for turn in range(len(tones)):
        order = tones[turn:] + tones[:turn]
        for bottom in range(low + (order[0] - low) % 12, high + 1, 12):
            pitches = [bottom]
            for tone in order[1:]:
                pitches.append(pitches[-1] + ((tone - pitches[-1] - 1) % 12) + 1)
            for shape in (pitches, _drop_two(pitches)):
                if min(shape) >= low and max(shape) <= high:
                    placings.append(tuple(sorted(shape)))
    return placings


def _drop_two(pitches: list[int]) -> list[int]:
    return pitches if len(pitches) < 4 else [*pitches[:-2], pitches[-2] - 12, pitches[-1]]


def _movement(last: tuple[int, ...], new: tuple[int, ...]) -> float:
    """How far the hands move: each new voice to the nearest old one, the top voice counted twice."""
    return sum(min(abs(pitch - old) for old in last) for pitch in new) / len(new) * 2 + 0.5 * abs(new[-1] - last[-1])


def _fold(pitch_class: int, low: int, high: int) -> int:
    """The lowest pitch of a class in a range of an octave or more."""
    pitch = low + (pitch_class - low) % 12
    assert pitch <= high, "a layer's range spans an octave or more"
    return pitch
