"""Spectra of loops, without edges, and how far two loops are apart on the mel scale."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ

Floats = NDArray[np.float64]
_MELS, _LOW_HZ, _HIGH_HZ = 64, 60.0, 16_000.0
_RANGE_DB = 60.0  # What lies so far below the loudest moment of the truth is not compared.
_FFT, _HOP = 2048, 512


def circular_stft(mono: Floats, size: int, hop: int) -> NDArray[np.complex128]:
    """(N,) -> (ceil(N / hop), size / 2 + 1), Hann windows centred on every ``hop``-th sample, going round the loop."""
    starts = np.arange(-(-len(mono) // hop)) * hop - size // 2
    window = np.hanning(size + 1)[:-1]
    return np.fft.rfft(mono[(starts[:, None] + np.arange(size)) % len(mono)] * window)


def mel_db(mono: Floats) -> Floats:
    """(N,) -> (times, 64) in dB, every 12 ms."""
    power = np.abs(circular_stft(mono, _FFT, _HOP)) ** 2
    return 10 * np.log10(power @ _mel_filters().T + 1e-12)


def mel_distance_db(mono: Floats, truth: Floats) -> float:
    """Mean absolute difference in dB, of all that is within 60 dB of the truth's loudest moment."""
    a, b = mel_db(mono), mel_db(truth)
    floor = b.max() - _RANGE_DB
    heard = (a > floor) | (b > floor)
    return float(np.mean(np.abs(np.maximum(a, floor) - np.maximum(b, floor))[heard])) if heard.any() else 0.0


@functools.cache
def _mel_filters() -> Floats:
    """(64, bins) triangles, evenly spaced on O'Shaughnessy's mel scale, 2595 log10(1 + f / 700)."""
    mels = np.linspace(2595 * np.log10(1 + _LOW_HZ / 700), 2595 * np.log10(1 + _HIGH_HZ / 700), _MELS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    hz = np.arange(_FFT // 2 + 1) * SAMPLE_RATE_HZ / _FFT
    rising = (hz - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - hz) / np.diff(corners)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    # The lowest triangles are narrower than a bin: no band may be empty.
    nearest = np.abs(hz - corners[1:-1, None]).argmin(1)
    triangles[np.arange(_MELS), nearest] = np.maximum(triangles[np.arange(_MELS), nearest], 0.5)
    return triangles
