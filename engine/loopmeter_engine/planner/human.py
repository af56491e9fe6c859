"""Timing and touch of players: swing first, then small delays and dynamics learned from drummers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from loopmeter_engine.planner.grid import Swing
from loopmeter_engine.score import Hit, Note

TABLE_PATH = Path(__file__).parent / "data" / "groove.json"
# The classes of the table: one player's limb or habit each.
DRUM_CLASS = {
    "kick": "kick", "snare": "snare", "clap": "snare", "rim": "snare", "closed_hat": "hat", "open_hat": "hat",
    "shaker": "hat", "perc": "hat", "ride": "ride", "crash": "ride", "tom_low": "tom", "tom_high": "tom",
}  # fmt: skip
_DELAY_MAX_BEATS = 0.06


@cache
def _table() -> dict[str, dict[str, dict[str, list[float]]]]:
    """style -> drum class -> ``delay``, ``delay_spread`` (beats), ``accent`` (factor), ``accent_spread``; 16 each."""
    table: dict[str, dict[str, dict[str, list[float]]]] = json.loads(TABLE_PATH.read_text(encoding="utf-8"))["styles"]
    return table


def humanise_hits(
    hits: list[Hit], style: str, amount: float, swing: Swing, beats: int, rng: np.random.Generator
) -> list[Hit]:
    """The hits as a drummer of that style would place them; ``amount`` 0 keeps the machine's grid and swing."""
    classes = _table()[style]
    drift = np.clip(rng.standard_normal((len(hits), 2)), -2, 2).tolist()
    played: list[Hit] = []
    for hit, (late, loud) in zip(hits, drift, strict=True):
        step = round(hit.onset_beats * 4) % 16
        habit = classes[DRUM_CLASS[hit.drum]]
        delay = habit["delay"][step] + 0.6 * habit["delay_spread"][step] * late
        delay = amount * max(-_DELAY_MAX_BEATS, min(_DELAY_MAX_BEATS, delay))
        accent = 1.0 + amount * (habit["accent"][step] - 1.0) * 0.6
        accent *= 1.0 + (0.03 + amount * 0.6 * habit["accent_spread"][step]) * loud
        played.append(Hit(hit.drum, _inside(swing.warp(hit.onset_beats) + delay, beats), _level(hit.velocity * accent)))
    return sorted(played, key=lambda hit: (hit.onset_beats, hit.drum))


def humanise_notes(
    notes: list[Note], amount: float, swing: Swing, beats: int, loudness: float, rng: np.random.Generator
) -> list[Note]:
    """Swung and slightly loose notes. Notes that start together stay together: a chord is one gesture."""
    delays: dict[float, float] = {}
    played: list[Note] = []
    for note in notes:
        if note.onset_beats not in delays:
            delays[note.onset_beats] = amount * 0.012 * _drift(rng)
        delay = delays[note.onset_beats]
        onset = _inside(swing.warp(note.onset_beats) + delay, beats)
        end = min(swing.warp(note.onset_beats + note.duration_beats) + delay, float(beats))
        touch = 1.0 + (0.02 + 0.05 * amount) * _drift(rng)
        played.append(
            Note(note.layer, onset, max(end - onset, 0.02), note.pitch, _level(note.velocity * loudness * touch))
        )
    return played


def _drift(rng: np.random.Generator) -> float:
    """A normal number, at most 2. By hand, since numpy takes ten times as long for a single one."""
    return max(-2.0, min(2.0, rng.standard_normal()))


def _inside(onset: float, beats: int) -> float:
    return min(max(onset, 0.0), beats - 0.03)


def _level(velocity: float) -> float:
    return round(min(1.0, max(0.05, velocity)), 4)
