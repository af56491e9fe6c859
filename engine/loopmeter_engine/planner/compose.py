"""Composing: genre, mood, measure, key and seed to a score. Pure: equal arguments give equal scores everywhere.

Every layer draws from its own stream of random numbers, so that a loop with fewer layers is the same music with
stems left out. The bass reads the drums even when they do not sound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from loopmeter import LAYERS, Layer
from loopmeter_engine.planner.accompany import Harmony, write_bass, write_chords, write_pad
from loopmeter_engine.planner.chord_names import read_chords
from loopmeter_engine.planner.drums import write_drums
from loopmeter_engine.planner.genres import GENRE_BOOK, Genre
from loopmeter_engine.planner.grid import Frame, Swing
from loopmeter_engine.planner.harmony import MINOR_LIKE, MODE_STEPS, choose_progression, chord_on, lay_out
from loopmeter_engine.planner.human import humanise_hits, humanise_notes
from loopmeter_engine.planner.lead import write_lead
from loopmeter_engine.planner.moods import MOOD_BOOK, Mood
from loopmeter_engine.planner.timbre import choose_timbre
from loopmeter_engine.score import ChordSpan, FxEvent, Hit, Note, Score

# Streams of random numbers: the order is part of the seeds, append only.
_STREAMS = ("measure", "harmony", "drums", "bass", "chords", "lead", "pad", "fx", "hands", "timbre", "mode", "layers")


def compose(
    genre: str,
    mood: str | None = None,
    *,
    tempo_bpm: float,
    bars: int,
    beats_per_bar: int = 4,
    tonic: int,
    mode: str | None = None,
    layers: tuple[Layer, ...] | None = None,
    seed: int = 0,
    families: Mapping[Layer, str] | None = None,
    macros: Mapping[Layer, Mapping[str, float]] | None = None,
    density: float | None = None,
    intensity: float | None = None,
    swing: float | None = None,
    chords: str | None = None,
) -> Score:
    """A whole loop of ``bars`` bars. ``None`` means the habit of the genre.

    ``genre``, ``mood``, ``mode`` are names of ``names.py``; ``tonic`` a pitch class; ``families`` and ``macros`` fix
    timbres; ``density`` is 0 (sparse) to 1 (busy), ``intensity`` 0 (soft) to 1 (hard) with the habit at 0.5; ``swing``
    1 is a full triplet; ``chords`` as ``chord_names.read_chords`` takes them. All events start and end inside the loop.

    Raises:
        ValueError: an argument is unknown or out of range; the message says expected and found.
    """
    book, feel = _look_up(genre, mood)
    feel = _pressed(feel, 0.5 if intensity is None else intensity)
    _check(tempo_bpm, bars, beats_per_bar, tonic, mode)
    if mode is None:
        mode = draw_mode(book, feel, _rng(seed, "mode"))
    busy = min(1.0, max(0.0, book.density + feel.density)) if density is None else min(1.0, max(0.0, density))
    frame = _measure(book, bars, beats_per_bar, swing, _rng(seed, "measure"))
    if chords is None:
        spans = _harmonise(book, feel, frame, tonic, mode, _rng(seed, "harmony"))
    else:
        spans = read_chords(chords, bars, beats_per_bar)
    harmony = Harmony(spans, tonic, mode)
    sounding = layers if layers is not None else book.layers
    straight_hits = write_drums(book, frame, busy, _rng(seed, "drums")) if {"drums", "bass"} & set(sounding) else []
    hits = humanise_hits(straight_hits, book.groove, book.human, frame.swing, frame.beats, _rng(seed, "hands"))
    notes: list[Note] = []
    for layer in LAYERS:
        if layer in sounding:
            line = _write(layer, book, feel, frame, harmony, straight_hits, busy, _rng(seed, layer))
            notes += humanise_notes(
                line, book.human, frame.swing, frame.beats, feel.velocity, _rng(seed, "hands", layer)
            )
    return Score(
        tempo_bpm=float(tempo_bpm),
        beats_per_bar=beats_per_bar,
        bars=bars,
        tonic=tonic,
        mode=mode,
        genre=book.name,
        mood=mood or book.mood,
        swing=frame.swing.amount,
        chords=tuple(harmony.spans),
        notes=tidy(notes),
        hits=tuple(_louder(hit, feel.velocity) for hit in hits) if "drums" in sounding else (),
        fx=tuple(_write_fx(book, frame, busy, _rng(seed, "fx"))) if "fx" in sounding else (),
        timbres={
            layer: choose_timbre(
                book, feel, layer, _rng(seed, "timbre", layer), (families or {}).get(layer), (macros or {}).get(layer)
            )
            for layer in LAYERS
            if layer in sounding
        },
    )


def draw_mode(genre: Genre, mood: Mood, rng: np.random.Generator) -> str:
    """A mode from the genre's habits, pulled to major or minor by the mood."""
    weights = dict(genre.modes)
    if mood.minor is not None:
        dark = sum(weight for name, weight in weights.items() if name in MINOR_LIKE)
        bright = 1.0 - dark
        weights.setdefault("major", 0.0)
        weights.setdefault("minor", 0.0)
        if bright <= 0:
            weights["major"], bright = 0.5, 0.5
        if dark <= 0:
            weights["minor"], dark = 0.5, 0.5
        # The mood speaks twice as loudly as the genre.
        share = (2 * mood.minor + dark / (dark + bright)) / 3 if 0.1 < mood.minor < 0.9 else mood.minor
        weights = {
            name: weight * (share / dark if name in MINOR_LIKE else (1 - share) / bright)
            for name, weight in weights.items()
        }
    names = [name for name in MODE_STEPS if name in weights]
    values = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=values / values.sum()))]


