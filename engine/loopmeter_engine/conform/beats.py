"""Where the attacks and the beats of a sound are. numpy alone; the tempo is known roughly, the beats are not.

Attacks: rises of the logarithmic spectrum (spectral flux; Bello et al. 2005), then the exact frame where the energy
rises. Beats: the likeliest path over that curve of time and tempo together, where the tempo moves in small steps (the
idea of the bar pointer model; Whiteley et al. 2006, without its probabilities). A path that knows the tempo alone does
not do: it jumps onto the nearest loud syncopation (Ellis 2007; up to 37 ms off on real loops). What the path found is
settled by comparing bars (``bars.py``). Reading order: ``find_beats``, ``attack_strength``, ``find_attacks``,
``_track``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopmeter_engine.conform.bars import band_rises, near_period, settle

Samples = NDArray[np.float64]  # (frames,), mono
Frames = NDArray[np.int64]

HOP_S = 0.003
WINDOW_S = 0.023
TEMPO_OFF_MAX = 0.12  # How far from the asked tempo a sound may be.
_TEMPO_STEP = 0.01
_STEPS_MAX = 4  # Between two beats.
_STEP_COST = 0.3  # Against the strength of an attack, which is counted in deviations of the curve.
_DRIFT_MAX = 0.06  # How far the tempo may drift from its mean.
_FAR_COST = 0.02  # What it costs a beat to be so many steps, squared, from the mean tempo.
_BETWEEN = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.25))  # Places between two beats, and what an attack there says of them.
_BLUR_HOPS = 3.0  # Hits that belong together are no nearer.
_BINS = 8  # Places in a beat, to tell the beat from the others.
_REACH_S = 0.035  # An attack belongs to a beat that is no farther away.
_LEAN_S = 0.002  # And draws the beat half of the way to it, but no more than this: the rest is how it was played.
_APART_S = 0.03


@dataclass(frozen=True, slots=True)
class Beats:
    """Frames of beats in order, and of all attacks.

    ``heard[i]`` is whether beat i has an attack of its own, and ``struck[i]`` the frame of that, else of the beat.
    ``pulse`` is how much more rises on the beat than on average: 1 is nothing; noise has up to 1.4.
    """

    frames: Samples
    heard: NDArray[np.bool_]
    struck: Samples
    attacks: Frames
    pulse: float

    @property
    def period_frames(self) -> float:
        """The mean distance of two beats: the slope of a straight line through them."""
        return float(np.polyfit(np.arange(len(self.frames)), self.frames, 1)[0])


def find_beats(mono: Samples, sample_rate_hz: int, tempo_bpm: float, beats_per_bar: int = 4) -> Beats:
    """The beats of a sound whose tempo is within ``TEMPO_OFF_MAX`` of ``tempo_bpm``.

    Empty if there is nothing that rises. A beat without an attack is put between its neighbours.
    """
    hop = max(1, round(HOP_S * sample_rate_hz))
    strength = attack_strength(mono, sample_rate_hz, hop)
    none = Beats(np.zeros(0), np.zeros(0, np.bool_), np.zeros(0), np.zeros(0, np.int64), 0.0)
    if strength.max(initial=0.0) <= 0.0:
        return none
    attacks, weights = find_attacks(mono, sample_rate_hz, strength, hop)
    curve = _blurred(strength)
    rises = band_rises(mono, sample_rate_hz, hop, WINDOW_S)
    period = near_period(rises, 60.0 / tempo_bpm * sample_rate_hz / hop, beats_per_bar, TEMPO_OFF_MAX)
    rough = _track(curve, period).astype(np.float64)
    if len(rough) < 2 or len(attacks) == 0:
        return none
    pulse = _pulse(curve, rough)
    near, heard, struck = _snap(rough * hop, attacks, weights, sample_rate_hz)
    frames = settle(near / hop, heard, rises, hop / sample_rate_hz, beats_per_bar) * hop
    lean = _LEAN_S * sample_rate_hz
    frames = np.where(heard, frames + np.clip(0.5 * (struck - frames), -lean, lean), frames)
    return Beats(frames, heard, np.where(heard, struck, frames), attacks, pulse)


def steady_beats(mono: Samples, sample_rate_hz: int, played_bpm: float, first_beat_s: float) -> Beats:
    """The beats of a sound that keeps ``played_bpm`` from ``first_beat_s`` on, whatever is heard of them."""
    hop = max(1, round(HOP_S * sample_rate_hz))
    strength = attack_strength(mono, sample_rate_hz, hop)
    attacks, weights = find_attacks(mono, sample_rate_hz, strength, hop)
    frames = np.arange(first_beat_s * sample_rate_hz, len(mono) - 0.5, 60.0 / played_bpm * sample_rate_hz)
    own, heard = _own_attacks(frames, attacks, weights, sample_rate_hz)
    return Beats(frames, heard, np.where(heard, own, frames), attacks, _pulse(_blurred(strength), frames / hop))


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


def _blurred(strength: Samples) -> Samples:
    """The curve as wide as hits that belong together are apart. As large as it was, for noise."""
    size = round(3 * _BLUR_HOPS)
    bell = np.exp(-0.5 * (np.arange(-size, size + 1) / _BLUR_HOPS) ** 2)
    result: Samples = np.convolve(strength, bell / np.sqrt(bell.sum()), "same")[: len(strength)]
    return result


def _track(curve: Samples, period: float) -> Frames:
    """The chain of hops, each about ``period`` apart, that gathers the most: on the beats, and half as much between.

    The best score of every (hop, tempo) is that of the hop one period before, at a tempo a few steps away. (T, K).
    """
    steps = int(np.log1p(_DRIFT_MAX) / np.log1p(_TEMPO_STEP)) + 1
    offsets = np.arange(-steps, steps + 1)
    exact = period * (1.0 + _TEMPO_STEP) ** offsets
    periods, ahead = np.round(exact).astype(int), int(np.ceil(exact[-1])) + 1
    padded = np.concatenate([np.zeros(ahead), curve])
    between = [(np.round(exact * part).astype(int), gain) for part, gain in _BETWEEN]
    tempos, far = np.arange(len(offsets)), _FAR_COST * offsets**2
    moves = np.arange(-_STEPS_MAX, _STEPS_MAX + 1)
    origins = tempos[:, None] + moves
    cost = np.where((origins < 0) | (origins >= len(tempos)), np.inf, _STEP_COST * np.abs(moves))
    origins = origins.clip(0, len(tempos) - 1)
    best = np.full((len(padded), len(tempos)), -np.inf)
    came_from = np.full(best.shape, -1, np.int16)
    for start in range(ahead, len(padded), int(periods[0])):  # No period is shorter, so these do not need each other.
        hops = np.arange(start, min(start + int(periods[0]), len(padded)))[:, None]
        scores = best[(hops - periods)[:, :, None], origins] - cost
        choice = scores.argmax(axis=2)
        gathered = np.take_along_axis(scores, choice[:, :, None], axis=2)[:, :, 0]
        fresh = gathered <= 0.0
        for behind, gain in between:
            gathered = gathered + gain * padded[hops - behind]
        best[hops[:, 0]] = padded[hops] + np.where(fresh, 0.0, gathered) - far
        came_from[hops[:, 0]] = np.where(fresh, -1, origins[tempos, choice])
    last = len(best) - ahead
    end, tempo = divmod(int(best[last:].argmax()), len(tempos))
    hop = last + end
    chain = [hop - ahead]
    while came_from[hop, tempo] >= 0:
        hop, tempo = hop - int(periods[tempo]), int(came_from[hop, tempo])
        chain.append(hop - ahead)
    return np.array(chain[::-1], np.int64)


def _pulse(curve: Samples, beats: Samples) -> float:
    """How high the curve is at its highest place in the beat, over its mean: both over all beats."""
    count = len(beats) - 1
    if count < 1:
        return 0.0
    places = np.interp(np.arange(count * _BINS) / _BINS, np.arange(count + 1), beats)
    profile = np.interp(places, np.arange(len(curve)), curve).reshape(count, _BINS).mean(axis=0)
    return float(profile.max() / (profile.mean() + 1e-12))


def _snap(
    rough: Samples, attacks: Frames, weights: Samples, sample_rate_hz: int
) -> tuple[Samples, NDArray[np.bool_], Samples]:
    """Beats without the silence at both ends, moved as one by how far their attacks usually lie behind; and those."""
    own, heard = _own_attacks(rough, attacks, weights, sample_rate_hz)
    while len(heard) and not heard[0]:  # The chain goes on into silence at both ends.
        rough, own, heard = rough[1:], own[1:], heard[1:]
    while len(heard) and not heard[-1]:
        rough, own, heard = rough[:-1], own[:-1], heard[:-1]
    rough = rough + np.median((own - rough)[heard]) if heard.any() else rough  # The curve rises ahead of the sound.
    return rough, heard, own


def _own_attacks(
    beats: Samples, attacks: Frames, weights: Samples, sample_rate_hz: int
) -> tuple[Samples, NDArray[np.bool_]]:
    """The attack of each beat, strong and near, and whether it has one."""
    if len(attacks) == 0:
        return beats, np.zeros(len(beats), np.bool_)
    reach = _REACH_S * sample_rate_hz
    offset = attacks[None, :] - beats[:, None]
    score = weights[None, :] * np.exp(-((offset / (0.5 * reach)) ** 2)) * (np.abs(offset) <= reach)
    choice = score.argmax(axis=1)
    return attacks[choice].astype(np.float64), score[np.arange(len(beats)), choice] > 0.25
