"""Basses: sub, reese, acid, fm, finger, pluck."""

from __future__ import annotations

import numpy as np

from loopmeter_engine.partials import stiffness, stretch
from loopmeter_engine.training.synth.envelopes import decay, frames_of, geometric, linear
from loopmeter_engine.training.synth.instrument import Instrument, Tone
from loopmeter_engine.training.synth.oscillators import (
    Floats,
    Swept,
    band,
    coloured_noise,
    harmonics,
    modal,
    phase_ramp,
    radians,
    scan,
    seconds,
    unison,
    wavetable,
)
from loopmeter_engine.unison import UNISONS


def _mono(sound: Floats) -> Floats:
    return np.stack((sound, np.zeros_like(sound)))


def _body(tone: Tone, low_s: float = 0.25, high_s: float = 5.0) -> Floats:
    """The slow fall of a held bass note; ``length`` stretches it."""
    return decay(tone.frames, geometric(tone.timbre.length, low_s, high_s))


def sub(tone: Tone) -> Floats:
    """A round sine with a few harmonics, which brightness brings in."""
    order = harmonics(tone.hz, 12)
    amplitudes = np.exp(-(order - 1.0) * linear(tone.timbre.brightness, 3.6, 0.75)) * (1.0 - 0.35 * (order % 2 == 0))
    return _mono(scan(wavetable(amplitudes), phase_ramp(tone.hz, tone.frames)) * _body(tone, 0.3, 8.0))


def reese(tone: Tone) -> Floats:
    """Three detuned saws behind a filter that breathes from the start of each note."""
    order = harmonics(tone.hz)
    centre = linear(tone.timbre.brightness, 7.8, 11.6)
    source = Swept(tone.hz, 1.0 / order, centre - 1.0, centre + 1.1, q=1.4)
    time = seconds(tone.frames)
    cutoff = np.float32(centre) - 0.8 * np.cos(np.float32(2.0 * np.pi * 1.25) * time) + np.float32(0.3 * tone.velocity)
    out = unison(source.tables, tone.hz, tone.frames, UNISONS["bass", "reese"].cents, source.position(cutoff))
    return out * _body(tone, 0.5, 12.0)


def acid(tone: Tone) -> Floats:
    """A saw through a squelching four-pole filter; velocity is the accent."""
    macro = tone.timbre
    order = harmonics(tone.hz)
    low = linear(macro.brightness, 7.4, 9.6)
    depth = 1.4 + 2.6 * tone.velocity**2
    source = Swept(tone.hz, 1.0 / order, low, low + depth, q=3.0 + 5.0 * tone.velocity)
    cutoff = np.float32(low) + np.float32(depth) * decay(tone.frames, geometric(macro.length, 0.05, 0.7))
    sound = scan(source.tables, phase_ramp(tone.hz, tone.frames), source.position(cutoff))
    return _mono(sound * _body(tone, 0.2, 3.0))


def fm(tone: Tone) -> Floats:
    """Two-operator frequency modulation with an index that falls after the attack."""
    macro = tone.timbre
    angle = radians(phase_ramp(tone.hz, tone.frames))
    fall = decay(tone.frames, geometric(macro.length, 0.08, 0.9))
    index = np.float32(linear(macro.brightness, 0.3, 3.2) * (0.35 + 0.65 * tone.velocity)) * (0.2 + 0.8 * fall)
    bite = np.float32(0.5 * macro.brightness * tone.velocity) * decay(tone.frames, 0.03) * np.sin(3.0 * angle)
    sound = np.sin(angle + index * np.sin(angle) + bite) + 0.6 * np.sin(angle)
    return _mono(sound * _body(tone))


def finger(tone: Tone) -> Floats:
    """A plucked bass string: pluck point, pick-up, stiff partials, the finger's tick."""
    macro = tone.timbre
    order = harmonics(tone.hz, 170)
    hz = tone.hz * order * stretch(order, stiffness("finger", tone.hz))
    corner = geometric(macro.brightness, 260.0, 3200.0) * (0.5 + 0.7 * tone.velocity)
    gains = np.abs(np.sin(np.pi * order * 0.19)) / order**0.6 / (1.0 + (hz / corner) ** 2)
    decays = geometric(macro.length, 0.22, 2.6) / (1.0 + (hz / 700.0) ** 1.1)
    sound = modal(hz, decays, gains * 1.6, tone.frames)
    tick = min(frames_of(0.03), tone.frames)
    noise = coloured_noise(tone.rng, tick, band(500.0, 600.0 + corner))
    sound[:tick] += noise * decay(tick, 0.005) * np.float32(0.1 * tone.velocity * (0.3 + macro.brightness))
    return _mono(sound)


def pluck(tone: Tone) -> Floats:
    """A synthetic pluck: a saw whose harmonics die the faster the higher they are, over a round fundamental."""
    macro = tone.timbre
    order = harmonics(tone.hz, 330)
    hz = tone.hz * order
    corner = geometric(macro.brightness, 350.0, 6000.0) * (0.4 + 0.8 * tone.velocity)
    gains = 1.0 / order / np.sqrt(1.0 + (hz / corner) ** 4)
    decays = geometric(macro.length, 0.12, 1.4) / (1.0 + (hz / 420.0) ** 0.8)
    return _mono(
        modal(hz, decays, gains, tone.frames) + 0.25 * modal(hz[:1], decays[:1] * 2.0, np.ones(1), tone.frames)
    )


FAMILIES: dict[str, Instrument] = {
    "sub": Instrument(sub, (0.004, 0.2), (0.05, 0.6)),
    "reese": Instrument(reese, (0.003, 0.25), (0.05, 0.7)),
    "acid": Instrument(acid, (0.002, 0.15), (0.03, 0.3)),
    "fm": Instrument(fm, (0.0015, 0.2), (0.04, 0.5)),
    "finger": Instrument(finger, (0.0015, 0.12), (0.06, 0.4)),
    "pluck": Instrument(pluck, (0.0015, 0.12), (0.06, 0.6)),
}