def tidy(notes: list[Note]) -> tuple[Note, ...]:
    """In order of onset; within a layer no pitch starts twice at once or sounds over itself."""
    ordered = sorted(notes, key=lambda note: (note.onset_beats, note.layer, note.pitch))
    kept: list[Note] = []
    open_notes: dict[tuple[Layer, int], int] = {}
    for note in ordered:
        at = (note.layer, note.pitch)
        index = open_notes.get(at)
        if index is not None:
            before = kept[index]
            gap = note.onset_beats - before.onset_beats
            if gap < 0.02:
                continue
            if before.duration_beats > gap:
                kept[index] = Note(before.layer, before.onset_beats, gap, before.pitch, before.velocity)
        open_notes[at] = len(kept)
        kept.append(note)
    return tuple(kept)


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(_STREAMS.index(name) + 1 for name in names)])


def _look_up(genre: str, mood: str | None) -> tuple[Genre, Mood]:
    if genre not in GENRE_BOOK:
        raise ValueError(f"expected a genre of {', '.join(GENRE_BOOK)}, found {genre!r}")
    book = GENRE_BOOK[genre]
    if (mood or book.mood) not in MOOD_BOOK:
        raise ValueError(f"expected a mood of {', '.join(MOOD_BOOK)}, found {mood!r}")
    return book, MOOD_BOOK[mood or book.mood]


def _check(tempo_bpm: float, bars: int, beats_per_bar: int, tonic: int, mode: str | None) -> None:
    for name, value, low, high in (
        ("tempo_bpm", tempo_bpm, 40, 240),
        ("bars", bars, 1, 256),
        ("beats_per_bar", beats_per_bar, 2, 6),
        ("tonic", tonic, 0, 11),
    ):
        if not low <= value <= high:
            raise ValueError(f"expected {name} from {low} to {high}, found {value!r}")
    if mode is not None and mode not in MODE_STEPS:
        raise ValueError(f"expected a mode of {', '.join(MODE_STEPS)}, found {mode!r}")


def _pressed(feel: Mood, intensity: float) -> Mood:
    """A mood played softer or harder: louder hits are brighter and driven, too."""
    push = 2 * intensity - 1
    macros = dict(feel.macros or {})
    for macro, by in (("brightness", 0.2), ("drive", 0.15), ("softness", -0.1)):
        macros[macro] = macros.get(macro, 0.0) + by * push
    return dataclasses.replace(feel, velocity=feel.velocity * (1 + 0.35 * push), macros=macros)


