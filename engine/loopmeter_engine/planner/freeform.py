"""Music without a grammar: any rhythm, any pitch. It teaches the renderer what users' own MIDI may hold."""

from __future__ import annotations

import numpy as np

from loopmeter import Layer
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.harmony import scale
from loopmeter_engine.score import DRUMS, FX_KINDS, FxEvent, Hit, Note

POLYPHONY = 6
_GRIDS_BEATS = (0.25, 0.25, 0.5, 0.5, 1 / 3, 1 / 6, 0.125, 1.0, 2.0)
_ROLL_HITS_MAX = 16


def free_hits(rng: np.random.Generator, beats: int) -> list[Hit]:
    """Any of the twelve drums at random: loose patterns, free time, sparse single hits, and rolls."""
    count = int(rng.choice([1, 2, 3, 5, 8, 12], p=[0.15, 0.15, 0.2, 0.25, 0.15, 0.1]))
    hits: dict[tuple[str, float], Hit] = {}
    for drum in rng.permutation(len(DRUMS))[:count]:
        name = DRUMS[int(drum)]
        loudness = rng.uniform(0.3, 1.0)
        for at in _onsets(rng, beats):
            velocity = float(np.clip(loudness + 0.2 * rng.standard_normal(), 0.05, 1.0))
            hits[name, round(at, 3)] = Hit(name, at, velocity)
        if rng.random() < 0.2:
            start, step = float(rng.uniform(0, beats)), float(rng.choice([0.0625, 0.125, 1 / 12]))
            rise = float(rng.uniform(-0.4, 0.4))
            for i in range(int(rng.integers(3, _ROLL_HITS_MAX))):
                at = start + i * step
                if at < beats - 0.03:
                    velocity = float(np.clip(0.6 + rise * i / _ROLL_HITS_MAX, 0.05, 1.0))
                    hits[name, round(at, 3)] = Hit(name, at, velocity)
    return sorted(hits.values(), key=lambda hit: (hit.onset_beats, hit.drum))


def free_line(rng: np.random.Generator, layer: Layer, beats: int, tonic: int, mode: str) -> list[Note]:
    """One voice (now and then two at once): a walk, leaps, or a repeated tone; legato, staccato, or in between."""
    low, high = RANGES[layer]
    tones = [pitch for pitch in range(low, high + 1) if _allows(rng, pitch, tonic, mode)]
    manner = rng.random()
    index = int(rng.integers(len(tones)))
    touch = float(rng.choice([0.2, 0.5, 0.9, 1.0]))
    loudness = float(rng.uniform(0.4, 1.0))
    onsets = _onsets(rng, beats)
    notes: list[Note] = []
    for i, at in enumerate(onsets):
        if manner < 0.45:
            index = int(np.clip(index + rng.integers(-3, 4), 0, len(tones) - 1))
        elif manner < 0.8:
            index = int(rng.integers(len(tones)))
        room = (onsets[i + 1] if i + 1 < len(onsets) else beats) - at
        length = max(0.03, min(room * touch, float(rng.choice([0.25, 1.0, 4.0, 16.0]))))
        velocity = float(np.clip(loudness + 0.15 * rng.standard_normal(), 0.05, 1.0))
        notes.append(Note(layer, at, min(length, beats - at), tones[index], velocity))
        if rng.random() < 0.04:
            other = tones[int(rng.integers(len(tones)))]
            notes.append(Note(layer, at, min(length, beats - at), other, velocity))
    return notes


def free_chords(rng: np.random.Generator, layer: Layer, beats: int, tonic: int, mode: str) -> list[Note]:
    """Chords of one to six tones: stacks, clusters, wide spreads or single tones, held or short."""
    low, high = RANGES[layer]
    size_most = int(rng.integers(1, POLYPHONY + 1))
    touch = float(rng.choice([0.15, 0.5, 0.95, 1.0]))
    loudness = float(rng.uniform(0.4, 1.0))
    strum = float(rng.choice([0.0, 0.0, 0.0, 0.02, 0.06]))
    onsets = _onsets(rng, beats, slow=layer == "pad")
    notes: list[Note] = []
    for i, at in enumerate(onsets):
        room = (onsets[i + 1] if i + 1 < len(onsets) else beats) - at
        length = max(0.05, room * touch)
        span = int(rng.choice([12, 19, 24, high - low]))
        bottom = int(rng.integers(low, max(low + 1, high - span + 1)))
        tones = [p for p in range(bottom, min(bottom + span, high) + 1) if _allows(rng, p, tonic, mode)] or [bottom]
        size = int(rng.integers(1, size_most + 1))
        picked = _one_octave_double(sorted(tones[int(j)] for j in rng.permutation(len(tones))[:size]))
        for rank, pitch in enumerate(picked):
            onset = min(at + rank * strum, beats - 0.05)
            velocity = float(np.clip(loudness + 0.1 * rng.standard_normal(), 0.05, 1.0))
            notes.append(Note(layer, onset, max(0.03, min(at + length, beats) - onset), pitch, velocity))
    return notes


def free_fx(rng: np.random.Generator, beats: int) -> list[FxEvent]:
    """One to three textures or transitions anywhere."""
    events = []
    for _ in range(int(rng.integers(1, 4))):
        start = float(rng.uniform(0, beats * 0.8))
        length = float(rng.uniform(0.2, 1.0)) * (beats - start)
        events.append(FxEvent(FX_KINDS[int(rng.integers(len(FX_KINDS)))], start, length, float(rng.uniform(0.3, 1.0))))
    return sorted(events, key=lambda event: (event.onset_beats, event.kind))


def _allows(rng: np.random.Generator, pitch: int, tonic: int, mode: str) -> bool:
    """Whether a free part may use a pitch: all of the scale, and one in seven of the tones beside it."""
    return pitch % 12 in scale(tonic, mode) or bool(rng.random() < 1 / 7)


def _onsets(rng: np.random.Generator, beats: int, *, slow: bool = False) -> list[float]:
    """Rising times in [0, beats), at least one and at most sixteen per beat, on a grid, near one, or on none."""
    end = beats - 0.05
    if rng.random() < 0.15:  # No grid at all.
        count = max(1, int(rng.poisson(beats * (0.3 if slow else rng.uniform(0.3, 3.0)))))
        return _spread(sorted(float(at) for at in rng.uniform(0, end, size=count)))
    grid = float(rng.choice((1.0, 2.0, 4.0, 0.5) if slow else _GRIDS_BEATS))
    share = float(rng.uniform(0.15, 1.0))
    loose = float(rng.choice([0.0, 0.0, 0.01, 0.03]))
    steps = np.arange(0.0, end, grid)
    kept = steps[rng.random(len(steps)) < share]
    if not len(kept):
        kept = steps[[int(rng.integers(len(steps)))]]
    late = loose * rng.standard_normal(len(kept))
    return _spread(sorted(float(np.clip(at, 0.0, end)) for at in kept + late))


def _spread(onsets: list[float]) -> list[float]:
    """The onsets without those that follow another by less than a 64th note."""
    kept: list[float] = []
    for at in onsets:
        if not kept or at - kept[-1] >= 0.0625:
            kept.append(at)
    return kept


def _one_octave_double(pitches: list[int]) -> list[int]:
    """At most one pitch class appears twice."""
    kept: list[int] = []
    for pitch in pitches:
        doubled = len(kept) - len({p % 12 for p in kept})
        if pitch % 12 not in {p % 12 for p in kept} or doubled == 0:
            kept.append(pitch)
    return kept
