"""Chord instruments: electric_piano, piano, organ, saw_stab, pluck, guitar."""

from __future__ import annotations

import numpy as np

from loopmeter_engine.partials import ORGAN_PIPES, VIBRATOS, stiffness, stretch
from loopmeter_engine.training.synth.envelopes import decay, frames_of, geometric, linear
from loopmeter_engine.training.synth.instrument import Instrument, Tone
from loopmeter_engine.training.synth.oscillators import (
    Floats,
    Swept,
    band,
    bend,
    coloured_noise,
    harmonics,
    modal,
    phase_ramp,
    radians,
    scan,
    seconds,
    unison,
    vibrato,
    wavetable,
)
from loopmeter_engine.unison import UNISONS


def _add_noise(sound: Floats, tone: Tone, low_hz: float, high_hz: float, time_s: float, gain: float) -> None:
    """A short noise at the start of the middle channel: hammer, key or fingernail."""
    count = min(frames_of(time_s * 6.0), sound.shape[1])
    noise = coloured_noise(tone.rng, count, band(low_hz, high_hz))
    sound[0, :count] += noise * decay(count, time_s) * np.float32(gain)


def electric_piano(tone: Tone) -> Floats:
    """A tine piano: a bell that dies at once over a warm tone that barks when hit hard; the tremolo pans."""
    macro = tone.timbre
    angle = radians(phase_ramp(tone.hz, tone.frames))
    fall = geometric(macro.length, 0.5, 3.2) * (220.0 / tone.hz) ** 0.35
    bark = linear(macro.brightness, 0.15, 1.5) * (0.25 + 0.9 * tone.velocity**1.5) / (1.0 + tone.hz / 1800.0)
    index = np.float32(bark) * (0.35 + 0.65 * decay(tone.frames, 0.35 * fall))
    body = np.sin(angle + index * np.sin(angle)) * decay(tone.frames, fall)
    tine_hz = np.array([tone.hz * 7.03, tone.hz * 14.3])
    tine_gain = linear(macro.brightness, 0.02, 0.22) * tone.velocity * np.array([1.0, 0.5])
    tine = modal(tine_hz, np.array([0.18, 0.07]), tine_gain, tone.frames) if tone.hz * 7.03 < 16_000.0 else 0.0
    sound = (body + tine).astype(np.float32)
    pan = np.sin(np.float32(2.0 * np.pi * 5.1) * seconds(tone.frames)) * np.float32(0.75)
    return np.stack((sound, sound * pan))


def piano(tone: Tone) -> Floats:
    """Stiff strings in pairs, a fast and a slow decay, the hammer's felt and the knock of the case."""
    macro = tone.timbre
    order = harmonics(tone.hz, 44)
    hz = tone.hz * order * stretch(order, stiffness("piano", tone.hz))
    corner = geometric(macro.brightness, 500.0, 5200.0) * (0.3 + 1.1 * tone.velocity**1.3)
    hammer = np.abs(np.sin(np.pi * order / 8.2)) + 0.04
    gains = hammer / order**0.75 / (1.0 + (hz / corner) ** 2) ** 0.9
    slow = geometric(macro.length, 0.45, 5.5) * (261.6 / tone.hz) ** 0.5 / (1.0 + (hz / 1500.0) ** 0.9)
    spread = 0.35 * np.cos(order * 2.4)  # where a partial sits between left and right: the sound board
    mid = np.concatenate((gains * 0.65, gains * 0.5, gains * 0.6))
    side = np.concatenate((gains * spread, -gains * spread * 0.7, gains * spread * 0.5))
    detuned = hz + 0.18 + 2e-4 * hz
    sound = modal(
        np.concatenate((hz, detuned, hz)),
        np.concatenate((slow, slow * 0.8, slow * 0.16)),
        np.stack((mid, side)),
        tone.frames,
    )
    _add_noise(sound, tone, 90.0, 500.0, 0.012, 0.05 * tone.velocity)
    _add_noise(sound, tone, 1500.0, 5000.0, 0.004, 0.05 * tone.velocity**2 * (0.2 + macro.brightness))
    return sound


