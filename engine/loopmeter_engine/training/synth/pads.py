"""Pads: warm, supersaw, strings, choir, glass."""

from __future__ import annotations

import numpy as np

from loopmeter_engine.partials import GLASS
from loopmeter_engine.training.synth.envelopes import decay, geometric, linear
from loopmeter_engine.training.synth.instrument import Instrument, Tone
from loopmeter_engine.training.synth.oscillators import (
    Floats,
    Swept,
    ensemble,
    harmonics,
    modal,
    seconds,
    unison,
    wavetable,
)
from loopmeter_engine.unison import UNISONS


def warm(tone: Tone) -> Floats:
    """Four soft saws behind a filter that opens and closes slowly."""
    order = harmonics(tone.hz)
    low = linear(tone.timbre.brightness, 8.3, 11.3)
    source = Swept(tone.hz, order**-1.15, low, low + 1.2, q=0.8)
    sway = 0.5 - 0.5 * np.cos(np.float32(2.0 * np.pi * 0.35) * seconds(tone.frames))
    position = source.position(np.float32(low) + np.float32(1.0) * sway + np.float32(0.2 * tone.velocity))
    return unison(source.tables, tone.hz, tone.frames, UNISONS["pad", "warm"].cents, position)


def supersaw(tone: Tone) -> Floats:
    """Seven saws, wide and open."""
    order = harmonics(tone.hz)
    corner = geometric(tone.timbre.brightness, 900.0, 15_000.0) * (0.6 + 0.4 * tone.velocity)
    amplitudes = 1.0 / order / np.sqrt(1.0 + (tone.hz * order / corner) ** 4)
    return unison(wavetable(amplitudes), tone.hz, tone.frames, UNISONS["pad", "supersaw"].cents)


def strings(tone: Tone) -> Floats:
    """A string section: bowed saws in a wooden body, each desk a little off."""
    order = harmonics(tone.hz, 70)
    hz = tone.hz * order
    corner = geometric(tone.timbre.brightness, 900.0, 8000.0) * (0.6 + 0.4 * tone.velocity)
    body = 0.7 + sum(g * np.exp(-((np.log2(hz / f) / 0.35) ** 2)) for f, g in ((290, 0.6), (520, 0.7), (2600, 0.9)))
    return ensemble(
        tone.hz, body / order / (1.0 + (hz / corner) ** 2), UNISONS["pad", "strings"].ensemble_cents, tone.frames
    )


_FORMANTS = {  # Hz, width Hz, level: a dark "oo" and an open "ah"
    "oo": ((330.0, 90.0, 1.0), (800.0, 110.0, 0.35), (2300.0, 200.0, 0.05), (3100.0, 250.0, 0.03)),
    "ah": ((720.0, 120.0, 1.0), (1150.0, 140.0, 0.6), (2600.0, 220.0, 0.22), (3300.0, 300.0, 0.14)),
}


def choir(tone: Tone) -> Floats:
    """Many voices on a vowel; brightness opens it from "oo" to "ah"."""
    order = harmonics(tone.hz, 60)
    hz = tone.hz * order
    open_ness = tone.timbre.brightness
    envelope = np.full(len(order), 0.02)
    for closed, opened in zip(_FORMANTS["oo"], _FORMANTS["ah"], strict=True):
        centre, width, level = (geometric(open_ness, a, b) for a, b in zip(closed, opened, strict=True))
        envelope += level / (1.0 + ((hz - centre) / width) ** 2)
    envelope[0] = max(envelope[0], 0.35)  # the fundamental of a sung note is never missing
    envelope /= order**0.55 * (1.0 + (hz / geometric(open_ness, 1400.0, 6500.0)) ** 2)
    return ensemble(tone.hz, envelope, UNISONS["pad", "choir"].ensemble_cents, tone.frames)


def glass(tone: Tone) -> Floats:
    """Rubbed glass: few pure partials in slowly beating pairs, each ringing on its own."""
    macro = tone.timbre
    ratios = np.array(GLASS)
    tilt = linear(macro.brightness, 1.8, 0.1)
    gains = np.array([1.0, 0.6, 0.35, 0.4, 0.3, 0.25]) * ratios**-tilt
    hz = tone.hz * ratios
    decays = geometric(macro.length, 1.5, 14.0) / ratios**0.3
    beat = 0.25 + 0.09 * np.arange(len(ratios))
    sound = modal(
        np.concatenate((hz, hz + beat)),
        np.tile(decays, 2),
        np.stack((np.concatenate((gains, gains * 0.5)), np.concatenate((gains * 0.3, -gains * 0.5)))),
        tone.frames,
    )
    return sound * (1.0 + 0.3 * decay(tone.frames, 0.4))


FAMILIES: dict[str, Instrument] = {
    "warm": Instrument(warm, (0.012, 1.2), (0.15, 3.0)),
    "supersaw": Instrument(supersaw, (0.006, 1.0), (0.1, 2.5)),
    "strings": Instrument(strings, (0.025, 1.0), (0.12, 2.0)),
    "choir": Instrument(choir, (0.03, 1.0), (0.15, 2.2)),
    "glass": Instrument(glass, (0.008, 0.8), (0.3, 3.5)),
}
