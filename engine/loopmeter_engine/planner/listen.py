"""Hearing harmony in notes that came without it: the key of a piece, the chord of each bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loopmeter_engine.planner.harmony import note_names
from loopmeter_engine.score import ChordSpan, Note

# Krumhansl and Kessler 1982: how well each tone fits a major and a minor key.
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_SHAPES = {"": (0, 4, 7), "m": (0, 3, 7), "5": (0, 7), "7": (0, 4, 7, 10), "m7": (0, 3, 7, 10), "maj7": (0, 4, 7, 11)}


def estimate_key(notes: Sequence[Note]) -> tuple[int, str]:
    """``(tonic, "major" | "minor")`` that correlates best with the sounding time per pitch class; C major if silent."""
    weight = _weights(notes, 0.0, float("inf"))
    if not weight.any() or float(weight.std()) == 0.0:
        return 0, "major"
    fits = {
        (tonic, mode): float(np.corrcoef(np.roll(profile, tonic), weight)[0, 1])
        for mode, profile in _PROFILES.items()
        for tonic in range(12)
    }
    return max(fits, key=lambda key: fits[key])


def hear_chords(notes: Sequence[Note], bars: int, beats_per_bar: int, tonic: int, mode: str) -> list[ChordSpan]:
    """One chord per bar that holds notes (silent bars keep the chord before), equal neighbours joined."""
    spans: list[ChordSpan] = []
    for bar in range(bars):
        start = float(bar * beats_per_bar)
        weight = _weights(notes, start, start + beats_per_bar)
        if not weight.any():
            found = spans[-1].symbol if spans else None
            root, suffix = tonic, "" if mode in ("major", "lydian", "mixolydian") else "m"
        else:
            found, (root, suffix) = None, _best_shape(weight, notes, start, start + beats_per_bar)
        symbol = found or note_names(tonic, mode)[root] + suffix
        if spans and spans[-1].symbol == symbol:
            last = spans.pop()
            longer = last.duration_beats + beats_per_bar
            spans.append(ChordSpan(last.onset_beats, longer, last.root, last.symbol, last.pitch_classes))
        else:
            tones = tuple((root + interval) % 12 for interval in _SHAPES[suffix])
            spans.append(ChordSpan(start, float(beats_per_bar), root, symbol, tones))
    return spans


def _weights(notes: Sequence[Note], start: float, end: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    weight = np.zeros(12)
    for note in notes:
        weight[note.pitch % 12] += max(
            0.0, min(end, note.onset_beats + note.duration_beats) - max(start, note.onset_beats)
        )
    return weight


def _best_shape(
    weight: np.ndarray[tuple[int], np.dtype[np.float64]], notes: Sequence[Note], start: float, end: float
) -> tuple[int, str]:
    share = weight / weight.sum()
    lowest = min(
        (n.pitch, n.onset_beats) for n in notes if n.onset_beats < end and n.onset_beats + n.duration_beats > start
    )
    fits: dict[tuple[int, str], float] = {}
    for root in range(12):
        for suffix, shape in _SHAPES.items():
            inside = sum(float(share[(root + interval) % 12]) for interval in shape)
            # Each tone of the shape has to earn its place, or the largest shape would always win.
            missing = sum(float(share[(root + interval) % 12]) < 0.02 for interval in shape)
            fits[root, suffix] = inside - 0.03 * len(shape) - 0.2 * missing + (0.1 if lowest[0] % 12 == root else 0.0)
    return max(fits, key=lambda key: fits[key])
