"""Leads: square, saw, bell, mallet, flute, whistle. Long notes get a gentle vibrato."""

from __future__ import annotations

import numpy as np

from loopmeter_engine.partials import BELL, MALLET, VIBRATOS
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
    scan,
    seconds,
    unison,
    vibrato,
    wavetable,
)
from loopmeter_engine.unison import UNISONS


def square(tone: Tone) -> Floats:
    """A hollow square, a second one detuned at the sides, behind an opening filter."""
    order = harmonics(tone.hz)
    return _subtractive(tone, np.where(order % 2 == 1, 1.0 / order, 0.0), "square")


def saw(tone: Tone) -> Floats:
    """Detuned saws: the trance and synthwave lead."""
    return _subtractive(tone, 0.75 / harmonics(tone.hz), "saw")


def _subtractive(tone: Tone, amplitudes: np.ndarray[tuple[int], np.dtype[np.float64]], family: str) -> Floats:
    macro = tone.timbre
    low = linear(macro.brightness, 9.2, 12.4)
    depth = 0.5 + 1.3 * tone.velocity
    source = Swept(tone.hz, amplitudes, low, low + depth, q=1.3)
    fall = decay(tone.frames, geometric(macro.length, 0.1, 1.0))
    turns = vibrato(tone.hz, tone.frames, VIBRATOS["lead", family])
    position = source.position(np.float32(low) + np.float32(depth) * fall)
    out = unison(source.tables, tone.hz, tone.frames, UNISONS["lead", family].cents, position, turns)
    return out * (0.65 + 0.35 * fall)


def bell(tone: Tone) -> Floats:
    """A tuned bell: hum, prime, tierce, quint, nominal and what rings above."""
    macro = tone.timbre
    ratios = np.array(BELL)
    level = np.array([0.25, 1.0, 0.5, 0.12, 0.1, 0.55, 0.3, 0.25, 0.25, 0.2, 0.15, 0.1, 0.08])
    tilt = linear(macro.brightness, 1.6, 0.0) + 0.5 * (1.0 - tone.velocity)
    gains = level * np.maximum(ratios, 1.0) ** -tilt
    decays = geometric(macro.length, 0.25, 3.5) * np.maximum(ratios, 0.7) ** -0.75
    side = gains * 0.5 * np.cos(np.arange(len(ratios)) * 2.1)
    return modal(tone.hz * ratios, decays, np.stack((gains, side)), tone.frames)


def mallet(tone: Tone) -> Floats:
    """A wooden bar over a tube: the fundamental and two partials that die at once, and the mallet's thud."""
    macro = tone.timbre
    ratios = np.array(MALLET)
    tilt = linear(macro.brightness, 2.2, 0.55) + 0.6 * (1.0 - tone.velocity)
    gains = np.array([1.0, 1.6, 1.2, 0.7]) * ratios**-tilt
    decays = geometric(macro.length, 0.12, 1.3) * (440.0 / tone.hz) ** 0.35 * ratios**-0.9
    side = gains * np.array([0.15, -0.5, 0.5, -0.5])
    sound = modal(tone.hz * ratios, decays, np.stack((gains, side)), tone.frames)
    count = min(frames_of(0.04), tone.frames)
    noise = coloured_noise(tone.rng, count, band(200.0, geometric(macro.brightness, 800.0, 5000.0)))
    sound[0, :count] += noise * decay(count, 0.006) * np.float32(0.16 * tone.velocity)
    return sound


def flute(tone: Tone) -> Floats:
    """A blown tube: few harmonics, breath around them, a chiff at the start, a vibrato that swells."""
    macro = tone.timbre
    order = harmonics(tone.hz, 14)
    tilt = linear(macro.brightness, 2.6, 1.0) + 0.5 * (1.0 - tone.velocity)
    amplitudes = order**-tilt * np.where(order == 2, 0.8, 1.0)
    turns = vibrato(tone.hz, tone.frames, VIBRATOS["lead", "flute"])
    sound = scan(wavetable(amplitudes), bend(phase_ramp(tone.hz, tone.frames), turns))
    time = seconds(tone.frames)
    sound *= 1.0 + 0.1 * np.sin(np.float32(2.0 * np.pi * 5.0) * time) * np.clip((time - 0.25) * 3.0, 0.0, 1.0)
    return _breathe(sound, tone, linear(macro.brightness, 0.03, 0.12), chiff=3.0)


def whistle(tone: Tone) -> Floats:
    """Nearly a sine, with air, a scoop into the note and a quick vibrato."""
    macro = tone.timbre
    order = harmonics(tone.hz, 5)
    amplitudes = np.exp(-(order - 1.0) * linear(macro.brightness, 4.2, 1.5))
    scoop = -tone.hz * 0.02 * 0.03 * (1.0 - decay(tone.frames, 0.03))
    turns = vibrato(tone.hz, tone.frames, VIBRATOS["lead", "whistle"]) + scoop.astype(np.float32)
    sound = scan(wavetable(amplitudes), bend(phase_ramp(tone.hz, tone.frames), turns))
    return _breathe(sound, tone, linear(macro.brightness, 0.02, 0.08), chiff=1.0)


def _breathe(sound: Floats, tone: Tone, amount: float, chiff: float) -> Floats:
    """Air around the tone, stronger in the first moment."""
    air = coloured_noise(tone.rng, 2 * tone.frames, band(tone.hz * 0.9, min(tone.hz * 2.5, 8000.0), 3))
    swell = np.float32(amount) * (1.0 + np.float32(chiff) * decay(tone.frames, 0.04))
    return np.stack((sound + air[: tone.frames] * swell, 0.4 * air[tone.frames :] * swell))


FAMILIES: dict[str, Instrument] = {
    "square": Instrument(square, (0.002, 0.3), (0.05, 0.9)),
    "saw": Instrument(saw, (0.002, 0.3), (0.05, 0.9)),
    "bell": Instrument(bell, (0.001, 0.12), (0.2, 2.0)),
    "mallet": Instrument(mallet, (0.001, 0.08), (0.1, 0.8)),
    "flute": Instrument(flute, (0.015, 0.3), (0.06, 0.6)),
    "whistle": Instrument(whistle, (0.01, 0.25), (0.05, 0.5)),
}
