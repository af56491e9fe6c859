"""The physics of drums: skins, snares, claps, metal, wood and shaken grain. Kits choose the numbers.

A voice is a frozen dataclass with ``hit(strike)``, which gives (frames,) of roughly peak 1, starting at its very
first frame. ``Strike`` carries what the macro controls mean to a drum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from loopmeter_engine.training.synth.envelopes import decay, fade_out, frames_of
from loopmeter_engine.training.synth.oscillators import (
    SAMPLE_RATE_HZ,
    TOP_HZ,
    Floats,
    band,
    coloured_noise,
    modal,
    seconds,
)


@dataclass(frozen=True, slots=True)
class Strike:
    """``length`` multiplies every decay; ``snap`` 0..1 is how much click and stick noise is heard."""

    length: float
    snap: float
    rng: np.random.Generator


class Voice(Protocol):
    def hit(self, strike: Strike) -> Floats: ...


def _frames(decay_s: float, limit_s: float = 3.0) -> int:
    """Frames until a decay has fallen by 65 dB."""
    return frames_of(min(limit_s, 7.5 * decay_s))


def _skin(hz: float, rise: float, sweep_s: float, frames: int) -> Floats:
    """A cosine-free sine that falls from ``hz * rise`` to ``hz``."""
    time = np.arange(frames) / SAMPLE_RATE_HZ
    turns = hz * (time + (rise - 1.0) * sweep_s * (1.0 - np.exp(-time / sweep_s)))
    return np.sin(2.0 * np.pi * (turns % 1.0)).astype(np.float32)


def _burst(rng: np.random.Generator, frames: int, decay_s: float, low_hz: float, high_hz: float) -> Floats:
    return coloured_noise(rng, frames, band(low_hz, high_hz)) * decay(frames, decay_s) * np.float32(0.35)


def _sum(*parts: Floats) -> Floats:
    out = np.zeros(max(len(part) for part in parts), np.float32)
    for part in parts:
        out[: len(part)] += part
    return fade_out(out, 0.004)


@dataclass(frozen=True, slots=True)
class Kick:
    """``hz`` where the skin settles, ``rise`` how many times higher it starts, ``hold`` 0..1 bends the decay."""

    hz: float
    rise: float
    sweep_s: float
    decay_s: float
    click: float
    click_hz: float = 3000.0
    warmth: float = 0.0

    def hit(self, strike: Strike) -> Floats:
        time_s = self.decay_s * strike.length
        frames = _frames(time_s)
        body = _skin(self.hz, self.rise, self.sweep_s, frames) * decay(frames, time_s)
        body += np.float32(self.warmth) * (np.tanh(2.5 * body) - body)
        thump = frames_of(0.06)
        knock = _skin(self.hz * 2.6, 2.5, 0.008, thump) * decay(thump, 0.012) * np.float32(0.5 * self.click)
        tick = _burst(strike.rng, frames_of(0.03), 0.004, self.click_hz * 0.6, self.click_hz * 2.0)
        return _sum(body, knock, tick * np.float32(self.click * (0.3 + 1.2 * strike.snap)))


@dataclass(frozen=True, slots=True)
class Snare:
    """A skin of two modes over rattling wires."""

    hz: Sequence[float]
    skin_decay_s: float
    wire_decay_s: float
    low_hz: float
    high_hz: float
    wires: float
    rise: float = 1.5

    def hit(self, strike: Strike) -> Floats:
        time_s = self.wire_decay_s * strike.length
        frames = _frames(time_s, 1.5)
        skin = np.zeros(_frames(self.skin_decay_s * strike.length, 1.0), np.float32)
        for index, hz in enumerate(self.hz):
            fall = decay(len(skin), self.skin_decay_s * strike.length / (1.0 + 0.4 * index))
            skin += _skin(hz, self.rise, 0.012, len(skin)) * fall * np.float32(0.55 / (1.0 + 0.5 * index))
        wires = _burst(strike.rng, frames, time_s, self.low_hz, self.high_hz)
        wires += 0.6 * _burst(strike.rng, frames, time_s * 0.25, self.low_hz * 2.0, self.high_hz * 1.3)
        return _sum(skin, wires * np.float32(self.wires * (0.7 + 0.6 * strike.snap)))


@dataclass(frozen=True, slots=True)
class Clap:
    """Several hands a few milliseconds apart, then the room's answer."""

    hz: float
    tail_s: float
    spread_s: float = 0.011
    hands: int = 4

    def hit(self, strike: Strike) -> Floats:
        tail_s = self.tail_s * strike.length
        frames = _frames(tail_s, 1.2) + frames_of(self.hands * self.spread_s)
        noise = coloured_noise(strike.rng, frames, band(self.hz * 0.7, self.hz * 1.8, 3)) * np.float32(0.4)
        shape = np.zeros(frames, np.float32)
        for hand in range(self.hands):
            start = frames_of(hand * self.spread_s) - 1
            last = hand == self.hands - 1
            fall = decay(frames - start, tail_s if last else 0.004)
            shape[start:] = np.maximum(shape[start:], fall * np.float32(0.75 + 0.25 * last))
        return _sum(noise * shape)


