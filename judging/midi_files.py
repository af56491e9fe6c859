"""MIDI files as a user might bring them, one layer each, drawn from seeds, not by the planner's grammars."""

from __future__ import annotations

import io

import mido
import numpy as np

from loopmeter import LAYERS, Layer

TICKS_PER_BEAT = 480
BARS, STEPS = 4, 16  # Of four beats, in sixteenths.
_KICK, _SNARE, _CLOSED_HAT, _OPEN_HAT = 36, 38, 42, 46  # General MIDI.
_DRUM_CHANNEL = 9

Events = list[tuple[float, float, int, int]]  # Onset and length in sixteenths, pitch, velocity.


def midi_file(layer: Layer, scale: tuple[int, ...], seed: int) -> bytes:
    """A Standard MIDI File of four bars with one named track. ``scale``: seven pitch classes from the tonic up."""
    rng = np.random.default_rng([seed, LAYERS.index(layer)])
    if layer == "drums":
        events = _drums(rng)
    elif layer == "chords":
        events = _chords(rng, scale)
    else:
        events = _line(rng, scale, *((28, 45) if layer == "bass" else (60, 81)))
    return _written(layer, events)


def _drums(rng: np.random.Generator) -> Events:
    """A drawn bar, played four times with a change in each."""
    kicks = {0, *(int(step) for step in rng.choice(np.arange(1, STEPS), size=int(rng.integers(1, 5)), replace=False))}
    snares = [(4, 12), (8,), (4, 10), (4, 12, 15)][int(rng.integers(4))]
    every = int(rng.choice([1, 2, 2, 4]))
    events: Events = []
    for bar in range(BARS):
        at = STEPS * bar
        extra = {int(rng.integers(STEPS))} if bar % 2 else set()
        events += [(at + step, 1, _KICK, int(rng.integers(90, 120))) for step in kicks | extra]
        events += [(at + step, 1, _SNARE, int(rng.integers(85, 115))) for step in snares]
        opened = int(rng.choice([6, 10, 14]))
        events += [
            (at + step, 1, _OPEN_HAT if step == opened else _CLOSED_HAT, int(rng.integers(60, 105)))
            for step in range(0, STEPS, every)
        ]
    return events


def _line(rng: np.random.Generator, scale: tuple[int, ...], low: int, high: int) -> Events:
    """One voice: a walk through the scale in eighths, quarters and some sixteenths, with rests."""
    tones = [pitch for pitch in range(low, high + 1) if pitch % 12 in scale]
    index, at = int(rng.integers(len(tones))), 0
    events: Events = []
    while at < BARS * STEPS:
        length = min(int(rng.choice([1, 2, 2, 4, 4, 6])), BARS * STEPS - at)
        if at == 0 or rng.random() < 0.85:
            index = int(np.clip(index + rng.integers(-3, 4), 0, len(tones) - 1))
            events.append((at, 0.9 * length, tones[index], int(rng.integers(75, 115))))
        at += length
    return events


def _chords(rng: np.random.Generator, scale: tuple[int, ...]) -> Events:
    """A triad of the scale in every bar, close around middle C, struck in a rhythm that stays."""
    rhythm = [((0, 16),), ((0, 8), (8, 8)), ((0, 6), (6, 6), (12, 4)), ((2, 2), (6, 2), (10, 2), (14, 2))][
        int(rng.integers(4))
    ]
    events: Events = []
    for bar in range(BARS):
        degree = int(rng.integers(7))
        tones = [48 + (scale[(degree + step) % 7] - 48) % 12 for step in (0, 2, 4)]
        pitches = [pitch + 12 if pitch < 53 else pitch for pitch in tones]
        events += [
            (STEPS * bar + at, 0.95 * length, pitch, int(rng.integers(80, 110)))
            for at, length in rhythm
            for pitch in pitches
        ]
    return events


def _written(layer: Layer, events: Events) -> bytes:
    file, track = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT), mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("track_name", name=layer))
    channel, step = _DRUM_CHANNEL if layer == "drums" else 0, TICKS_PER_BEAT // 4
    marks = [(round(at * step), 1, pitch, velocity) for at, _, pitch, velocity in events]
    marks += [(round((at + length) * step), 0, pitch, 0) for at, length, pitch, _ in events]
    now = 0
    for tick, begins, pitch, velocity in sorted(marks):  # Ends before beginnings of the same moment.
        kind = "note_on" if begins else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=velocity, channel=channel, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=BARS * STEPS * step - now))
    held = io.BytesIO()
    file.save(file=held)
    return held.getvalue()
