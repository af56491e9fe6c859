"""Loops that drift, played by known hits at known times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

RATE_HZ = 44_100


@dataclass(frozen=True)
class Drifting:
    """``sound`` is (1, frames); ``beats`` are the frames of its kicks, the one after the last bar included."""

    sound: NDArray[np.float64]
    beats: NDArray[np.float64]
    kick: NDArray[np.float64]
    tempo_bpm: float
    bars: int


def drifting(seed: int, drift: float = 0.03, jitter_s: float = 0.004, bars: int = 4) -> Drifting:
    """A kick on every beat, snares, hats with their own jitter, a bass and a pad; the tempo wanders by ``drift``."""
    dice = np.random.default_rng(seed)
    tempo_bpm = float(dice.uniform(72, 160))
    count = bars * 4
    place = np.linspace(0, 1, count + 1)
    bend = dice.uniform(-drift, drift) + dice.uniform(0, drift / 3) * np.sin(2 * np.pi * place * dice.integers(1, 3))
    bend = np.clip(bend, -drift, drift)
    periods = 60.0 / tempo_bpm * (1 + bend[:-1])
    beats_s = dice.uniform(0.0, 0.2) + np.concatenate([[0.0], np.cumsum(periods)])
    beats_s[1:] += dice.normal(0, jitter_s, count).clip(-2 * jitter_s, 2 * jitter_s)
    frames = round((beats_s[-1] + 0.8) * RATE_HZ)
    wave = np.zeros(frames)
    kick, snare, hat = _kick(), _snare(dice), _hat(dice)
    root = float(dice.choice([55.0, 61.7, 73.4, 82.4]))
    for beat, at_s in enumerate(beats_s):
        _add(wave, kick, at_s)
        step = periods[min(beat, count - 1)]
        if beat % 2 == 1:
            _add(wave, snare, at_s + dice.normal(0, 0.001))
        for part in (0.0, 0.5):
            _add(wave, hat, at_s + part * step + dice.normal(0, 0.003))
        if beat % 4 == 0:
            _add(wave, _tone(root, 3 * step), at_s)
    time_s = np.arange(frames) / RATE_HZ
    wave += 0.03 * np.sin(2 * np.pi * 4 * root * time_s) * (1 + 0.2 * np.sin(2 * np.pi * 0.3 * time_s))
    wave *= 0.8 / np.abs(wave).max()
    return Drifting(wave[None], beats_s * RATE_HZ, kick, tempo_bpm, bars)


def heard_beats(loop: NDArray[np.float64], made: Drifting) -> NDArray[np.float64]:
    """Where each kick is in a conformed loop: a matched filter around its place on the grid. No ear of ours."""
    beat_frames = 60.0 / made.tempo_bpm * RATE_HZ
    reach = round(0.06 * RATE_HZ)
    found = []
    for beat in range(made.bars * 4):
        start = round(beat * beat_frames) - reach
        area = loop[0][np.arange(start, start + 2 * reach + len(made.kick)) % loop.shape[1]]
        found.append(start + int(scipy.signal.correlate(area, made.kick, "valid").argmax()))
    return np.array(found, np.float64)


def _kick() -> NDArray[np.float64]:
    time_s = np.arange(round(0.18 * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (50 * time_s + 90 * 0.03 * (1 - np.exp(-time_s / 0.03)))
    return 0.9 * np.cos(phase) * np.exp(-time_s / 0.05) * np.minimum(1, time_s / 0.0005)


def _snare(dice: np.random.Generator) -> NDArray[np.float64]:
    time_s = np.arange(round(0.15 * RATE_HZ)) / RATE_HZ
    return 0.4 * dice.normal(0, 0.5, len(time_s)) * np.exp(-time_s / 0.03)


def _hat(dice: np.random.Generator) -> NDArray[np.float64]:
    noise = np.diff(dice.normal(0, 0.5, round(0.04 * RATE_HZ) + 1))
    return 0.12 * noise * np.exp(-np.arange(len(noise)) / RATE_HZ / 0.01)


def _tone(pitch_hz: float, seconds: float) -> NDArray[np.float64]:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * pitch_hz * n * time_s) / n for n in (1, 2, 3))
    fade = np.minimum(1, time_s / 0.01) * np.minimum(1, (seconds - time_s) / 0.05)
    result: NDArray[np.float64] = 0.15 * wave * np.maximum(fade, 0)
    return result


def _add(wave: NDArray[np.float64], hit: NDArray[np.float64], at_s: float) -> None:
    start = max(0, round(at_s * RATE_HZ))
    stop = min(len(wave), start + len(hit))
    wave[start:stop] += hit[: stop - start]
