"""Recorded instruments from a bundle, played like the synthesisers: same notes, macros, tails and levels.

Of a recording the macros move colour (a shelf), start and release; drive, space, width and level work on the whole
stem as ever. Which patch or kit plays is drawn from a stream of its own, so that without a bundle no draw changes.

Reading order: ``Choice``, ``choose``, then ``ring`` (tonal), ``SampledVoice`` (drums), ``effect``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal

from loopmeter import LAYERS, Layer
from loopmeter_engine.training.synth.bundle import Bundle, Kit, Patch, Recording, Region
from loopmeter_engine.training.synth.drum_voices import Strike, Voice
from loopmeter_engine.training.synth.effects import tilt
from loopmeter_engine.training.synth.envelopes import fade_out, frames_of, linear
from loopmeter_engine.training.synth.instrument import Instrument, Tone
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, TOP_HZ, Floats, hermite, midi_hz, seconds

SAMPLED_SHARE = 0.4  # Of the stems for whose family the bundle has something.
_CLEAN_RATIO = 1.15  # Played faster than this, a recording is filtered first, or its treble would fold back.
_DRUM_S = 2.5  # The longest hit.


@dataclass(frozen=True, slots=True)
class Choice:
    """What plays a layer instead of its synthesiser: an instrument, or voices of drums, or effects by kind."""

    gain: float | None  # None: as the synthesiser.
    patch: Patch | None = None
    voices: dict[str, Voice] | None = None
    effects: dict[str, Region] | None = None

    def instrument(self, synthesiser: Instrument) -> Instrument:
        """With the synthesiser's range of attacks and releases, so that macros mean the same."""
        assert self.patch is not None
        return Instrument(functools.partial(ring, self.patch), synthesiser.attack_s, synthesiser.release_s)

    def recorded(self, brightness: float) -> dict[str, Callable[[int], Floats]]:
        """By kind of effect, what makes so many frames of it."""

        def made(region: Region) -> Callable[[int], Floats]:
            return lambda frames: effect(region, frames, brightness)

        return {kind: made(region) for kind, region in (self.effects or {}).items()}


def choose(bundle: Bundle, layer: Layer, family: str, seed: int, *, held_out: bool) -> Choice | None:
    """What of the bundle plays a layer; None: its synthesiser does. Equal arguments give an equal choice.

    ``held_out`` decides which of two sets without a common recording is chosen from.
    """
    rng = np.random.default_rng([seed, LAYERS.index(layer), 0x5A3])
    if rng.random() >= SAMPLED_SHARE:
        return None
    if patches := bundle.patches.get((layer, family, held_out)):
        patch = patches[int(rng.integers(len(patches)))]
        return Choice(patch.gain, patch=patch)
    if kits := bundle.kits.get((layer, family, held_out)):
        return of_kit(kits[int(rng.integers(len(kits)))], layer, rng)
    return None


def of_kit(kit: Kit, layer: Layer, rng: np.random.Generator) -> Choice:
    """One alternative of everything in a kit."""
    drawn = {name: found[int(rng.integers(len(found)))] for name, found in sorted(kit.alternatives.items())}
    if layer == "drums":
        return Choice(kit.gain, voices={name: SampledVoice(regions) for name, regions in drawn.items()})
    return Choice(None, effects={name: regions[0] for name, regions in drawn.items()})


def ring(patch: Patch, tone: Tone) -> Floats:
    """A held note of a patch, (2, frames) mid and side."""
    key = round(69 + 12 * float(np.log2(tone.hz / midi_hz(69))))
    out = np.zeros((2, tone.frames), np.float32)
    for region in patch.of(key):
        sound = _sound(region, key, tone.frames, hold=True) * region.envelope.gains(tone.frames, SAMPLE_RATE_HZ, key)
        sound *= np.float32(region.gain)
        out[0] += sound
        out[1] += sound * np.float32(-region.pan)
    # A soft note is duller; so is a dark one.
    return tilt(out, linear(tone.timbre.brightness, -14.0, 11.0) - 8.0 * (1.0 - tone.velocity), 1500.0)


