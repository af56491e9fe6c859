"""The features say when, what and how loud, wherever a window starts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.engine.scores import SCORE

from loopmeter import LAYERS
from loopmeter_engine.conditioning import (
    FRAME_CHANNELS,
    FRAME_S,
    GLOBAL_CHANNELS,
    PITCH_MIN,
    PITCHES,
    SLOTS,
    Events,
    events_of,
    frame_features,
    global_features,
    hits_of,
    restrict,
)
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.planner.names import GENRES, KIN
from loopmeter_engine.score import DRUMS, TONAL_LAYERS, Hit, Note

_ROLL = len(TONAL_LAYERS) * PITCHES
_FINE_ROWS = (FRAME_CHANNELS - 2 * _ROLL - 4 - 2 * 4) // SLOTS


def _features(start_s: float, frames: int) -> torch.Tensor:
    return frame_features(events_of([SCORE]), torch.tensor([start_s], dtype=torch.float64), frames)[0]


def _onset_s(features: torch.Tensor, row: int, near_s: float) -> float:
    """The centre of mass of an onset row in the few slots around a time."""
    fine = features[:, 2 * _ROLL : 2 * _ROLL + SLOTS * _FINE_ROWS].reshape(-1, _FINE_ROWS)[:, row]
    slot_s = FRAME_S / SLOTS
    place = (torch.arange(len(fine)) + 0.5) * slot_s
    near = (place - near_s).abs() < 2 * slot_s
    return float((fine * place)[near].sum() / fine[near].sum())


@pytest.mark.parametrize("start_s", [0.0, 0.4, 1.23456, -0.7])
def test_onset_times_can_be_read_back_to_the_sample(start_s: float) -> None:
    beat_s = 60 / SCORE.tempo_bpm
    snare = len(TONAL_LAYERS) + DRUMS.index("snare")
    wanted = (1.013 * beat_s - start_s) % SCORE.duration_s
    found = _onset_s(_features(start_s, 70), snare, wanted)
    assert found == pytest.approx(wanted, abs=1 / 44100)


def test_windows_wrap_around_the_loop() -> None:
    once = _features(0.3, 40)
    later = _features(0.3 + 3 * SCORE.duration_s, 40)
    assert torch.allclose(once, later, atol=1e-4)


def test_any_split_of_a_window_gives_the_same_frames() -> None:
    whole = _features(-0.5, 60)
    parts = torch.cat([_features(-0.5, 23), _features(-0.5 + 23 * FRAME_S, 37)])
    assert torch.allclose(whole, parts, atol=1e-4)


def test_coverage_adds_up_to_the_notes_duration() -> None:
    frames = 200
    features = _features(0.0, frames)
    bass_c = TONAL_LAYERS.index("bass") * PITCHES + 36 - PITCH_MIN
    rounds = frames * FRAME_S / SCORE.duration_s
    beat_s = 60 / SCORE.tempo_bpm
    whole_rounds = int(rounds)
    sounding = float(features[: round(whole_rounds * SCORE.duration_s / FRAME_S), bass_c].sum()) * FRAME_S
    assert sounding == pytest.approx(whole_rounds * 2 * beat_s * 0.8, rel=0.02)


def test_restricting_equals_leaving_layers_out_of_the_score() -> None:
    kept = {"drums", "chords"}
    fewer = dataclasses.replace(SCORE, timbres={k: v for k, v in SCORE.timbres.items() if k in kept})
    active = torch.tensor([[float(layer in kept) for layer in LAYERS]], dtype=torch.float64)
    events, style = restrict(events_of([SCORE]), global_features([SCORE]), active)
    start = torch.zeros(1, dtype=torch.float64)
    wanted = frame_features(events_of([fewer]), start, 40)
    assert torch.allclose(frame_features(events, start, 40), wanted, atol=1e-6)
    assert torch.equal(style, global_features([fewer]))


def test_batches_do_not_mix() -> None:
    other = dataclasses.replace(SCORE, tempo_bpm=140.0, notes=SCORE.notes[:1], hits=())
    start = torch.tensor([0.2, 0.9], dtype=torch.float64)
    both = frame_features(events_of([SCORE, other]), start, 30)
    for index, score in enumerate((SCORE, other)):
        alone = frame_features(events_of([score]), start[index : index + 1], 30)[0]
        assert torch.allclose(both[index], alone, atol=1e-5)


def test_shapes_are_as_declared() -> None:
    assert _features(0.0, 5).shape == (5, FRAME_CHANNELS)
    assert global_features([SCORE]).shape == (1, GLOBAL_CHANNELS)
    assert isinstance(events_of([SCORE]), Events)


def test_hits_are_found_in_every_round_and_on_the_seam() -> None:
    loop = round(SCORE.duration_s * SAMPLE_RATE_HZ)
    hits = hits_of(SCORE, apart=662)
    once = hits.within(0, loop)
    assert once[0] == 0
    assert torch.cat([once, once[:1] + loop]).diff().min() >= 662
    twice = hits.within(-loop, loop)
    assert (twice[: len(once)] + loop - once).abs().max() <= 1
    beat = 60 / SCORE.tempo_bpm * SAMPLE_RATE_HZ
    drums = [hit.onset_beats * beat for hit in SCORE.hits if hit.velocity >= 0.2]
    struck = [note.onset_beats * beat for note in SCORE.notes if note.layer in ("chords", "lead")]
    assert all(min(abs(sample - time) for time in drums + struck) <= 0.5 for sample in once.tolist())


def test_a_note_near_a_drum_leaves_the_attack_to_the_drum() -> None:
    near, far = Note("chords", 0.99, 0.5, 60, 0.8), Note("chords", 1.5, 0.5, 60, 0.8)
    bass = Note("bass", 2.5, 0.5, 36, 0.8)
    hits = (Hit("kick", 0.0, 1.0), Hit("snare", 1.0, 0.8))
    score = dataclasses.replace(SCORE, hits=hits, notes=(near, far, bass))
    beat = 60 / SCORE.tempo_bpm * SAMPLE_RATE_HZ
    assert [time / beat for time in hits_of(score, apart=662).times] == pytest.approx([0.0, 1.0, 1.5])


def test_what_is_not_played_has_no_hits() -> None:
    assert hits_of(dataclasses.replace(SCORE, timbres={}), apart=662).times == ()


@pytest.mark.parametrize("genre", KIN)
def test_a_genre_that_came_after_the_weights_takes_the_place_of_its_kin(genre: str) -> None:
    new, known = (global_features([dataclasses.replace(SCORE, genre=name)]) for name in (genre, KIN[genre]))
    assert torch.equal(new, known)
    assert KIN[genre] in GENRES and KIN[genre] not in KIN