def _measure(genre: Genre, bars: int, beats_per_bar: int, swing: float | None, rng: np.random.Generator) -> Frame:
    low, high = genre.swing
    amount = round(float(rng.uniform(low, high)), 3)
    if swing is not None:
        amount = swing
    if beats_per_bar == 6:
        amount = 0.0  # The compound grid is a shuffle already.
    return Frame(bars, beats_per_bar, Swing(amount, genre.swing_beats), waltz=int(rng.integers(2)))


def _harmonise(
    genre: Genre, mood: Mood, frame: Frame, tonic: int, mode: str, rng: np.random.Generator
) -> list[ChordSpan]:
    """Chords for the whole piece: one progression per section, repeated; each degree keeps its colour."""
    per_chord = min(genre.bars_per_chord, max(1.0, frame.bars / 2) if rng.random() < 0.7 else 8.0)
    if frame.bars == 1:
        per_chord = 1.0 if frame.beats_per_bar == 5 or rng.random() < 0.5 else 0.5
    elif frame.bars == 2 and per_chord > 1.0:
        per_chord = 1.0
    sizes = list(genre.chord_sizes)
    weights = np.array([genre.chord_sizes[size] for size in sizes])
    rows = []
    for _ in range(2):
        slots = max(1, round(min(frame.bars, 8 if genre.bars_per_chord > 1 else 4) / per_chord))
        degrees = choose_progression(rng, mode, mood, slots, genre.vamp_share)
        colours = {d: sizes[int(rng.choice(len(sizes), p=weights / weights.sum()))] for d in dict.fromkeys(degrees)}
        rows.append([chord_on(degree, colours[degree], tonic, mode) for degree in degrees])
    spans: list[ChordSpan] = []
    for start in range(0, frame.bars, 8):
        length = min(8, frame.bars - start)
        for span in lay_out(rows[frame.section(start)], length, frame.beats_per_bar, per_chord):
            onset = span.onset_beats + start * frame.beats_per_bar
            spans.append(ChordSpan(onset, span.duration_beats, span.root, span.symbol, span.pitch_classes))
    return spans


def _write(
    layer: Layer,
    genre: Genre,
    mood: Mood,
    frame: Frame,
    harmony: Harmony,
    drums: list[Hit],
    density: float,
    rng: np.random.Generator,
) -> list[Note]:
    if layer == "bass":
        return write_bass(genre, frame, harmony, drums, density, rng)
    if layer == "chords":
        return write_chords(genre, frame, harmony, density, rng)
    if layer == "lead":
        return write_lead(genre, mood, frame, harmony, density, rng)
    if layer == "pad":
        return write_pad(genre, frame, harmony, rng)
    return []


def _write_fx(genre: Genre, frame: Frame, density: float, rng: np.random.Generator) -> list[FxEvent]:
    """A bed for the whole loop, and transitions where phrases turn."""
    kinds = genre.fx or ("sweep",)
    events: list[FxEvent] = []
    if "vinyl" in kinds:
        events.append(FxEvent("vinyl", 0.0, float(frame.beats), 0.5))
    moving = [kind for kind in kinds if kind != "vinyl"]
    if not moving:
        return events
    period = 8 if frame.bars > 8 else frame.bars
    for start in range(0, frame.bars, period):
        kind = moving[int(rng.integers(len(moving)))]
        first, last = start * frame.beats_per_bar, min(frame.bars, start + period) * frame.beats_per_bar
        rise = min(last - first, frame.beats_per_bar * (2 if density > 0.4 else 1))
        if kind == "impact":
            events.append(FxEvent("impact", float(first), float(min(4, last - first)), 0.8))
        elif kind == "riser":
            events.append(FxEvent("riser", float(last - rise), float(rise), 0.65))
        else:
            events.append(FxEvent("sweep", float(first), float(last - first), 0.5))
    return sorted(events, key=lambda event: (event.onset_beats, event.kind))


def _louder(hit: Hit, factor: float) -> Hit:
    return Hit(hit.drum, hit.onset_beats, round(min(1.0, max(0.05, hit.velocity * factor)), 4))
