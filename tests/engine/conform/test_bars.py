"""Bars that sound alike tell where the beats lie, where no hit does."""

from __future__ import annotations

import numpy as np
import pytest

from loopmeter_engine.conform.bars import band_rises, near_period, settle
from loopmeter_engine.conform.beats import WINDOW_S, find_beats

from .drifting import RATE_HZ

HOP = 132
# Sixteenths of a bar and their loudness: only two hits lie on a beat. By attacks alone, beats were 13 ms off.
_HITS = ((2, 0.7), (3, 0.6), (4, 0.7), (7, 0.6), (10, 0.6), (12, 0.6), (13, 0.6))


def syncopated(beats_s: np.ndarray, seed: int = 0) -> np.ndarray:
    """(frames,): every bar the same hits of different sound, which lie mostly between the beats."""
    dice = np.random.default_rng(seed)
    wave = np.zeros(round((beats_s[-1] + 0.8) * RATE_HZ))
    time_s = np.arange(2_500) / RATE_HZ
    for number, (sixteenth, loud) in enumerate(_HITS):
        pitch_hz = 120.0 * 1.6**number
        hit = loud * np.sin(2 * np.pi * pitch_hz * time_s) * np.exp(-time_s / 0.012)
        for bar in range((len(beats_s) - 1) // 4):
            at_s = np.interp(4 * bar + sixteenth / 4, np.arange(len(beats_s)), beats_s)
            start = round(at_s * RATE_HZ)
            wave[start : start + len(hit)] += hit
    return wave + dice.normal(0, 1e-4, len(wave))


def drifting_beats_s(period_s: float, count: int, drift: float) -> np.ndarray:
    place = np.linspace(0, 1, count)
    periods_s = period_s * (1 + drift * np.sin(2 * np.pi * 1.3 * place))
    return 0.1 + np.concatenate([[0.0], np.cumsum(periods_s)])


def test_beats_between_hits_are_where_the_bars_have_them() -> None:
    beats_s = drifting_beats_s(0.55, 32, 0.03)
    found = find_beats(syncopated(beats_s), RATE_HZ, 60 / 0.55)
    first = int(np.abs(beats_s - found.frames[0] / RATE_HZ).argmin())
    count = min(len(found.frames), len(beats_s) - first)
    off_s = found.frames[:count] / RATE_HZ - beats_s[first : first + count]
    assert np.abs(off_s - np.median(off_s)).max() < 0.006


def test_beats_that_are_pushed_aside_come_back_to_those_of_other_bars() -> None:
    """Six beats in the middle taken 40 ms too early, as a roll ahead of the beat does it."""
    beats_s = drifting_beats_s(0.5, 32, 0.01)
    hop_s = HOP / RATE_HZ
    rises = band_rises(syncopated(beats_s), RATE_HZ, HOP, WINDOW_S)
    pushed = beats_s.copy()
    pushed[12:18] -= 0.040
    settled_s = settle(pushed / hop_s, np.ones(len(pushed), bool), rises, hop_s, 4) * hop_s
    off_s = settled_s - beats_s
    assert np.abs(off_s - np.median(off_s)).max() < 0.010


@pytest.mark.parametrize("off", [-0.1, -0.04, 0.0, 0.07], ids=lambda off: f"{off:+.0%}")
def test_the_length_of_a_beat_is_the_sounds_not_the_asked_one(off: float) -> None:
    beats_s = drifting_beats_s(0.5, 24, 0.02)
    rises = band_rises(syncopated(beats_s), RATE_HZ, HOP, WINDOW_S)
    mean_hops = (beats_s[-1] - beats_s[0]) / (len(beats_s) - 1) * RATE_HZ / HOP
    assert near_period(rises, mean_hops / (1 + off), 4, 0.12) == pytest.approx(mean_hops, rel=0.01)


def test_a_sound_shorter_than_two_beats_keeps_the_asked_length() -> None:
    assert near_period(np.random.default_rng(0).random((200, 3)), 170.0, 4, 0.12) == 170.0


def test_two_beats_have_nothing_to_be_settled_by() -> None:
    beats = np.array([10.0, 180.0])
    assert np.array_equal(settle(beats, np.ones(2, bool), np.zeros((400, 2)), 0.003, 4), beats)


def test_sound_that_never_repeats_leaves_beats_to_their_attacks() -> None:
    beats = np.arange(12) * 170.0 + 20.0
    rises = np.random.default_rng(1).random((2_200, 12))
    settled = settle(beats, np.ones(12, bool), rises, 0.003, 4)
    assert np.abs(settled - beats).max() * 0.003 < 0.010
