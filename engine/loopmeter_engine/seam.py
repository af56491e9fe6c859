"""How audible a loop's join is: what a linear predictor of the loop did not see coming, at the wrap and elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

ORDER = 32
REACH_SAMPLES = 32  # How far from the wrap a sample still counts as the join.
_PERCENTILE = 99.9
_STEP = 2.0**-15  # Surprises smaller than one step of 16 bit are no click, however calm the rest is.


def seam_ratio(pcm: NDArray[np.floating]) -> float:
    """The largest prediction error around the wrap over the 99.9th percentile of the errors inside the loop.

    ``pcm`` is (channels, frames) in [-1, 1], repeated as it is when the loop plays. Every sample is predicted from the
    32 before it, past the wrap too, by the least-squares predictor of its channel; the worst channel counts. At most
    1: the join is no more abrupt than the inside of the loop. A loop that begins with an attack may honestly exceed 1.

    Raises:
        ValueError: ``pcm`` has another shape, or fewer frames than the measure needs.
    """
    if pcm.ndim != 2 or pcm.shape[1] < 8 * REACH_SAMPLES:
        raise ValueError(f"expected (channels, frames) with at least {8 * REACH_SAMPLES} frames, found {pcm.shape}")
    return max(_channel_ratio(np.asarray(channel, np.float64)) for channel in pcm)


def _channel_ratio(channel: NDArray[np.float64]) -> float:
    error = np.abs(_circular_residual(channel))
    at_wrap = np.concatenate([error[:REACH_SAMPLES], error[-REACH_SAMPLES:]])
    inside = np.percentile(error[REACH_SAMPLES:-REACH_SAMPLES], _PERCENTILE)
    return float(at_wrap.max() / max(inside, _STEP))


def _circular_residual(channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) -> (N,). On a circle the autocorrelation method is exact least squares, and has no edges to mistrust."""
    spectrum = np.fft.rfft(channel)
    power = np.abs(spectrum) ** 2
    correlation = np.fft.irfft(power, len(channel))[: ORDER + 1]
    if correlation[0] <= 0.0:
        return channel
    normal = correlation[:ORDER].copy()
    normal[0] *= 1 + 1e-9  # A pure tone has no unique predictor.
    predictor = solve_toeplitz(normal, correlation[1:])
    taps = np.zeros(len(channel))
    taps[0], taps[1 : ORDER + 1] = 1.0, -predictor
    return np.fft.irfft(spectrum * np.fft.rfft(taps), len(channel))
