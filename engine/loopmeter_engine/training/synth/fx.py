"""The fx layer: vinyl, riser, impact, sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from loopmeter_engine.score import FxEvent, Timbre
from loopmeter_engine.training.synth.effects import place
from loopmeter_engine.training.synth.envelopes import decay, fade_out, frames_of, geometric, linear, rise
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats, band, coloured_noise


def play(
    events: Sequence[FxEvent],
    timbre: Timbre,
    frames: int,
    beat_s: float,
    rng: np.random.Generator,
    recorded: Mapping[str, Callable[[int], Floats]] | None = None,
) -> Floats:
    """The events on a loop of ``frames``, (2, frames) mid and side, dry.

    ``recorded``: by kind, what makes so many frames of it instead of the synthesiser.
    """
    loop = np.zeros((2, frames), np.float32)
    for event in events:
        start = round(event.onset_beats * beat_s * SAMPLE_RATE_HZ)
        span = max(frames_of(0.05), frames_of(event.duration_beats * beat_s))
        if recorded and event.kind in recorded:
            sound = recorded[event.kind](min(span, frames))
        elif event.kind == "vinyl":
            loop_long = span >= frames - 1
            sound = _vinyl(min(span, frames), timbre, rng)
            if not loop_long:
                edge = frames_of(0.05)
                sound[:, :edge] *= rise(edge)[: sound.shape[1]]
                fade_out(sound, 0.05)
        elif event.kind == "riser":
            sound = _riser(span, timbre, rng)
        elif event.kind == "impact":
            sound = _impact(timbre, rng)
        else:
            sound = _sweep(span, timbre, rng)
        place(loop, sound, start, event.velocity)
    return loop


def _vinyl(frames: int, timbre: Timbre, rng: np.random.Generator) -> Floats:
    """Hiss and dust, circular over its length: ticks by chance, one pop per turn of the record."""
    top = geometric(timbre.brightness, 2500.0, 11_000.0)
    out = np.stack([coloured_noise(rng, frames, band(300.0, top, 1)) for _ in range(2)]) * np.float32(0.018)
    count = rng.poisson(frames / SAMPLE_RATE_HZ * geometric(timbre.length, 6.0, 30.0))
    click = frames_of(0.004)
    for start, size, side in zip(
        rng.integers(0, frames, count), rng.exponential(0.2, count), rng.uniform(-0.7, 0.7, count), strict=True
    ):
        tick = coloured_noise(rng, click, band(700.0, top)) * decay(click, 0.0006) * np.float32(min(size, 0.9))
        fade_out(tick, 0.001)
        place(out, np.stack((tick, tick * np.float32(side))), int(start))
    out[1] *= np.float32(0.7)
    return out


_BANDS_HZ = (180.0, 360.0, 720.0, 1440.0, 2880.0, 5760.0, 11_520.0)


def _moving_noise(path: Floats, width: float, rng: np.random.Generator) -> Floats:
    """Stereo noise whose centre follows ``path`` (frames,), in octaves above 180 Hz; ``width`` in octaves."""
    frames = len(path)
    out = np.zeros((2, frames), np.float32)
    for index, hz in enumerate(_BANDS_HZ):
        weight = np.exp(-0.5 * ((path - index) / np.float32(width)) ** 2)
        shape = band(hz * 0.75, hz * 1.35, 3)
        out[0] += coloured_noise(rng, frames, shape) * weight
        out[1] += coloured_noise(rng, frames, shape) * weight * np.float32(0.7)
    return out


def _riser(frames: int, timbre: Timbre, rng: np.random.Generator) -> Floats:
    """Noise and a tone that climb and swell, and stop where the event ends."""
    ramp = np.linspace(0.0, 1.0, frames, dtype=np.float32)
    reach = linear(timbre.brightness, 3.2, 6.0)
    out = _moving_noise(ramp * np.float32(reach), 1.1, rng) * np.float32(0.16)
    octaves = 2.5 * np.linspace(0.0, 1.0, frames)
    turns = np.cumsum(110.0 * 2.0**octaves / SAMPLE_RATE_HZ)
    angle = (2.0 * np.pi * (turns % 1.0)).astype(np.float32)
    tone = np.sin(angle) + np.float32(0.5) * np.sin(2.0 * angle) + np.float32(0.3) * np.sin(3.0 * angle)
    out[0] += tone * np.float32(0.1)
    out *= ramp ** np.float32(linear(timbre.softness, 1.2, 3.0))
    return fade_out(out, 0.03)


def _impact(timbre: Timbre, rng: np.random.Generator) -> Floats:
    """A boom that falls below hearing, under a burst of noise."""
    time_s = geometric(timbre.length, 0.25, 1.1)
    frames = frames_of(min(4.0, 6.5 * time_s))
    time = np.arange(frames) / SAMPLE_RATE_HZ
    turns = 38.0 * time + 55.0 * 0.12 * (1.0 - np.exp(-time / 0.12))
    boom = np.sin(2.0 * np.pi * (turns % 1.0)).astype(np.float32) * decay(frames, time_s)
    top = geometric(timbre.brightness, 900.0, 9000.0)
    noise = np.stack([coloured_noise(rng, frames, band(120.0, top, 1)) for _ in range(2)])
    noise *= decay(frames, time_s * 0.45) * np.float32(0.12)
    noise[1] *= np.float32(0.8)
    noise[0] += boom * np.float32(0.6)
    attack = frames_of(geometric(timbre.softness, 0.001, 0.05))
    noise[:, :attack] *= rise(attack)
    return fade_out(noise, 0.02)


def _sweep(frames: int, timbre: Timbre, rng: np.random.Generator) -> Floats:
    """Noise that opens and closes again over the event."""
    ramp = np.linspace(0.0, 1.0, frames, dtype=np.float32)
    arch = np.sin(np.float32(np.pi) * ramp)
    out = _moving_noise(arch * np.float32(linear(timbre.brightness, 3.0, 6.0)), 0.9, rng) * np.float32(0.2)
    out *= arch * arch
    return out
