"""A loop on an old tape: still a loop, still in tune and in time, and the sum of its stems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopmeter import Layer
from loopmeter_engine.training.synth import SAMPLE_RATE_HZ
from loopmeter_engine.training.synth.tape import play_on_tape

FRAMES = 4 * SAMPLE_RATE_HZ
TURNS = 1760  # Of a sine in the loop: 440 Hz.


def sine() -> NDArray[np.float32]:
    wave = np.sin(2 * np.pi * TURNS * np.arange(FRAMES) / FRAMES)
    return np.stack((wave, 0.5 * wave)).astype(np.float32)


def on_tape(seed: int, **stems: NDArray[np.float32]) -> dict[Layer, NDArray[np.float32]]:
    return play_on_tape(stems, np.random.default_rng(seed))  # type: ignore[arg-type]  # Layers by name.


def phase_of(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far a sine is ahead of ``sine()``, in turns, over time."""
    carrier = np.exp(-2j * np.pi * TURNS * np.arange(FRAMES) / FRAMES)
    spectrum = np.fft.fft(sound * carrier)
    spectrum[400:-400] = 0
    return np.unwrap(np.angle(np.fft.ifft(spectrum))) / (2 * np.pi)


def test_a_tape_wanders_in_speed_by_less_than_six_cents() -> None:
    for seed in range(5):
        turns = phase_of(on_tape(seed, lead=sine())["lead"][0])
        cents = 1200 * np.log2(1 + np.gradient(turns) * SAMPLE_RATE_HZ / 440)
        assert 0.3 < np.abs(cents).max() < 6.0
        assert np.ptp(turns) / 440 < 0.002, "seconds by which an onset may move, from the earliest to the latest"


def test_a_tape_leaves_no_seam() -> None:
    sound = on_tape(3, lead=sine())["lead"][0]
    steps = np.abs(np.diff(np.tile(sound, 2), 2))
    assert steps[FRAMES - 8 : FRAMES + 8].max() < 1.05 * np.percentile(steps, 99.9)


def test_the_sum_of_taped_stems_is_the_taped_sum() -> None:
    noise = np.random.default_rng(0).standard_normal((2, FRAMES)).astype(np.float32) * 0.1
    stems, mix = on_tape(1, lead=sine(), pad=noise), on_tape(1, lead=sine() + noise)
    assert np.abs(stems["lead"] + stems["pad"] - mix["lead"]).max() < 1e-5


def test_a_tape_loses_treble() -> None:
    noise = np.random.default_rng(0).standard_normal((2, FRAMES)).astype(np.float32)
    power = np.abs(np.fft.rfft(on_tape(2, pad=noise)["pad"][0])) ** 2
    low, high = power[4000:20_000].mean(), power[64_000:80_000].mean()  # 1 to 5, 16 to 20 kHz
    assert 10 * np.log10(low / high) > 3.0
