"""Whole loops: stems that wrap, add up and repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from numpy.typing import NDArray

from loopmeter import Layer
from loopmeter_engine.score import FAMILIES, FxEvent, Hit, Note, Score, Timbre
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.training.synth.calibrate import gains
from loopmeter_engine.training.synth.levels import FAMILY_GAIN

CHORD = (57, 60, 64, 69)
KITS_AND_BANDS = list(range(6))


def full_score(choice: int, **macros: float) -> Score:
    """Two bars of a whole band; ``choice`` picks the families. Notes sound across the end."""
    families: dict[Layer, str] = {layer: names[choice % len(names)] for layer, names in FAMILIES.items()}
    notes = [Note("chords", onset, 1.4, pitch, 0.7) for onset in (0.5, 3.0, 4.5, 7.25) for pitch in CHORD]
    notes += [Note("pad", onset, 4.0, pitch, 0.7) for onset in (2.0, 6.0) for pitch in CHORD]
    notes += [Note("bass", step + 0.25, 0.8, 33, 0.9) for step in range(8)]
    notes += [Note("lead", step * 0.75 + 0.5, 0.7, 69 + step % 5, 0.8) for step in range(10)]
    hits = [Hit("kick", beat + 0.0, 0.95) for beat in range(8)] + [
        Hit("snare", beat + 1.0, 0.9) for beat in range(0, 8, 2)
    ]
    hits += [Hit("closed_hat", step * 0.25 + 0.125, 0.6) for step in range(32)] + [Hit("crash", 0.0, 0.8)]
    fx = (FxEvent("vinyl", 0.0, 8.0, 0.5), FxEvent("riser", 4.0, 4.0, 0.6))
    timbres = {layer: Timbre(family, **macros) for layer, family in families.items()}
    return Score(
        123.0, 4, 2, 9, "minor", "house", "dark", 0.0, (), tuple(notes), tuple(hits), fx, timbres,
    )  # fmt: skip


def seam_ratio(loop: NDArray[np.float32]) -> float:
    """Largest residual of an order-32 predictor within 32 frames of the wrap, over its 99.9th percentile inside."""
    signal = loop.astype(np.float64)
    spectrum = np.abs(np.fft.rfft(signal, 2 * len(signal))) ** 2
    lags = np.fft.irfft(spectrum)[:33]
    lags[0] *= 1.0 + 1e-9
    predictor = scipy.linalg.solve_toeplitz(lags[:32], lags[1:33])
    twice = np.concatenate((signal, signal))
    residual = np.abs(scipy.signal.lfilter(np.concatenate(([1.0], -predictor)), [1.0], twice))
    inside = residual[64 : len(signal) - 64]
    wrap = residual[len(signal) - 32 : len(signal) + 32]
    return float(wrap.max() / np.percentile(inside, 99.9))


@pytest.mark.parametrize("choice", KITS_AND_BANDS)
def test_tonal_stems_join_without_a_click(choice: int) -> None:
    stems = render_stems(full_score(choice, space=0.5), 3)
    for layer in ("bass", "chords", "lead", "pad"):
        assert seam_ratio(stems[layer][0]) <= 1.0, layer


@pytest.mark.parametrize("choice", KITS_AND_BANDS)
def test_drums_ringing_over_the_end_join_without_a_click(choice: int) -> None:
    score = full_score(choice, length=0.9, space=0.4)
    hits = (Hit("crash", 7.5, 0.9), Hit("open_hat", 7.75, 0.8), Hit("kick", 7.5, 0.9), Hit("snare", 3.0, 0.9))
    assert seam_ratio(render_stems(replace(score, hits=hits), 3)["drums"][0]) <= 1.0


@pytest.mark.parametrize("choice", KITS_AND_BANDS)
def test_mix_is_the_sum_of_stems_below_full_scale(choice: int) -> None:
    stems = render_stems(full_score(choice, level=1.0, drive=0.7), 5)
    mix = np.sum(list(stems.values()), axis=0)
    assert tuple(stems) == ("drums", "bass", "chords", "lead", "pad", "fx")
    assert 0.3 < np.abs(mix).max() <= 0.981


def test_hit_at_the_end_rings_at_the_start() -> None:
    score = replace(full_score(0), hits=(Hit("crash", 7.9, 1.0),))
    drums = render_stems(score, 1)["drums"]
    assert np.mean(drums[:, :4410] ** 2) > 0.05 * np.mean(drums[:, -2000:] ** 2)


def test_turning_the_loop_turns_the_sound() -> None:
    """A score moved by one bar around the loop is the same sound, moved: nothing knows where the loop begins."""
    score = replace(full_score(1, drive=0.5, space=0.6), genre="pop", tempo_bpm=120.0)
    moved = replace(score, notes=tuple(replace(n, onset_beats=(n.onset_beats + 4.0) % 8.0) for n in score.notes))
    first, second = render_stems(score, 1), render_stems(moved, 1)
    for layer in ("bass", "chords", "pad"):
        turned = np.roll(first[layer], first[layer].shape[1] // 2, axis=1)
        assert np.abs(turned - second[layer]).max() < 2e-3, layer


def test_same_arguments_give_the_same_bytes() -> None:
    first, second = (render_stems(full_score(3), 11) for _ in range(2))
    assert all(first[layer].tobytes() == second[layer].tobytes() for layer in first)


def test_seed_moves_noise_alone() -> None:
    first, second = (render_stems(full_score(0), seed) for seed in (1, 2))
    assert first["bass"].tobytes() == second["bass"].tobytes()
    assert first["drums"].tobytes() != second["drums"].tobytes()


def test_only_layers_with_a_timbre_are_rendered() -> None:
    score = full_score(2)
    alone = replace(score, timbres={"bass": score.timbres["bass"]})
    whole, part = render_stems(score, 4), render_stems(alone, 4)
    assert list(part) == ["bass"]
    assert part["bass"].tobytes() == whole["bass"].tobytes()


def test_pad_ducks_on_the_beat_in_house_alone() -> None:
    house = replace(full_score(0), tempo_bpm=120.0)
    pumped, plain = (render_stems(replace(house, genre=genre), 0)["pad"] for genre in ("house", "pop"))
    beats = np.arange(8)[:, None] * 22_050
    on_beat, off_beat = beats + np.arange(500, 3000), beats + np.arange(16_000, 21_000)

    def drop_db(where: NDArray[np.intp]) -> float:
        return float(10 * np.log10(np.mean(plain[:, where] ** 2) / np.mean(pumped[:, where] ** 2)))

    assert drop_db(on_beat) > 3.0
    assert abs(drop_db(off_beat)) < 0.5


def test_layer_without_events_is_silence() -> None:
    stems = render_stems(replace(full_score(0), notes=(), hits=(), fx=()), 0)
    assert all(not stem.any() for stem in stems.values())


def test_family_gains_are_as_calibrated() -> None:
    """The table in ``levels`` was made from the sounds as they are now (noise may differ by a little)."""
    measured = gains()
    assert measured.keys() == FAMILY_GAIN.keys()
    assert all(FAMILY_GAIN[key] == pytest.approx(gain, rel=0.03) for key, gain in measured.items())