SQUARES_808 = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)


@dataclass(frozen=True, slots=True)
class Metal:
    """Hats, rides, crashes: a cluster of squares (808), or of ``modes`` random partials, and hiss above ``low_hz``."""

    low_hz: float
    decay_s: float
    hiss: float
    modes: int = 0
    base_hz: float = 300.0
    ping: float = 0.0
    attack_s: float = 0.0

    def hit(self, strike: Strike) -> Floats:
        time_s = self.decay_s * strike.length
        frames = _frames(time_s, 2.6)
        hz, gains = self._partials()
        lift = (hz / self.low_hz) ** 2
        gains = gains * lift / (1.0 + lift)
        cluster = modal(hz, time_s / (1.0 + (hz / 9000.0)), gains / np.sqrt(np.sum(gains**2)), frames)
        hiss = coloured_noise(strike.rng, frames, band(self.low_hz * 1.1, 15_000.0)) * decay(frames, time_s * 0.8)
        sound = cluster * np.float32(0.5 * (1.0 - self.hiss)) + hiss * np.float32(0.45 * self.hiss)
        stick = _burst(strike.rng, frames_of(0.02), 0.003, self.low_hz * 0.6, 9000.0)
        parts = [sound, stick * np.float32(0.12 + 0.6 * strike.snap)]
        if self.ping:
            bell = np.array([1.0, 1.52, 2.31, 3.14]) * self.base_hz * 2.2
            parts.append(modal(bell, time_s * np.array([0.6, 0.5, 0.35, 0.3]), np.full(4, 0.12 * self.ping), frames))
        out = _sum(*parts)
        if self.attack_s:
            out *= 1.0 - np.float32(0.8) * decay(len(out), self.attack_s)
        return out

    def _partials(
        self,
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
        if not self.modes:
            scale = self.base_hz / 300.0
            hz = np.concatenate([np.arange(1, TOP_HZ / base, 2) * base for base in SQUARES_808]) * scale
            order = np.concatenate([np.arange(1, TOP_HZ / base, 2) for base in SQUARES_808])
            return hz, order**-0.8
        rng = np.random.default_rng(self.modes)  # A fixed piece of bronze, the same in every loop.
        hz = self.base_hz * (15_500.0 / self.base_hz) ** np.sort(rng.random(self.modes) ** 0.8)
        return hz, rng.uniform(0.3, 1.0, self.modes)


@dataclass(frozen=True, slots=True)
class Tom:
    hz: float
    rise: float
    decay_s: float
    skin: float

    def hit(self, strike: Strike) -> Floats:
        time_s = self.decay_s * strike.length
        frames = _frames(time_s, 1.6)
        body = _skin(self.hz, self.rise, 0.035, frames) * decay(frames, time_s)
        over = (
            _skin(self.hz * 1.59, self.rise, 0.03, frames) * decay(frames, time_s * 0.35) * np.float32(0.3 * self.skin)
        )
        tick = _burst(strike.rng, frames_of(0.05), 0.008, 400.0, 4500.0) * np.float32(
            self.skin * (0.3 + 0.9 * strike.snap)
        )
        return _sum(body * np.float32(0.9), over, tick)


@dataclass(frozen=True, slots=True)
class Struck:
    """Wood, cowbells, rims, congas: a few modes and the stick."""

    hz: Sequence[float]
    decays_s: Sequence[float]
    gains: Sequence[float]
    stick: float
    stick_hz: float = 3000.0

    def hit(self, strike: Strike) -> Floats:
        decays = np.array(self.decays_s) * strike.length
        frames = _frames(float(decays.max()), 1.2)
        body = modal(np.array(self.hz), decays, np.array(self.gains), frames)
        tick = _burst(strike.rng, frames_of(0.02), 0.003, self.stick_hz * 0.5, self.stick_hz * 2.0)
        return _sum(body, tick * np.float32(self.stick * (0.4 + 1.2 * strike.snap)))


@dataclass(frozen=True, slots=True)
class Shaker:
    """Grain that swells and stops: noise with a soft hump."""

    low_hz: float
    high_hz: float
    rise_s: float
    decay_s: float

    def hit(self, strike: Strike) -> Floats:
        time_s = self.decay_s * strike.length
        frames = _frames(time_s, 0.6) + frames_of(self.rise_s)
        time = seconds(frames)
        swell = (0.25 + np.minimum(time / np.float32(self.rise_s), 1.0) * 0.75) * np.minimum(
            1.0, np.exp((np.float32(self.rise_s) - time) / np.float32(time_s))
        )
        noise = coloured_noise(strike.rng, frames, band(self.low_hz, self.high_hz))
        return _sum(noise * swell.astype(np.float32) * np.float32(0.35))