@dataclass(frozen=True)
class SampledVoice:
    """A recorded drum, as ``drum_voices.Voice``."""

    regions: tuple[Region, ...]

    def hit(self, strike: Strike) -> Floats:
        layers = [_sound(region, region.keys[0], frames_of(_DRUM_S), hold=False) for region in self.regions]
        sound = np.sum([layer * region.gain for layer, region in zip(layers, self.regions, strict=True)], axis=0)
        sound = _trimmed(np.asarray(sound, np.float32))
        sound /= np.max(np.abs(sound)) + 1e-9
        # How long it rings, from the moment before which 90 % of its energy lies.
        energy = np.cumsum(sound * sound)
        ring_s = max(0.02, float(np.searchsorted(energy, 0.9 * energy[-1])) / SAMPLE_RATE_HZ)
        slower = np.float32((1.0 - 1.0 / strike.length) / ring_s)
        bend = np.exp(np.minimum(seconds(len(sound)) * slower, np.float32(2.3)))
        return fade_out(np.asarray(sound * bend, np.float32), 0.01)


def effect(region: Region, frames: int, brightness: float) -> Floats:
    """A recorded effect over ``frames``, going round or cut, (2, frames) mid and side."""
    sound = _sound(region, region.keys[0], frames, hold=region.recording.loop is not None)
    sound = fade_out(tilt(sound * np.float32(region.gain), linear(brightness, -14.0, 11.0), 1500.0), 0.02)
    # A recording of one channel gets some width from a delay that the ear does not hear as one.
    return np.stack((sound, np.float32(0.3) * (np.roll(sound, frames_of(0.011)) - sound)))


def _sound(region: Region, key: int, frames: int, *, hold: bool) -> Floats:
    """(frames,) of a region's recording at a key's pitch, through its filter; silence after its end."""
    recording = region.recording
    ratio = 2.0 ** (((key - region.root) * region.scale + region.tuning) / 12.0)
    step = ratio * recording.rate_hz / SAMPLE_RATE_HZ
    sound = _read(_filtered(recording, step), recording.loop if hold else None, step, frames)
    if region.cutoff_hz < TOP_HZ:
        sound = np.asarray(scipy.signal.sosfilt(_resonant(region.cutoff_hz, region.resonance_db), sound), np.float32)
    return sound


def _filtered(recording: Recording, step: float) -> Floats:
    pcm = recording.pcm.astype(np.float32) / np.float32(32768)
    if step <= _CLEAN_RATIO:
        return pcm
    size = scipy.fft.next_fast_len(len(pcm) + 256, real=True)
    spectrum = scipy.fft.rfft(pcm, size)
    edge = int(len(spectrum) / step)
    spectrum[edge:] = 0.0
    return np.asarray(scipy.fft.irfft(spectrum, size)[: len(pcm)], np.float32)


def _read(pcm: Floats, loop: tuple[int, int] | None, step: float, frames: int) -> Floats:
    """``pcm`` read every ``step`` frames, by Hermite's cubic between four neighbours."""
    place = np.arange(frames, dtype=np.float64) * step
    if loop is not None:
        start, length = loop[0], loop[1] - loop[0]
        late = place >= loop[1]
        place[late] = start + (place[late] - start) % length
    inside = place < len(pcm)
    place = np.minimum(place, len(pcm) - 1)
    whole = place.astype(np.intp)
    t = (place - whole).astype(np.float32)
    before, here, after, beyond = whole - 1, whole, whole + 1, whole + 2
    if loop is not None:  # Neighbours go round as well, or every round would click.
        after = np.where(after >= loop[1], after - length, after)
        beyond = np.where(beyond >= loop[1], beyond - length, beyond)
    padded = np.concatenate((pcm, np.zeros(4, np.float32)))
    a, b, c, d = padded[np.maximum(before, 0)], padded[here], padded[after], padded[beyond]
    return hermite(a, b, c, d, t) * inside.astype(np.float32)


def _resonant(cutoff_hz: float, resonance_db: float) -> Floats:
    """Two poles with a peak of ``resonance_db`` over the flat case, as one section."""
    angle = 2.0 * np.pi * max(cutoff_hz, 200.0) / SAMPLE_RATE_HZ
    alpha = np.sin(angle) / (2.0 * 0.7071 * 10.0 ** (resonance_db / 20.0))
    b = (1.0 - np.cos(angle)) / 2.0
    section = np.array([[b, 2 * b, b, 1 + alpha, -2 * np.cos(angle), 1 - alpha]])
    section /= section[0, 3]
    return section.astype(np.float32)


def _trimmed(sound: Floats) -> Floats:
    """From the first frame that is heard: recordings begin late, and hits may not."""
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.max(np.abs(sound)))
    return sound[loud[0] :] if len(loud) else sound
