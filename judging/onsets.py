"""Drum hits: are those that were asked found, when, and what sounds just before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfilt

from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.score import Score

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """A range of the spectrum in Hz, the drums that live there, and how long its energy is averaged."""

    low_hz: float
    high_hz: float
    drums: frozenset[str]
    average_s: float


BANDS: dict[str, Band] = {
    "low": Band(30, 130, frozenset({"kick", "tom_low"}), 0.012),
    "mid": Band(250, 2500, frozenset({"snare", "clap", "rim", "tom_high", "perc"}), 0.004),
    "high": Band(6000, 16_000, frozenset({"closed_hat", "open_hat", "ride", "crash", "shaker"}), 0.003),
}
_RATE_HZ = 1000  # Of the envelopes: times are in ms.
_STEP = SAMPLE_RATE_HZ // _RATE_HZ
_RISE_DB = 5.0
_RANGE_DB = 35.0
_APART_MS = 45.0
_TOLERANCE_MS = 30.0
VELOCITY_MIN = 0.3  # Ghost notes under a louder drum are not demanded, but allowed.
_LEAD_MS = 400.0
PRE_ECHO_MS = 10.0
_PRE_ECHO_FLOOR_DB = -40.0  # Under the attack: what is below is masked by it.


@dataclass(frozen=True)
class Heard:
    """``f1`` against the asked hits, and for each asked hit when it was heard, in ms (NaN: not)."""

    f1: float
    heard_ms: Floats


def asked_ms(score: Score, drums: frozenset[str] | None = None, velocity_min: float = 0.0) -> Floats:
    """The times of hits in ms, sorted; those closer together than 15 ms count once."""
    beat_ms = 60_000 / score.tempo_bpm
    hits = [hit for hit in score.hits if hit.velocity >= velocity_min and (drums is None or hit.drum in drums)]
    times = np.unique([hit.onset_beats * beat_ms for hit in hits])
    return times[np.diff(times, prepend=-1e9) > 15.0]


def onsets_ms(mono: Floats, band: Band) -> Floats:
    """Times of sudden rises of a band's energy, going round the loop. Filters look back, so nothing is early."""
    lead = round(_LEAD_MS * SAMPLE_RATE_HZ / 1000)
    around = np.concatenate([mono[-lead:], mono, mono[:lead]])
    power = sosfilt(butter(2, (band.low_hz, band.high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), around) ** 2
    total = np.concatenate([[0.0], np.cumsum(power)])
    ends = np.arange(_STEP, len(around), SAMPLE_RATE_HZ / _RATE_HZ).astype(int)
    width = round(band.average_s * SAMPLE_RATE_HZ)
    energy = np.maximum(total[ends] - total[np.maximum(ends - width, 0)], 1e-12)
    floor = energy.max() * 10 ** (-_RANGE_DB / 10)
    level = 10 * np.log10(energy + floor)
    lag = round(band.average_s * 1000) + 6
    rise = np.concatenate([np.zeros(lag), level[lag:] - level[:-lag]])
    peaks, _ = find_peaks(rise, height=_RISE_DB, distance=round(_APART_MS))
    times = np.array([_half_way(energy, peak, lag) for peak in peaks]) - _LEAD_MS
    duration = len(mono) / SAMPLE_RATE_HZ * 1000
    return np.sort(times[(times >= -_TOLERANCE_MS) & (times < duration - _TOLERANCE_MS)])


def hear(mono: Floats, score: Score, band: Band, delay_ms: float) -> Heard:
    """Asked hits of the band that are heard, and sounds heard that no hit of any drum explains, as one F1.

    ``delay_ms`` is what ``onsets_ms`` adds in this band; see ``delay_of``.
    """
    found = onsets_ms(mono, band) - delay_ms
    wanted = asked_ms(score, band.drums, VELOCITY_MIN)
    duration = len(mono) / SAMPLE_RATE_HZ * 1000
    distance = found[None, :] - wanted[:, None]
    distance = (distance + duration / 2) % duration - duration / 2
    heard = np.full(len(wanted), np.nan)
    if found.size:
        nearest = np.abs(distance).argmin(1)
        best = distance[np.arange(len(wanted)), nearest]
        heard = np.where(np.abs(best) <= _TOLERANCE_MS, wanted + best, np.nan)
    recall = float(np.mean(~np.isnan(heard)))
    every = asked_ms(score)
    gap = np.abs((found[:, None] - every[None, :] + duration / 2) % duration - duration / 2).min(1, initial=np.inf)
    precision = float(np.mean(gap <= _TOLERANCE_MS)) if found.size else 0.0
    return Heard(2 * precision * recall / max(precision + recall, 1e-9), heard)


def delay_of(render: Floats, score: Score, band: Band) -> float:
    """How much later than asked the band's hits are found in a loop's ground truth, in ms, since filters take time."""
    late = hear(render, score, band, 0.0).heard_ms - asked_ms(score, band.drums, VELOCITY_MIN)
    return float(np.nanmedian(late)) if not np.isnan(late).all() else 0.0


def pre_echo_db(mono: Floats, score: Score) -> Floats:
    """For each hit with 80 ms of its own: energy in the 10 ms before it over that in the 20 ms after it, in dB."""
    times = asked_ms(score)
    duration = len(mono) / SAMPLE_RATE_HZ * 1000
    alone = np.diff(times, prepend=times[-1] - duration) > 80.0 if times.size else np.zeros(0, bool)
    strong = np.isin(times, asked_ms(score, None, VELOCITY_MIN))
    starts = np.round(times[alone & strong] * SAMPLE_RATE_HZ / 1000).astype(int)
    # A first difference, so that the last kick's rumble does not stand for what comes before a hat.
    power = np.diff(mono, prepend=mono[-1]) ** 2
    before = round(PRE_ECHO_MS * SAMPLE_RATE_HZ / 1000)
    early = np.array([power[np.arange(start - before, start) % len(mono)].mean() for start in starts])
    attack = np.array([power[np.arange(start, start + 2 * before) % len(mono)].mean() for start in starts])
    if not starts.size:
        return np.zeros(0)
    ratio: Floats = 10 * np.log10(early / np.maximum(attack, 1e-15) + 10 ** (_PRE_ECHO_FLOOR_DB / 10))
    return ratio


def _half_way(energy: Floats, peak: int, lag: int) -> float:
    """Where, in ms, the energy around a peak of its rise is half-way from its last low to its next high."""
    begin = max(0, peak - lag - 4)
    top = begin + int(np.argmax(energy[begin : peak + lag]))
    bottom = begin + int(np.argmin(energy[begin : top + 1]))
    middle = 0.5 * (energy[bottom] + energy[top])
    above = bottom + int(np.argmax(energy[bottom : top + 1] >= middle))
    if above == bottom:
        return float(above)
    return above - float((energy[above] - middle) / (energy[above] - energy[above - 1]))
