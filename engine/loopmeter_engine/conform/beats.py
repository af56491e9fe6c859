"""Where the attacks and the beats of a sound are. numpy alone; the tempo is known roughly, the beats are not.

Attacks: rises of the logarithmic spectrum (spectral flux; Bello et al. 2005), then the exact frame where the energy
rises. Beats: dynamic programming over that curve (Ellis 2007, eq. 2), with a period that may drift, then each beat is
put on the attack it belongs to. Reading order: ``find_beats``, ``attack_strength``, ``find_attacks``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]  # (frames,), mono
Frames = NDArray[np.int64]

HOP_S = 0.003
WINDOW_S = 0.023
TEMPO_OFF_MAX = 0.12  # How far from the asked tempo a sound may be.
_TIGHTNESS = 250.0  # What a beat that comes early or late costs, against the strength of an attack.
_REACH_S = 0.035  # A beat belongs to an attack that is no farther away.
_APART_S = 0.03


@dataclass(frozen=True, slots=True)
class Beats:
    """Frames of beats in order, and of all attacks. ``heard[i]`` is whether beat i lies on an attack of its own."""

    frames: Samples
    heard: NDArray[np.bool_]
    attacks: Frames

    @property
    def period_frames(self) -> float:
        """The mean distance of two beats: the slope of a straight line through them."""
        return float(np.polyfit(np.arange(len(self.frames)), self.frames, 1)[0])


def find_beats(mono: Samples, sample_rate_hz: int, tempo_bpm: float) -> Beats:
    """The beats of a sound whose tempo is within ``TEMPO_OFF_MAX`` of ``tempo_bpm``.

    Empty if there is nothing that rises. A beat without an attack is put between its neighbours.
    """
    hop = max(1, round(HOP_S * sample_rate_hz))
    strength = attack_strength(mono, sample_rate_hz, hop)
    none = Beats(np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int64))
    if strength.max(initial=0.0) <= 0.0:
        return none
    attacks, weights = find_attacks(mono, sample_rate_hz, strength, hop)
    asked = 60.0 / tempo_bpm * sample_rate_hz / hop
    rough = _track(strength, _period(strength, asked)) * hop
    if len(rough) < 2 or len(attacks) == 0:
        return none
    frames, heard = _snap(rough.astype(np.float64), attacks, weights, _REACH_S * sample_rate_hz)
    return Beats(frames, heard, attacks)


def attack_strength(mono: Samples, sample_rate_hz: int, hop: int) -> Samples:
    """How much the sound rises around frame ``i * hop``, over its usual rise; (frames // hop + 1,), never negative."""
    size = 2 ** round(np.log2(WINDOW_S * sample_rate_hz))
    padded = np.concatenate([np.zeros(size), mono, np.zeros(size)])
    starts = np.arange(len(mono) // hop + 1) * hop + size // 2
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[starts]
    magnitude = np.abs(np.fft.rfft(windows * np.hanning(size)))
    level = magnitude.mean() + 1e-12
    logarithm = np.log1p(10.0 * magnitude / level)
    lag = max(1, round(size / 4 / hop))  # A rise takes as long as the window needs to reach into it.
    rise = np.maximum(logarithm[lag:] - logarithm[:-lag], 0.0)
    bins = rise.shape[1]
    low = rise[:, : max(2, bins * 200 * 2 // sample_rate_hz)].mean(axis=1)  # Below 200 Hz: the kick and the bass.
    curve = np.concatenate([np.zeros(lag - lag // 2), rise.mean(axis=1) + 0.5 * low, np.zeros(lag // 2)])[: len(starts)]
    floor = np.median(curve)
    result: Samples = np.maximum(curve - floor, 0.0) / (curve.std() + 1e-12)
    return result


def find_attacks(mono: Samples, sample_rate_hz: int, strength: Samples, hop: int) -> tuple[Frames, Samples]:
    """Attacks in order, at the frame where each begins, and how strong each is."""
    apart = max(1, round(_APART_S * sample_rate_hz / hop))
    padded = np.pad(strength, apart, constant_values=-1.0)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * apart + 1).max(axis=1)
    peaks = np.flatnonzero((strength == highest) & (strength > 0.5))
    reach, before, after = (round(seconds * sample_rate_hz) for seconds in (0.025, 0.006, 0.003))
    edge = reach + before + after
    energy = np.concatenate([[0.0], np.cumsum(np.pad(mono**2, edge))])
    quiet = 1e-4 * energy[-1] / len(mono) + 1e-18
    found = {}
    for peak in peaks:
        at = np.arange(peak * hop - reach, peak * hop + reach) + edge
        at = at[(at >= before) & (at < len(mono) + 2 * edge - after)]
        loud, soft = (energy[at + after] - energy[at]) / after, (energy[at] - energy[at - before]) / before
        # Where the sound rises most for the ear, among what is loud: a hat just ahead of a kick is not the beat.
        rise = np.maximum(np.log((loud + quiet) / (soft + quiet)), 0.0) * np.sqrt(np.maximum(loud - soft, 0.0))
        found[int(np.clip(at[int(rise.argmax())] - edge, 0, len(mono) - 1))] = float(strength[peak])
    order = sorted(found)
    return np.array(order, np.int64), np.array([found[frame] for frame in order])


def _period(strength: Samples, asked: float) -> float:
    """The period, in hops, at which the curve repeats best near the asked one: over one beat, two and four."""
    size = 2 ** int(np.ceil(np.log2(2 * len(strength))))
    spectrum = np.fft.rfft(strength - strength.mean(), size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(strength)]
    periods = np.linspace(asked * (1 - TEMPO_OFF_MAX), asked * (1 + TEMPO_OFF_MAX), 241)
    lags = np.arange(len(correlation))
    score = sum(np.interp(periods * beats, lags, correlation, right=0.0) for beats in (1, 2, 4))
    likely = np.exp(-0.5 * (np.log(periods / asked) / 0.06) ** 2)
    return float(periods[int(np.argmax(np.maximum(score, 0.0) * likely))])


def _track(strength: Samples, period: float) -> Frames:
    """The chain of hops about ``period`` apart that gathers the most strength."""
    far, near = round(period * (1 + TEMPO_OFF_MAX)), max(1, round(period * (1 - TEMPO_OFF_MAX)))
    steps = np.arange(near, far + 1)
    cost = _TIGHTNESS * np.log(steps / period) ** 2
    best = strength.copy()
    came_from = np.full(len(strength), -1)
    for hop in range(near, len(strength)):
        within = steps[: np.searchsorted(steps, hop, side="right")]
        scores = best[hop - within] - cost[: len(within)]
        choice = int(scores.argmax())
        if scores[choice] > 0:
            best[hop] += scores[choice]
            came_from[hop] = hop - within[choice]
    last = len(best) - far if len(best) > far else 0
    hop = int(last + best[last:].argmax())
    chain = [hop]
    while came_from[hop] >= 0:
        hop = int(came_from[hop])
        chain.append(hop)
    return np.array(chain[::-1], np.int64)


def _snap(rough: Samples, attacks: Frames, weights: Samples, reach: float) -> tuple[Samples, NDArray[np.bool_]]:
    """Each beat onto its attack: strong and near. Beats without one go between their neighbours."""
    offset = attacks[None, :] - rough[:, None]
    score = weights[None, :] * np.exp(-((offset / (0.5 * reach)) ** 2)) * (np.abs(offset) <= reach)
    choice = score.argmax(axis=1)
    heard = score[np.arange(len(rough)), choice] > 0.25
    while len(heard) and not heard[0]:  # The chain goes on into silence at both ends.
        rough, choice, heard = rough[1:], choice[1:], heard[1:]
    while len(heard) and not heard[-1]:
        rough, choice, heard = rough[:-1], choice[:-1], heard[:-1]
    index = np.arange(len(rough))
    frames = np.interp(index, index[heard], attacks[choice][heard]) if len(rough) else rough
    return frames, heard