def organ(tone: Tone) -> Floats:
    """Drawbars through a rotating speaker; brightness pulls the high bars, and a percussion tap marks the attack."""
    macro = tone.timbre
    ratios = np.array(ORGAN_PIPES)
    bars = np.array([0.35, 1.0, 0.3, 0.6, 0.35, 0.4, 0.2, 0.2, 0.25])
    tilt = linear(macro.brightness, 1.3, 0.05)
    amplitudes = np.zeros(max(1, min(16, int(17_000.0 / (tone.hz / 2.0)))))
    for ratio, bar in zip(ratios, bars * (ratios / 2.0) ** -tilt, strict=True):
        if ratio <= len(amplitudes):
            amplitudes[ratio - 1] = bar
    time = seconds(tone.frames)
    turn = np.sin(np.float32(2.0 * np.pi * 6.3) * time)
    phase = phase_ramp(tone.hz / 2.0, tone.frames)
    wobble = vibrato(tone.hz / 2.0, tone.frames, VIBRATOS["chords", "organ"])
    sound = scan(wavetable(amplitudes), bend(phase, wobble))
    tap = np.sin(6.0 * radians(phase)) * decay(tone.frames, geometric(macro.length, 0.08, 0.4))
    sound = sound * (1.0 + 0.12 * turn) + np.float32(0.35 * tone.velocity) * tap
    out = np.stack((sound, sound * turn * np.float32(0.45)))
    _add_noise(out, tone, 2000.0, 6000.0, 0.003, 0.08 * macro.brightness)
    return out


def saw_stab(tone: Tone) -> Floats:
    """Detuned saws behind a filter that snaps shut: the house and rave stab."""
    macro = tone.timbre
    order = harmonics(tone.hz)
    low = linear(macro.brightness, 8.2, 10.6)
    depth = 1.2 + 1.8 * tone.velocity
    source = Swept(tone.hz, 1.0 / order, low, low + depth, q=1.4)
    fall = geometric(macro.length, 0.08, 1.2)
    cutoff = np.float32(low) + np.float32(depth) * decay(tone.frames, fall)
    out = unison(source.tables, tone.hz, tone.frames, UNISONS["chords", "saw_stab"].cents, source.position(cutoff))
    return out * (0.25 + 0.75 * decay(tone.frames, fall * 2.5))


def pluck(tone: Tone) -> Floats:
    """A bright synthetic pluck, doubled a few cents apart."""
    macro = tone.timbre
    order = harmonics(tone.hz, 90)
    hz = tone.hz * order
    corner = geometric(macro.brightness, 600.0, 9000.0) * (0.4 + 0.8 * tone.velocity)
    gains = (0.55 + 0.45 * (order % 2)) / order / np.sqrt(1.0 + (hz / corner) ** 4)
    decays = geometric(macro.length, 0.1, 1.5) / (1.0 + (hz / 1500.0) ** 0.9)
    above, below = (2.0 ** (cents / 1200.0) for cents in UNISONS["chords", "pluck"].cents)
    return modal(
        np.concatenate((hz * above, hz * below)),
        np.tile(decays, 2),
        np.stack((np.tile(gains, 2), np.concatenate((gains, -gains)) * 0.8)),
        tone.frames,
    )


def guitar(tone: Tone) -> Floats:
    """A steel string plucked near the hole, in a body with three resonances."""
    macro = tone.timbre
    order = harmonics(tone.hz, 60)
    hz = tone.hz * order * stretch(order, stiffness("guitar", tone.hz))
    corner = geometric(macro.brightness, 700.0, 8000.0) * (0.45 + 0.7 * tone.velocity)
    body = 0.6 + sum(
        g * np.exp(-(((hz - f) / w) ** 2)) for f, w, g in ((110, 35, 1.2), (215, 60, 1.0), (410, 110, 0.5))
    )
    gains = np.abs(np.sin(np.pi * order * 0.23)) / order**0.7 * body / (1.0 + (hz / corner) ** 2)
    decays = geometric(macro.length, 0.25, 3.0) / (1.0 + (hz / 1100.0) ** 1.05)
    side = 0.4 * np.sin(order * 1.7)
    sound = modal(hz, decays, np.stack((gains, gains * side)) * 1.6, tone.frames)
    _add_noise(sound, tone, 1200.0, 6000.0, 0.004, 0.12 * tone.velocity * (0.25 + macro.brightness))
    return sound


FAMILIES: dict[str, Instrument] = {
    "electric_piano": Instrument(electric_piano, (0.0015, 0.2), (0.08, 0.7)),
    "piano": Instrument(piano, (0.001, 0.15), (0.08, 0.9)),
    "organ": Instrument(organ, (0.003, 0.3), (0.03, 0.5)),
    "saw_stab": Instrument(saw_stab, (0.002, 0.25), (0.05, 0.9)),
    "pluck": Instrument(pluck, (0.0015, 0.15), (0.08, 1.0)),
    "guitar": Instrument(guitar, (0.001, 0.12), (0.06, 0.7)),
}
