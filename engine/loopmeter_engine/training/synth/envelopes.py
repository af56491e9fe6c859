"""Shapes over time: decays, gates with soft edges, and the maps from macro controls to seconds and Hz."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats, seconds


def linear(control: float, low: float, high: float) -> float:
    """A macro in 0..1 as a value between ``low`` and ``high``."""
    return low + (high - low) * control


def geometric(control: float, low: float, high: float) -> float:
    """A macro in 0..1 as a value between ``low`` and ``high`` in equal ratios: times and frequencies."""
    return float(low * (high / low) ** control)


def frames_of(duration_s: float) -> int:
    return max(1, round(duration_s * SAMPLE_RATE_HZ))


def decay(frames: int, time_s: float) -> Floats:
    """exp(-t / time_s)."""
    out: Floats = np.exp(seconds(frames) * np.float32(-1.0 / time_s))
    return out


@lru_cache(maxsize=256)
def rise(frames: int) -> Floats:
    """A sine-squared ramp from 0 to 1."""
    out: Floats = np.sin(np.linspace(0.0, np.pi / 2.0, frames, endpoint=False, dtype=np.float32)) ** 2
    return out


def gate(sound: Floats, held_frames: int, attack_s: float, release_s: float) -> Floats:
    """A note of ``sound`` (channels, frames): soft start, held, then an exponential release that ends at zero."""
    attack = min(frames_of(attack_s), sound.shape[1])
    out = sound[:, : held_frames + release_frames(release_s)].copy()
    out[:, :attack] *= rise(attack)[: out.shape[1]]
    tail = out.shape[1] - held_frames
    if tail > 0:
        fall = decay(tail, release_s / 4.0) * (1.0 - np.linspace(0.0, 1.0, tail, dtype=np.float32) ** 4)
        out[:, held_frames:] *= fall
    return out


def release_frames(release_s: float) -> int:
    return frames_of(release_s)


def fade_out(sound: Floats, duration_s: float) -> Floats:
    """``sound`` with its last ``duration_s`` brought to zero, in place."""
    count = min(sound.shape[-1], frames_of(duration_s))
    sound[..., -count:] *= rise(count)[::-1]
    return sound
