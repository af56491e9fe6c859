from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from loopmeter_engine.seam import seam_ratio

FRAMES = 44_100


def sine(periods: float, frames: int = FRAMES) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * periods * np.arange(frames) / frames)[None]


def test_a_sine_with_whole_periods_closes() -> None:
    assert seam_ratio(sine(220.0)) <= 1.0


def test_a_sine_cut_off_clicks() -> None:
    assert seam_ratio(sine(220.3)) > 10.0


def test_a_sine_cut_off_in_its_slope_alone_clicks() -> None:
    """Half a period too much: both ends are at zero, but the direction turns round."""
    assert seam_ratio(sine(220.5)) > 2.0


def test_noise_closes_anywhere() -> None:
    # The maximum of 64 normal samples beats the 99.9th percentile of thousands 6 times in 100; never by much.
    ratios = [seam_ratio(np.random.default_rng(seed).normal(0, 0.1, (1, FRAMES))) for seed in range(20)]
    assert np.median(ratios) <= 1.0
    assert max(ratios) < 1.6


def test_silence_closes() -> None:
    assert seam_ratio(np.zeros((2, FRAMES))) == 0.0


def test_a_loop_on_16_bits_measures_as_the_loop() -> None:
    closed, clicking = sine(220.0), sine(220.3)
    assert seam_ratio(np.round(closed * 32767) / 32767) < 2.0
    assert seam_ratio(np.round(clicking * 32767) / 32767) > 10.0


def test_the_worst_channel_counts() -> None:
    both = np.concatenate([sine(220.0), sine(220.3)])
    assert seam_ratio(both) == pytest.approx(seam_ratio(sine(220.3)))


def test_turning_the_loop_moves_the_click_away_from_the_wrap() -> None:
    turned = np.roll(sine(220.3), FRAMES // 2, axis=1)
    assert seam_ratio(turned) <= 1.0


def test_level_does_not_matter() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (1, FRAMES))
    assert seam_ratio(noise) == pytest.approx(seam_ratio(noise * 0.3), rel=1e-6)


@pytest.mark.parametrize("shape", [(FRAMES,), (2, 100)], ids=["one-dimension", "too-short"])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected \\(channels, frames\\)"):
        seam_ratio(np.zeros(shape))
