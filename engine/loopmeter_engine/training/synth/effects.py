"""What happens to a whole stem: everything here is circular, so that a loop stays seamless.

Reading order: ``place`` (notes onto the loop), ``saturate``, ``echo``, ``reverb``, ``duck``. Stems are (2, frames) as
mid and side until ``to_left_right``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from loopmeter_engine.sidechain import ATTACK_S, RECOVER_POWER
from loopmeter_engine.training.synth.envelopes import frames_of, rise
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats

Room = Literal["room", "plate", "hall"]


def place(loop: Floats, sound: Floats, start: int, gain: float = 1.0) -> None:
    """Add ``sound`` to ``loop`` from frame ``start`` on, in place; what rings past the end goes on at the start."""
    frames = loop.shape[-1]
    start %= frames
    done = 0
    while done < sound.shape[-1]:
        count = min(frames - start, sound.shape[-1] - done)
        loop[..., start : start + count] += np.float32(gain) * sound[..., done : done + count]
        done += count
        start = 0


def to_left_right(mid_side: Floats) -> Floats:
    return np.stack((mid_side[0] + mid_side[1], mid_side[0] - mid_side[1]))


def saturate(sound: Floats, drive: float) -> Floats:
    """Soft saturation x / sqrt(1 + x^2), level kept at an amplitude of 0.25; ``drive`` 0 is clean.

    First-order antiderivative anti-aliasing, which for this curve needs no division by a difference; only what the
    curve adds is averaged over two frames, so the clean part keeps its treble.
    """
    if drive <= 0.0:
        return sound
    gain = 0.15 + 7.0 * drive**1.6
    hot = sound * np.float32(gain)
    before = np.roll(hot, 1, axis=-1)
    root = np.sqrt(1.0 + hot * hot)
    pair = hot + before
    bent = pair / (root + np.roll(root, 1, axis=-1)) - np.float32(0.5) * pair + hot
    out: Floats = bent * np.float32(np.sqrt(1.0 + (0.25 * gain) ** 2) / gain)
    return out


def tilt(sound: Floats, gain_db: float, corner_hz: float = 3000.0) -> Floats:
    """A first-order shelf over (..., frames): everything well above ``corner_hz`` changed by ``gain_db``."""
    gain = 10.0 ** (gain_db / 20.0)
    k = np.tan(np.pi * corner_hz / SAMPLE_RATE_HZ)
    root = np.sqrt(gain)
    b = np.array([root * k + gain, root * k - gain])
    a = np.array([root * k + 1.0, root * k - 1.0])
    return np.asarray(scipy.signal.lfilter(b / a[0], a / a[0], sound), np.float32)


def circular_filter(sound: Floats, sections: NDArray[np.float64], warm_s: float = 0.15) -> Floats:
    """A causal filter run around the loop: warmed up on the end before it meets the start."""
    warm = min(frames_of(warm_s), sound.shape[-1])
    joined = np.concatenate((sound[..., -warm:], sound), axis=-1)
    out = scipy.signal.sosfilt(sections.astype(np.float32), joined, axis=-1)
    return np.asarray(out[..., warm:], np.float32)


@lru_cache(maxsize=32)
def high_pass(hz: float, order: int = 2) -> NDArray[np.float64]:
    return np.asarray(scipy.signal.butter(order, hz, "highpass", fs=SAMPLE_RATE_HZ, output="sos"))


@lru_cache(maxsize=32)
def low_pass(hz: float, order: int = 2) -> NDArray[np.float64]:
    return np.asarray(scipy.signal.butter(order, hz, "lowpass", fs=SAMPLE_RATE_HZ, output="sos"))


def echo(mid: Floats, step_frames: int, feedback: float, repeats: int = 4) -> Floats:
    """Echoes of a mid (frames,), without it, (2, frames) mid and side: darker, and swinging from side to side."""
    dark = circular_filter(mid, low_pass(3800.0, 1))
    out = np.zeros((2, len(mid)), np.float32)
    for repeat in range(1, repeats + 1):
        tap = np.roll(dark, repeat * step_frames) * np.float32(feedback**repeat)
        out[0] += tap
        out[1] += tap * np.float32(0.6 if repeat % 2 else -0.6)
    return out


def reverb(mid: Floats, room: Room) -> Floats:
    """The room alone, (2, frames) mid and side, for a mid (frames,); as loud as the source at equal gain."""
    frames = mid.shape[-1]
    size = scipy.fft.next_fast_len(frames + impulse(room).shape[1], real=True)
    spectrum = scipy.fft.rfft(mid, size)
    out = np.zeros((2, frames), np.float32)
    for channel in range(2):
        wet = scipy.fft.irfft(spectrum * _impulse_spectrum(room, size)[channel], size)
        place(out[channel], wet[: frames + impulse(room).shape[1]], 0)
    return out


@lru_cache(maxsize=8)
def impulse(room: Room) -> Floats:
    """The fixed impulse response of a room, (2, frames) mid and side, energy 1 in mid: sparse early, diffuse late."""
    decay_s, delay_s, top_hz = {
        "room": (0.32, 0.003, 7500.0),
        "plate": (1.1, 0.008, 7000.0),
        "hall": (2.1, 0.02, 5200.0),
    }[room]
    frames = frames_of(decay_s * 1.15)
    rng = np.random.default_rng(20_240)
    time = np.arange(frames) / SAMPLE_RATE_HZ
    hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2.0, frames // 2 + 1)
    out = np.zeros((2, frames))
    edges = (120.0, 350.0, 900.0, 2200.0, 5000.0, 22_050.0)
    shares = (0.85, 1.0, 0.95, 0.8, 0.6, 0.4)  # of the decay time, per band: highs die first
    for index, share in enumerate(shares):
        low = edges[index - 1] if index else 40.0
        shape = _bell(hz, low, edges[index]) / (1.0 + (hz / top_hz) ** 2)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal((2, frames)), axis=1) * shape, frames, axis=1)
        out += noise * 10.0 ** (-3.0 * time / (decay_s * share))
    out *= 1.0 - np.exp(-time / 0.004)  # the density builds up
    for tap_s in rng.uniform(0.002, 0.03, 10):
        out[:, frames_of(tap_s)] += rng.standard_normal(2) * np.std(out[:, : frames // 8]) * 6.0
    out = np.concatenate((np.zeros((2, frames_of(delay_s))), out), axis=1)
    out[:, -(frames // 10) :] *= rise(frames // 10)[::-1]
    out /= np.sqrt(np.sum(out[0] ** 2))
    out[1] *= 0.8
    return out.astype(np.float32)


def _bell(hz: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    rising = (hz / low) ** 4
    falling = (hz / high) ** 4
    return np.asarray(rising / (1.0 + rising) / (1.0 + falling))


@lru_cache(maxsize=6)
def _impulse_spectrum(room: Room, size: int) -> NDArray[np.complex64]:
    return np.asarray(scipy.fft.rfft(impulse(room), size, axis=1), np.complex64)


def duck(frames: int, starts: list[int], depth: float, recover_s: float) -> Floats:
    """A gain curve (frames,) that dips by ``depth`` at each start and swells back: side-chain pumping."""
    attack, recover = frames_of(ATTACK_S), frames_of(recover_s)
    dip = np.concatenate((rise(attack), rise(recover)[::-1] ** np.float32(RECOVER_POWER)))
    shape = np.zeros(frames, np.float32)
    for start in starts:
        index = (start + np.arange(min(len(dip), frames))) % frames
        shape[index] = np.maximum(shape[index], dip[: len(index)])
    return 1.0 - np.float32(depth) * shape
