"""Every family: sound where and when the score asks for it, in tune, and led by its macros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from loopmeter import Layer
from loopmeter_engine.score import DRUMS, FAMILIES, FX_KINDS, MACROS, TONAL_LAYERS, FxEvent, Hit, Note, Score, Timbre
from loopmeter_engine.training.synth import SAMPLE_RATE_HZ, render_stems

ALL = [(layer, family) for layer, families in FAMILIES.items() for family in families]
TONAL = [(layer, family) for layer, family in ALL if layer in TONAL_LAYERS]
A_OF: dict[Layer, int] = {"bass": 33, "chords": 57, "lead": 69, "pad": 57}
DRY = {"space": 0.0, "drive": 0.0, "softness": 0.0}


def score_of(layer: Layer, family: str, onset_beats: float = 1.0, held_beats: float = 1.0, **macros: float) -> Score:
    """Two bars at 120 with one event of ``layer``."""
    return Score(
        tempo_bpm=120.0, beats_per_bar=4, bars=2, tonic=9, mode="minor", genre="pop", mood="warm", swing=0.0, chords=(),
        notes=(Note(layer, onset_beats, held_beats, A_OF[layer], 0.8),) if layer in A_OF else (),
        hits=(Hit("snare", onset_beats, 0.8),),
        fx=(FxEvent("impact", onset_beats, 1.0, 0.8),),
        timbres={layer: Timbre(family, **macros)},
    )  # fmt: skip


def stem(score: Score) -> NDArray[np.float32]:
    return render_stems(score, 7)[score.layers[0]]


def power_db(sound: NDArray[np.float32]) -> float:
    return float(10.0 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-20))


def centroid_hz(sound: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(sound.sum(0)))
    return float(np.sum(spectrum * np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE_HZ)) / np.sum(spectrum))


def cents_off(sound: NDArray[np.float32], hz: float) -> float:
    """How far the fundamental lies from ``hz``: the centre of power within 45 cents of it."""
    size = 1 << 19
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size)) ** 2
    bins = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ)
    cents = 1200.0 * np.log2(np.maximum(bins, 1.0) / hz)
    near = np.abs(cents) < 45.0
    strong = near & (power > 0.25 * power[near].max())
    return float(np.sum(cents[strong] * power[strong]) / np.sum(power[strong]))


@pytest.mark.parametrize(("layer", "family"), ALL)
def test_family_sounds_in_the_asked_shape(layer: Layer, family: str) -> None:
    score = score_of(layer, family)
    sound = stem(score)
    assert sound.shape == (2, score.frames(SAMPLE_RATE_HZ)) and sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert 0.01 < np.abs(sound).max() <= 1.0


@pytest.mark.parametrize("family", FAMILIES["drums"])
@pytest.mark.parametrize("drum", DRUMS)
def test_drum_speaks_within_a_millisecond_of_its_hit(family: str, drum: str) -> None:
    score = replace(score_of("drums", family, **DRY), hits=(Hit(drum, 1.0, 0.8),))
    assert_onset(stem(score), round(0.5 * SAMPLE_RATE_HZ))


@pytest.mark.parametrize(("layer", "family"), [pair for pair in ALL if pair[0] not in ("drums", "fx")])
def test_note_starts_on_its_frame(layer: Layer, family: str) -> None:
    assert_onset(stem(score_of(layer, family, onset_beats=1.25, **DRY)), round(0.625 * SAMPLE_RATE_HZ))


def assert_onset(sound: NDArray[np.float32], start: int) -> None:
    before = power_db(sound[:, start - 220 : start])
    after = power_db(sound[:, start : start + 882])
    first = np.abs(sound[:, start : start + 882]).max(0)
    assert after > -75.0
    assert after - before > 30.0
    assert np.argmax(first > 0.0) < 44, "energy begins within a millisecond"


@pytest.mark.parametrize(("layer", "family"), TONAL)
def test_held_a_is_in_tune(layer: Layer, family: str) -> None:
    sound = stem(score_of(layer, family, onset_beats=0.0, held_beats=6.0, width=0.3, length=0.8, **DRY))
    hz = 440.0 * 2.0 ** ((A_OF[layer] - 69) / 12)
    assert abs(cents_off(sound[:, 4410:130_000].sum(0), hz)) < 5.0


@pytest.mark.parametrize(("layer", "family"), [pair for pair in ALL if pair[0] != "fx"])
def test_brightness_raises_the_spectral_centroid(layer: Layer, family: str) -> None:
    centroids = [centroid_hz(stem(score_of(layer, family, brightness=value, **DRY))) for value in (0.0, 0.5, 1.0)]
    assert centroids == sorted(centroids)
    assert centroids[2] > 1.25 * centroids[0]


@pytest.mark.parametrize(("layer", "family"), [pair for pair in ALL if pair[0] != "fx"])
def test_length_lets_the_sound_ring_longer(layer: Layer, family: str) -> None:
    late = slice(round(1.1 * SAMPLE_RATE_HZ), round(1.4 * SAMPLE_RATE_HZ))  # the note ends at 1 s
    if layer == "drums":
        late = slice(round(0.65 * SAMPLE_RATE_HZ), round(0.8 * SAMPLE_RATE_HZ))
    tails = [power_db(stem(score_of(layer, family, length=value, **DRY))[:, late]) for value in (0.0, 0.5, 1.0)]
    assert tails == sorted(tails)
    assert tails[2] > tails[0] + 6.0


@pytest.mark.parametrize(("layer", "family"), [("drums", "tr909"), *TONAL])
def test_softness_delays_the_peak_of_the_attack(layer: Layer, family: str) -> None:
    start = SAMPLE_RATE_HZ // 2
    first = [
        power_db(stem(score_of(layer, family, space=0.0, softness=value))[:, start : start + 200])
        for value in (0.0, 0.5, 1.0)
    ]
    assert first == sorted(first, reverse=True)
    assert first[0] > first[2] + 10.0


@pytest.mark.parametrize("layer", ["drums", "bass", "chords", "lead", "pad", "fx"])
def test_space_raises_the_tail(layer: Layer) -> None:
    late = slice(round(1.2 * SAMPLE_RATE_HZ), round(1.6 * SAMPLE_RATE_HZ))
    score = score_of(layer, FAMILIES[layer][-1], held_beats=0.25, length=0.0)
    score = replace(score, fx=(FxEvent("sweep", 1.0, 0.5, 0.8),))
    tails = []
    for value in (0.0, 0.5, 1.0):
        timbre = replace(score.timbres[layer], space=value)
        tails.append(power_db(stem(replace(score, timbres={layer: timbre}))[:, late]))
    assert tails == sorted(tails)
    assert tails[2] > tails[0] + 10.0


@pytest.mark.parametrize(("layer", "family"), ALL)
def test_width_zero_is_mono_and_width_one_is_not(layer: Layer, family: str) -> None:
    def side(width: float) -> float:
        sound = stem(score_of(layer, family, width=width, space=0.5))
        return float(np.sqrt(np.mean((sound[0] - sound[1]) ** 2) / np.mean(sound**2)))

    assert side(0.0) < 1e-6
    assert side(1.0) > side(0.5) > 1e-4


def test_level_spans_eighteen_decibels() -> None:
    quiet, loud = (stem(score_of("lead", "saw", level=value)) for value in (0.0, 1.0))
    assert power_db(loud) - power_db(quiet) == pytest.approx(18.0, abs=0.01)


@pytest.mark.parametrize("macro", [0.0, 1.0])
@pytest.mark.parametrize(("layer", "family"), TONAL)
def test_any_pitch_and_duration_can_be_asked(layer: Layer, family: str, macro: float) -> None:
    base = score_of(layer, family, **dict.fromkeys(MACROS, macro))
    extremes = (
        (0.0, 0.0, 0, 1.0),
        (1.9, 0.01, 127, 0.01),
        (1.0, 2.0, 103, 0.5),
        (0.5, 9.0, 24, 1.0),
        (-0.01, 1, 60, 1.0),
    )
    notes = tuple(Note(layer, *extreme) for extreme in extremes)
    sound = stem(replace(base, tempo_bpm=240.0, beats_per_bar=2, bars=1, notes=notes))
    assert sound.shape == (2, 22_050)
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 0.981


@pytest.mark.parametrize("kind", FX_KINDS)
def test_effect_fills_its_span(kind: str) -> None:
    score = replace(score_of("fx", "texture", **DRY), fx=(FxEvent(kind, 2.0, 4.0, 0.9),))
    sound = stem(score)
    inside, before = sound[:, SAMPLE_RATE_HZ : 3 * SAMPLE_RATE_HZ], sound[:, : SAMPLE_RATE_HZ // 2]
    assert power_db(inside) > -60.0
    assert power_db(inside) > power_db(before) + 20.0


def test_riser_is_loudest_near_its_end() -> None:
    sound = stem(replace(score_of("fx", "texture", **DRY), fx=(FxEvent("riser", 2.0, 4.0, 0.9),)))
    quarters = [power_db(part) for part in np.array_split(sound[:, SAMPLE_RATE_HZ : 3 * SAMPLE_RATE_HZ], 4, axis=1)]
    assert quarters == sorted(quarters)
    assert power_db(sound[:, 3 * SAMPLE_RATE_HZ + 2000 :]) < quarters[0]


def test_closed_hat_chokes_the_open_hat() -> None:
    base = score_of("drums", "tr909", length=1.0, **DRY)
    ringing = stem(replace(base, hits=(Hit("open_hat", 1.0, 0.9),)))
    choked = stem(replace(base, hits=(Hit("open_hat", 1.0, 0.9), Hit("closed_hat", 1.25, 0.2))))
    late = slice(round(0.85 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    assert power_db(choked[:, late]) < power_db(ringing[:, late]) - 12.0


@pytest.mark.parametrize(
    ("layer", "family"), [("drums", "acoustic"), ("chords", "piano"), ("bass", "acid"), ("lead", "saw")]
)
def test_velocity_is_louder_and_brighter(layer: Layer, family: str) -> None:
    base = score_of(layer, family, **DRY)

    def at(velocity: float) -> NDArray[np.float32]:
        notes = tuple(replace(note, velocity=velocity) for note in base.notes)
        return stem(replace(base, notes=notes, hits=(Hit("snare", 1.0, velocity),)))

    assert power_db(at(1.0)) > power_db(at(0.3)) + 6.0
    assert centroid_hz(at(1.0)) > 1.05 * centroid_hz(at(0.3))
