"""How a tonal instrument is described and how its notes become sound on a loop.

An instrument gives the free ring of a string, reed or oscillator; the start and the release of every single note are
cut from it here, so each (pitch, velocity step) is made once, however often it is played.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from loopmeter_engine.score import Note, Timbre
from loopmeter_engine.training.synth.effects import place
from loopmeter_engine.training.synth.envelopes import frames_of, gate, geometric, release_frames
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats, midi_hz

VELOCITY_STEPS = 6


@dataclass(frozen=True, slots=True)
class Tone:
    """One ring to make: ``frames`` of a tone of ``hz``, struck with ``velocity`` in (0, 1]."""

    hz: float
    velocity: float
    frames: int
    timbre: Timbre
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Instrument:
    """``ring`` gives (2, frames) mid and side. Ranges are seconds at macro 0 and 1, in equal ratios between."""

    ring: Callable[[Tone], Floats]
    attack_s: tuple[float, float] = (0.0015, 0.25)
    release_s: tuple[float, float] = (0.06, 1.2)


def play(
    instrument: Instrument, notes: Iterable[Note], timbre: Timbre, frames: int, beat_s: float, rng: np.random.Generator
) -> Floats:
    """The notes on a loop of ``frames``, (2, frames) mid and side, dry."""
    attack_s = geometric(timbre.softness, *instrument.attack_s)
    release_s = geometric(timbre.length, *instrument.release_s)
    groups: dict[tuple[int, int], list[Note]] = defaultdict(list)
    for note in notes:
        groups[note.pitch, max(1, int(np.ceil(note.velocity * VELOCITY_STEPS)))].append(note)
    loop = np.zeros((2, frames), np.float32)
    for (pitch, step), group in groups.items():
        held = [min(frames_of(note.duration_beats * beat_s), 2 * frames) for note in group]
        ring_frames = max(held) + release_frames(release_s)
        ring = instrument.ring(Tone(midi_hz(pitch), step / VELOCITY_STEPS, ring_frames, timbre, rng))
        for note, held_frames in zip(group, held, strict=True):
            start = round(note.onset_beats * beat_s * SAMPLE_RATE_HZ)
            place(loop, gate(ring, held_frames, attack_s, release_s), start, note.velocity**1.3)
    return loop
