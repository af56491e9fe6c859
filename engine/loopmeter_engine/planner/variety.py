"""Scores to train the renderer on: every genre, meter, tempo and timbre, and music that follows no grammar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from loopmeter import LAYERS, Layer
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.compose import compose, tidy
from loopmeter_engine.planner.freeform import free_chords, free_fx, free_hits, free_line
from loopmeter_engine.planner.genres import GENRE_BOOK
from loopmeter_engine.planner.listen import hear_chords
from loopmeter_engine.planner.names import GENRES, MODES, MOODS
from loopmeter_engine.score import FAMILIES, MACROS, TONAL_LAYERS, Note, Score, Timbre

FREE_SHARE = 0.3
_LAYER_SETS: tuple[tuple[tuple[Layer, ...], float], ...] = (
    (("drums",), 0.14),
    (("bass",), 0.04), (("chords",), 0.04), (("lead",), 0.04), (("pad",), 0.04), (("fx",), 0.01),
    (("bass", "chords"), 0.09), (("drums", "bass"), 0.07), (("chords", "lead"), 0.04), (("pad", "lead"), 0.03),
    (("drums", "chords"), 0.02), (("drums", "bass", "chords"), 0.1), (("bass", "chords", "lead"), 0.04),
    (("drums", "bass", "chords", "lead"), 0.12), (("drums", "bass", "chords", "lead", "pad"), 0.06),
    (("drums", "bass", "chords", "lead", "pad", "fx"), 0.06), (("bass", "chords", "lead", "pad"), 0.02),
    (("chords", "pad", "fx"), 0.02), (("drums", "bass", "lead"), 0.02),
)  # fmt: skip


def training_score(seed: int) -> Score:
    """A random score of one to four bars. Equal seeds give equal scores; 30 % follow no grammar."""
    rng = np.random.default_rng([seed, 0x5C0])  # A stream of its own, apart from those of ``compose``.
    genre = GENRES[int(rng.integers(len(GENRES)))]
    layers = _draw_layers(rng)
    score = compose(
        genre,
        MOODS[int(rng.integers(len(MOODS)))],
        tempo_bpm=_draw_tempo(rng, genre),
        bars=int(rng.choice([1, 2, 3, 4], p=[0.15, 0.35, 0.1, 0.4])),
        beats_per_bar=int(rng.choice([4, 3, 6, 2, 5], p=[0.8, 0.08, 0.06, 0.03, 0.03])),
        tonic=int(rng.integers(12)),
        mode=None if rng.random() < 0.5 else MODES[int(rng.integers(len(MODES)))],
        layers=layers,
        seed=int(rng.integers(2**53)),
        density=None if rng.random() < 0.4 else float(rng.random()),
    )
    score = _set_free(score, rng) if rng.random() < FREE_SHARE else _shift_octaves(score, rng)
    return replace(score, timbres=_draw_timbres(score.timbres, rng))


def _draw_layers(rng: np.random.Generator) -> tuple[Layer, ...]:
    if rng.random() < 0.1:
        kept = tuple(layer for layer in LAYERS if rng.random() < 0.5)
        return kept or ("drums",)
    weights = np.array([weight for _, weight in _LAYER_SETS])
    return _LAYER_SETS[int(rng.choice(len(weights), p=weights / weights.sum()))][0]


def _draw_tempo(rng: np.random.Generator, genre: str) -> float:
    """Three in four inside the genre's range; the rest anywhere from 40 to 240, evenly in octaves."""
    low, _, high = GENRE_BOOK[genre].tempo_bpm
    if rng.random() < 0.25:
        return round(float(np.exp(rng.uniform(np.log(40), np.log(240)))), 2)
    tempo = float(rng.uniform(low, high))
    return float(round(tempo)) if rng.random() < 0.7 else round(tempo, 2)


def _draw_timbres(habits: Mapping[Layer, Timbre], rng: np.random.Generator) -> dict[Layer, Timbre]:
    """Half the families as the genre has them, half at random. The macros stay, or are drawn from 0..1, apart from
    one another or all near one value."""
    timbres: dict[Layer, Timbre] = {}
    for layer, habit in habits.items():
        families = FAMILIES[layer]
        family = habit.family if rng.random() < 0.5 else families[int(rng.integers(len(families)))]
        manner = rng.random()
        if manner < 0.35:
            timbres[layer] = replace(habit, family=family)
            continue
        middle = rng.random() + np.zeros(len(MACROS)) if manner < 0.5 else rng.random(len(MACROS))
        values = np.clip(middle + 0.15 * rng.standard_normal(len(MACROS)), 0.0, 1.0)
        drawn = {macro: round(float(value), 4) for macro, value in zip(MACROS, values, strict=True)}
        drawn["level"] = round(float(1.0 - 0.7 * rng.random() ** 1.5), 4)  # Quiet layers teach little: fewer of them.
        timbres[layer] = Timbre(family, **drawn)
    return timbres


def _shift_octaves(score: Score, rng: np.random.Generator) -> Score:
    """Some layers up or down an octave, where their range allows it."""
    shifts = {layer: int(rng.choice([-12, 0, 0, 0, 12])) for layer in TONAL_LAYERS}
    for layer in TONAL_LAYERS:
        pitches = [note.pitch + shifts[layer] for note in score.notes if note.layer == layer]
        if pitches and (min(pitches) < RANGES[layer][0] or max(pitches) > RANGES[layer][1]):
            shifts[layer] = 0
    notes = [Note(n.layer, n.onset_beats, n.duration_beats, n.pitch + shifts[n.layer], n.velocity) for n in score.notes]
    return replace(score, notes=tuple(notes))


def _set_free(score: Score, rng: np.random.Generator) -> Score:
    """The score with its events replaced by free ones; key, measure and layers stay."""
    notes: list[Note] = []
    for layer in score.layers:
        if layer in ("bass", "lead"):
            notes += free_line(rng, layer, score.beats, score.tonic, score.mode)
        elif layer in ("chords", "pad"):
            notes += free_chords(rng, layer, score.beats, score.tonic, score.mode)
    kept = tidy(notes)
    return replace(
        score,
        notes=kept,
        hits=tuple(free_hits(rng, score.beats)) if "drums" in score.timbres else (),
        fx=tuple(free_fx(rng, score.beats)) if "fx" in score.timbres else (),
        chords=tuple(hear_chords(kept, score.bars, score.beats_per_bar, score.tonic, score.mode)),
    )
