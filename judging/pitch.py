"""Which pitches sound, and whether they belong to the asked scale: spectral peaks, long windows for low notes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from judging.spectra import circular_stft
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.planner.harmony import MODE_STEPS
from loopmeter_engine.score import Score

Floats = NDArray[np.float64]

LOWEST_PITCH, PITCHES = (
    31,
    66,
)  # G1 (49 Hz) to C7: below, two semitones share a peak; above, there is little but partials.
_HOP = 4096
_WINDOWS = ((49.0, 200.0, 32768), (200.0, 700.0, 16384), (700.0, 2150.0, 8192))  # From, to, in Hz, and the window.


def pitch_energy(mono: Floats) -> Floats:
    """(frames,) of a loop -> (times, PITCHES): the energy of spectral peaks by the nearest semitone, every 93 ms.

    Only peaks count, so that a loud note does not lend its energy to its neighbours.
    """
    times = -(-len(mono) // _HOP)
    energy = np.zeros((times, PITCHES))
    for low_hz, high_hz, size in _WINDOWS:
        level = np.abs(circular_stft(mono, size, _HOP))
        inner = level[:, 1:-1]
        at, bins = np.nonzero((inner > level[:, :-2]) & (inner >= level[:, 2:]))
        left, peak, right = (np.log(level[at, bins + shift] + 1e-12) for shift in range(3))
        # The top of the parabola through three bins lies within half a bin of the middle one.
        offset = 0.5 * (left - right) / np.minimum(left - 2 * peak + right, -1e-9)
        hz = (bins + 1 + offset.clip(-0.5, 0.5)) * SAMPLE_RATE_HZ / size
        pitch = np.round(69 + 12 * np.log2(hz / 440.0)).astype(int) - LOWEST_PITCH
        keep = (hz >= low_hz) & (hz < high_hz) & (pitch >= 0) & (pitch < PITCHES)
        power = (
            np.exp(peak) / size
        ) ** 2 * size  # The peak of noise does not grow with the window, that of a tone does.
        np.add.at(energy, (at[keep], pitch[keep]), power[keep])
    return energy


def in_scale_share(energy: Floats, score: Score) -> float:
    """The part of the peaks' energy that lies on notes of the score's scale, 0..1; 7/12 where there is no key."""
    classes = (LOWEST_PITCH + np.arange(PITCHES) - score.tonic) % 12
    inside = np.isin(classes, MODE_STEPS[score.mode])
    return float(energy[:, inside].sum() / max(energy.sum(), 1e-20))


def likeness(energy: Floats, truth: Floats) -> float:
    """How much two loops sound the same pitches at the same times: mean cosine, 0..1, of the times that sound."""
    a, b = np.sqrt(energy), np.sqrt(truth)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    sounding = truth.sum(1) > 1e-4 * truth.sum(1).max()
    return float(np.mean(((a * b).sum(1) / np.maximum(norm, 1e-12))[sounding]))
