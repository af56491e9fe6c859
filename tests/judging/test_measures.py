"""Our own measures, on sounds whose faults are known because they were put there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from judging.audio import samples_of
from judging.onsets import BANDS, asked_ms, delay_of, hear, pre_echo_db
from judging.pitch import in_scale_share, likeness, pitch_energy
from judging.spectra import circular_stft, mel_distance_db
from numpy.typing import NDArray

from loopmeter_engine.engine import pcm_bytes
from loopmeter_engine.planner.compose import compose
from loopmeter_engine.score import Score
from loopmeter_engine.training.synth import render_stems

Floats = NDArray[np.float64]
RATE_HZ = 44_100


@pytest.fixture(scope="module")
def score() -> Score:
    return compose("house", tempo_bpm=124, bars=2, tonic=0, layers=("drums",), seed=3)


@pytest.fixture(scope="module")
def drums(score: Score) -> Floats:
    mono: Floats = render_stems(score, 0)["drums"].mean(0).astype(np.float64)
    return mono


def tone(pitches: list[int]) -> Floats:
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    total: Floats = np.sum([0.1 * np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * seconds) for p in pitches], 0)
    return total


def c_major() -> Score:
    return compose("pop", tempo_bpm=120, bars=1, tonic=0, mode="major", layers=("pad",), seed=0)


@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 24)], ids=["standard", "hifi"])
def test_what_the_engine_writes_is_read_back(channels: int, bits: int) -> None:
    sound = torch.rand(channels, 1000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    back = samples_of(pcm_bytes(sound, bits), channels, bits)
    np.testing.assert_allclose(back, sound.numpy(), atol=2.0 ** (1 - bits) * 1.5)


@pytest.mark.parametrize("band", BANDS)
def test_hits_played_later_are_heard_later_by_as_much(band: str, score: Score, drums: Floats) -> None:
    delay = delay_of(drums, score, BANDS[band])
    here = hear(drums, score, BANDS[band], delay)
    late = hear(np.roll(drums, round(0.008 * RATE_HZ)), score, BANDS[band], delay)
    assert np.nanmedian(late.heard_ms - here.heard_ms) == pytest.approx(8.0, abs=0.2)
    assert here.f1 > 0.85


def test_hits_left_out_are_missed(score: Score, drums: Floats) -> None:
    band = BANDS["low"]
    delay, times = delay_of(drums, score, band), asked_ms(score, band.drums)
    cut = drums.copy()
    for start in (times[::2] * RATE_HZ / 1000).astype(int):
        cut[start - 100 : start + 15_000] *= 0.001
    whole, halved = hear(drums, score, band, delay), hear(cut, score, band, delay)
    assert whole.f1 > 0.95
    assert np.isnan(halved.heard_ms).sum() == pytest.approx(len(times) / 2, abs=1)
    assert halved.f1 < 0.75


def test_a_sound_smeared_ahead_of_its_attack_is_pre_echo(score: Score, drums: Floats) -> None:
    early = drums + 0.3 * np.roll(drums, -round(0.005 * RATE_HZ))
    assert np.median(pre_echo_db(early, score) - pre_echo_db(drums, score)) > 6.0


def test_notes_of_the_scale_are_inside_it_and_others_are_not() -> None:
    inside, outside, both = ([60, 64, 67], [61, 66, 68], [60, 61])
    share = [in_scale_share(pitch_energy(tone(pitches)), c_major()) for pitches in (inside, outside, both)]
    assert share[0] > 0.99
    assert share[1] < 0.01
    assert share[2] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("pitch", [33, 45, 60, 76, 88])
def test_a_tone_is_heard_as_its_pitch(pitch: int) -> None:
    energy = pitch_energy(tone([pitch])).sum(0)
    assert energy[pitch - 31] > 0.99 * energy.sum()


def test_likeness_is_one_for_the_same_pitches_and_zero_for_others() -> None:
    chord, other = pitch_energy(tone([60, 64, 67])), pitch_energy(tone([61, 66, 70]))
    assert likeness(chord, chord) == pytest.approx(1.0)
    assert likeness(other, chord) < 0.05


def test_twice_the_amplitude_is_six_decibels_away() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
    assert mel_distance_db(2 * noise, noise) == pytest.approx(6.02, abs=0.05)
    assert mel_distance_db(noise, noise) == 0.0


def test_the_spectrogram_goes_round_the_loop() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 512 * 40)
    turned = circular_stft(np.roll(noise, 512 * 7), 2048, 512)
    np.testing.assert_allclose(turned, np.roll(circular_stft(noise, 2048, 512), 7, axis=0), atol=1e-12)
