"""Beats by what repeats: bars that sound alike tell where beats lie that have no attack of their own, or a false one.

Attacks alone mislead wherever hits lie between beats, or one is played early in every bar. So ``settle`` weighs three
things in one least-squares fit: each beat's attack, less what is usual at its place in the bar; the lag at which the
sound around it is most like that of later bars; and that a tempo does not jump. A hit off the beat that comes in every
bar is then how the music goes, and drift is what the bars have not in common. ``near_period`` asks the same of the
whole sound: at which length of a beat it is most like itself. numpy and scipy alone; times are in hops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Rises = NDArray[np.float64]  # (T, bands), never negative

_BANDS = 12
_LATER_BARS = 4  # So many are compared with each.
_ROUNDS = 3  # Of looking for lags around the beats that the last one found.
_REWEIGHTED = 5  # Times; what contradicts the rest then counts for little.
_FINE = 64  # Places in a beat at which sounds are compared.
_REACH_S = 0.08  # How far a beat may be from where its bar has it.
_BLUR_S = 0.006
# What is usual, in seconds: of an attack, of a lag between bars, and of the change from one beat's length to the next
# (0.01 all); of a place in the bar to be early or late. A lag whose bars are alike counts for 12 attacks.
_ERROR_S = 0.010
_HABIT_S = 0.015
_LAG_WEIGHT = 12.0
_UNHEARD_WEIGHT = 0.2
_LAG_TRUSTED_S, _ATTACK_TRUSTED_S = 0.006, 0.010  # What is farther from the fit than this counts less and less.


def band_rises(mono: Samples, sample_rate_hz: int, hop: int, window_s: float) -> Rises:
    """How much each of up to 12 bands rises around frame ``i * hop``; (frames // hop + 1, bands)."""
    size = 2 ** round(np.log2(window_s * sample_rate_hz))
    padded = np.concatenate([np.zeros(size), mono, np.zeros(size)])
    starts = np.arange(len(mono) // hop + 1) * hop + size // 2
    magnitude = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[starts] * np.hanning(size)))
    edges = np.unique(np.round(np.geomspace(1, magnitude.shape[1], _BANDS + 1)).astype(int))[:-1]
    power = np.add.reduceat(magnitude, edges, axis=1) / np.diff(np.append(edges, magnitude.shape[1]))
    logarithm = np.log1p(10.0 * power / (power.mean(axis=0) + 1e-9))
    lag = max(1, round(size / 4 / hop))
    rise = np.maximum(logarithm[lag:] - logarithm[:-lag], 0.0)
    result: Rises = np.pad(rise, ((lag - lag // 2, lag // 2), (0, 0)))[: len(starts)]
    return result


def near_period(rises: Rises, asked_hops: float, beats_per_bar: int, off_max: float) -> float:
    """The length of a beat near ``asked_hops`` at which the sound is most like itself one, two and a bar's beats later.

    One beat alone is misled by hits between beats, a bar alone by the bars of three or five beats nearby.
    """
    centred = rises - rises.mean(axis=0)
    count = len(centred)
    power = np.abs(np.fft.rfft(centred, 2 ** (2 * count - 1).bit_length(), axis=0)) ** 2
    likeness = np.fft.irfft(power.sum(axis=1))[:count] * (count / (count - np.arange(count)))
    reach = round(np.log1p(off_max) / np.log1p(0.0025))
    blur = np.exp(-0.5 * (np.arange(-8, 9) / 6.0) ** 2)  # The tempo drifts, so that every peak is 1 % wide and more.
    periods = asked_hops * 1.0025 ** np.arange(-reach - 8, reach + 9)
    beats = [number for number in {1, 2, beats_per_bar} if periods[-1] * number < 0.75 * count]
    if not beats:
        return asked_hops
    found = np.sum([np.interp(periods * number, np.arange(count), likeness) for number in beats], axis=0)
    return float(periods[8 + int(np.convolve(found, blur, "valid").argmax())])


def settle(beats: Samples, heard: NDArray[np.bool_], rises: Rises, hop_s: float, beats_per_bar: int) -> Samples:
    """The beats, in hops, where attacks, bars and a steady hand agree best. ``heard`` says which have an attack."""
    settled = beats
    for _ in range(_ROUNDS if len(beats) > 2 else 0):
        lags = _lags(settled, rises, hop_s, beats_per_bar)
        settled = _fit(beats, heard, lags, hop_s, beats_per_bar)
    return settled


@dataclass(frozen=True, slots=True)
class _Lags:
    """``later[n]`` lies ``hops[n]`` behind ``earlier[n]``, by their sound; ``weight`` is how sure that is."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    hops: Samples
    weight: Samples


def _lags(beats: Samples, rises: Rises, hop_s: float, beats_per_bar: int) -> _Lags:
    """For every beat and the same one of later bars: how far apart they are where a beat to each side is most alike."""
    count = len(beats)
    around = np.concatenate([[2 * beats[0] - beats[1]], beats, [2 * beats[-1] - beats[-2]]])
    lengths = (around[2:] - around[:-2]) / 2
    length_s = float(np.median(np.diff(beats))) * hop_s
    sound = _by_beat(around, rises, _BLUR_S / length_s * _FINE)
    reach = min(_FINE // 2, int(np.ceil(_REACH_S / length_s * _FINE)))
    found: list[tuple[int, int, float, float]] = []
    for earlier in range(count):
        for bars in range(1, _LATER_BARS + 1):
            later = earlier + bars * beats_per_bar
            if later >= count:
                break
            likeness = _likeness(sound, (earlier + 1) * _FINE, (later + 1) * _FINE, reach)
            place = int(likeness.argmax()) if len(likeness) else 0
            if not 0 < place < len(likeness) - 1:  # At an edge is no peak.
                continue
            left, top, right = likeness[place - 1 : place + 2]
            peak = place - reach + 0.5 * (left - right) / (left - 2 * top + right - 1e-12)
            sure = max(0.0, top - float(np.median(likeness))) * max(0.0, top) ** 2 / np.sqrt(bars)
            found.append((earlier, later, beats[later] - beats[earlier] + peak / _FINE * lengths[later], sure))
    table = np.array(found, np.float64).reshape(-1, 4)
    return _Lags(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3])


def _by_beat(around: Samples, rises: Rises, blur: float) -> Rises:
    """The rises at ``_FINE`` places in every beat, blurred by so many places."""
    places = np.interp(np.arange((len(around) - 1) * _FINE + 1) / _FINE, np.arange(len(around)), around)
    time = np.arange(len(rises))
    bell = np.exp(-0.5 * (np.arange(-6, 7) / blur) ** 2)
    bands = [np.interp(places, time, band, left=0.0, right=0.0) for band in rises.T]
    return np.stack([np.convolve(band, bell / bell.sum(), "same") for band in bands], axis=1)


def _likeness(sound: Rises, earlier: int, later: int, reach: int) -> Samples:
    """The correlation of a beat to each side of both places, -reach .. reach places apart. Empty at the ends."""
    low = max(-_FINE, -earlier, reach - later)
    high = min(_FINE, len(sound) - 1 - earlier, len(sound) - 1 - later - reach)
    if high - low < _FINE:
        return np.zeros(0)
    here, there = sound[earlier + low : earlier + high], sound[later + low - reach : later + high + reach]
    shifted = np.lib.stride_tricks.sliding_window_view(there, high - low, axis=0)  # (2 * reach + 1, bands, W)
    energy = np.concatenate([[0.0], np.cumsum((there**2).sum(axis=1))])
    power = (here**2).sum() * (energy[high - low :] - energy[: low - high])
    result: Samples = np.einsum("dbw,wb->d", shifted, here) / (np.sqrt(np.maximum(power, 0.0)) + 1e-9)
    return result


def _fit(beats: Samples, heard: NDArray[np.bool_], lags: _Lags, hop_s: float, beats_per_bar: int) -> Samples:
    """Least squares for each beat and for how late each place in the bar is usually played."""
    count = len(beats)
    numbers, turns = np.arange(count), np.arange(1, count - 1)
    places = count + numbers % beats_per_bar
    size = count + beats_per_bar

    def rows(*columns: tuple[NDArray[np.int64], float]) -> scipy.sparse.csr_matrix:
        across = [index for index, _ in columns]
        values = [np.full(len(index), value) for index, value in columns]
        down = [np.arange(len(index)) for index in across]
        shape = (len(across[0]), size)
        return scipy.sparse.csr_matrix((np.concatenate(values), (np.concatenate(down), np.concatenate(across))), shape)

    attack = rows((numbers, 1.0), (places, 1.0))
    lag = rows((lags.later, 1.0), (lags.earlier, -1.0))
    turn = rows((turns - 1, 1.0), (turns, -2.0), (turns + 1, 1.0))
    habit = rows((np.arange(count, size), _ERROR_S / _HABIT_S))
    matrix = scipy.sparse.vstack([attack, lag, turn, habit]).tocsr()
    wanted = np.concatenate([beats, lags.hops, np.zeros(len(turns) + beats_per_bar)])
    base = np.concatenate(
        [np.where(heard, 1.0, _UNHEARD_WEIGHT), _LAG_WEIGHT * lags.weight, np.ones(len(turns) + beats_per_bar)]
    )
    trusted = np.full(len(wanted), np.inf)
    trusted[: count + len(lags.hops)] = np.repeat(
        [_ATTACK_TRUSTED_S / hop_s, _LAG_TRUSTED_S / hop_s], [count, len(lags.hops)]
    )
    weight = base
    for _ in range(_REWEIGHTED):
        weighted = matrix.multiply(weight[:, None]).tocsr()
        fitted = scipy.sparse.linalg.spsolve((matrix.T @ weighted).tocsc(), weighted.T @ wanted)
        weight = base / np.sqrt(1.0 + ((matrix @ fitted - wanted) / trusted) ** 2)
    return np.asarray(fitted[:count], np.float64)
