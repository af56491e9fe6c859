"""The drum layer: strikes each drum of a kit once, soft and hard, and lays the hits on the loop."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.signal

from loopmeter_engine.score import Hit, Timbre
from loopmeter_engine.training.synth.drum_kits import KITS
from loopmeter_engine.training.synth.drum_voices import Strike, Voice
from loopmeter_engine.training.synth.effects import low_pass, place, tilt
from loopmeter_engine.training.synth.envelopes import fade_out, frames_of, geometric, linear, rise
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats

# How loud a full hit of each drum is in the mix, and where it stands from left (-1) to right (1) at full width.
_LEVELS = {
    "kick": 0.95, "snare": 0.7, "clap": 0.55, "rim": 0.4, "closed_hat": 0.34, "open_hat": 0.36, "ride": 0.34,
    "crash": 0.5, "tom_low": 0.6, "tom_high": 0.55, "shaker": 0.3, "perc": 0.35,
}  # fmt: skip
_PANS = {
    "kick": 0.0, "snare": 0.05, "clap": -0.1, "rim": 0.3, "closed_hat": 0.35, "open_hat": 0.35, "ride": -0.45,
    "crash": -0.3, "tom_low": -0.5, "tom_high": 0.5, "shaker": -0.6, "perc": 0.6,
}  # fmt: skip


def play(
    hits: Sequence[Hit],
    timbre: Timbre,
    frames: int,
    beat_s: float,
    rng: np.random.Generator,
    voices: Mapping[str, Voice] | None = None,
) -> Floats:
    """The hits on a loop of ``frames``, (2, frames) mid and side, dry. ``voices`` stand in for those of the family."""
    kit = {**KITS[timbre.family], **(voices or {})}
    loop = np.zeros((2, frames), np.float32)
    starts = [round(hit.onset_beats * beat_s * SAMPLE_RATE_HZ) % frames for hit in hits]
    chokes = sorted(start for hit, start in zip(hits, starts, strict=True) if hit.drum in ("closed_hat", "open_hat"))
    seeds = dict(zip(sorted(_LEVELS), rng.spawn(len(_LEVELS)), strict=True))
    struck = {drum: _strike(kit[drum], drum, timbre, seeds[drum]) for drum in {hit.drum for hit in hits}}
    for hit, start in zip(hits, starts, strict=True):
        soft, hard = struck[hit.drum]
        sound = hit.velocity * hard + (1.0 - hit.velocity) * soft
        if hit.drum == "open_hat":
            sound = fade_out(sound[: _until_choked(start, chokes, frames)], 0.004)
        gain = _LEVELS[hit.drum] * hit.velocity**1.3
        place(loop[0], sound, start, gain)
        place(loop[1], sound, start, gain * _PANS[hit.drum])
    if timbre.family == "lofi":
        loop = _crush(loop, timbre)
    return loop


def _strike(voice: Voice, drum: str, timbre: Timbre, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A drum struck softly (duller) and hard, of peak near 1 at medium brightness."""
    strike = Strike(geometric(timbre.length, 0.4, 2.2), timbre.brightness, rng)
    hard = voice.hit(strike)
    hard = tilt(hard / _size(hard), linear(timbre.brightness, -9.0, 6.0))
    attack = min(frames_of(geometric(timbre.softness, 0.0002, 0.012)), len(hard))
    hard[:attack] *= rise(attack)
    corner = 900.0 if drum in ("kick", "tom_low", "tom_high", "perc") else 4500.0
    soft = np.asarray(scipy.signal.sosfilt(low_pass(corner, 1).astype(np.float32), hard), np.float32)
    return fade_out(soft, 0.004), hard


def _size(sound: Floats) -> np.float32:
    """How big a hit sounds: its peak, or three times its power in the loudest 6 ms, so that a click does not count."""
    step = frames_of(0.006)
    steps = sound[: len(sound) // step * step].reshape(-1, step)
    loudest = np.sqrt(np.max(np.mean(steps * steps, axis=1)))
    return np.float32(min(np.max(np.abs(sound)), 3.0 * loudest))


def _until_choked(start: int, chokes: list[int], frames: int) -> int:
    """Frames from ``start`` to the next hat around the loop."""
    index = bisect_right(chokes, start)
    following = chokes[index] if index < len(chokes) else chokes[0] + frames
    return max(following - start, frames_of(0.01)) + frames_of(0.004)


def _crush(loop: Floats, timbre: Timbre) -> Floats:
    """An old sampler: held samples at a lower rate, which ``brightness`` raises, in coarse steps of level."""
    held_frames = geometric(timbre.brightness, 4.5, 1.8)
    index = np.arange(loop.shape[1])
    held = loop[:, (np.floor(index / held_frames) * held_frames).astype(np.intp)]
    return np.asarray(np.round(held * 96.0) / 96.0, np.float32)
