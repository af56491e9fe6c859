"""Notes and hits as spectra: partials where pitches are, powers that add, voices that are those of the score."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.scores import SCORE
from torch import Tensor

from loopmeter import Layer
from loopmeter_engine.conditioning import (
    CLOCK_CHANNELS,
    FRAME_S,
    HIT_FIELDS,
    NOTE_FIELDS,
    NOTE_VOICES,
    PITCH_MIN,
    PITCHES,
    SLOTS,
    events_of,
    frame_features,
    frame_voices,
    global_features,
)
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    LONG_HOP,
    SAMPLE_RATE_HZ,
    SUNG_BINS,
    stft,
)
from loopmeter_engine.model.players import Played, Players, band_shapes
from loopmeter_engine.score import DRUMS, TONAL_LAYERS, Hit, Note, Score, Timbre
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.weights_io import load_autoencoder

FRAMES = 30


def voices(score: Score, first_s: float = 0.0, frames: int = FRAMES) -> Tensor:
    return frame_voices(events_of([score]), torch.tensor([first_s], dtype=torch.float64), frames)


def notes_of(found: Tensor) -> Tensor:
    """(S, NOTE_VOICES, NOTE_FIELDS)"""
    return (
        found[0].reshape(-1, found.shape[-1] // SLOTS)[:, : NOTE_VOICES * NOTE_FIELDS].unflatten(1, (-1, NOTE_FIELDS))
    )


def hits_of(found: Tensor) -> Tensor:
    """(S, HIT_VOICES, HIT_FIELDS)"""
    each = found[0].reshape(-1, found.shape[-1] // SLOTS)
    return each[:, NOTE_VOICES * NOTE_FIELDS :].unflatten(1, (-1, HIT_FIELDS))


@pytest.fixture(scope="module")
def players() -> Players:
    torch.manual_seed(0)
    return Players(16).eval().requires_grad_(False)


def played(players: Players, score: Score) -> Played:
    style = global_features([score])[:, None].expand(-1, FRAMES, -1)
    features = frame_features(events_of([score]), torch.zeros(1, dtype=torch.float64), FRAMES)
    return players(voices(score), style, features[..., -CLOCK_CHANNELS:])


def only(*notes: Note, hits: tuple[Hit, ...] = ()) -> Score:
    timbres = {note.layer: SCORE.timbres.get(note.layer, Timbre("saw")) for note in notes}
    return dataclasses.replace(SCORE, notes=notes, hits=hits, fx=(), timbres=timbres | {"drums": Timbre("tr909")})


def test_voices_are_the_notes_of_the_score_and_when_they_sound() -> None:
    """In a bar of 10 s: what rings from the round before would be a voice, too."""
    score = dataclasses.replace(only(Note("chords", 0.25, 0.125, 60, 0.7)), tempo_bpm=24.0)
    found = notes_of(voices(score, frames=50))
    time = (torch.arange(200) + 0.5) * FRAME_S / SLOTS
    (sounds,) = torch.where(found[:, 0, 3] > 0)
    assert found[:, 1:, 3].sum() == 0, "one note is one voice"
    row = TONAL_LAYERS.index("chords") * PITCHES + 60 - PITCH_MIN
    assert (found[sounds, 0, 0] == row).all() and (found[sounds, 0, 3] == torch.tensor(0.7)).all()
    assert torch.allclose(found[sounds, 0, 1], time[sounds] - 0.625, atol=1e-4)
    assert torch.allclose(found[sounds, 0, 2], time[sounds] - 0.9375, atol=1e-4)
    assert abs(float(time[sounds[0]]) - 0.625) < 0.03, "a window hears what begins in it, and no earlier"


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 3), st.integers(1, 20))
def test_a_window_of_voices_is_part_of_any_longer_one(first_s: float, frames: int) -> None:
    begin = round(first_s / FRAME_S)
    whole = voices(SCORE, 0.0, begin + frames)
    assert torch.allclose(voices(SCORE, begin * FRAME_S, frames), whole[:, begin:], atol=1e-4)


def test_more_notes_than_voices_leave_those_that_are_held() -> None:
    rings = [Note("chords", 0.0, 0.1, 40 + n, 0.5) for n in range(NOTE_VOICES)]
    held = [Note("pad", 0.5, 3.0, 60 + n, 0.5) for n in range(4)]
    found = notes_of(voices(only(*rings, *held), frames=20))[60]
    layers = (found[:, 0] / PITCHES).floor()
    assert (layers == TONAL_LAYERS.index("pad")).sum() == 4 and (found[:, 3] > 0).all()


def test_of_each_drum_the_last_two_hits_are_heard() -> None:
    hits = tuple(Hit("snare", beat, 0.2 + beat / 4) for beat in (0.0, 0.25, 0.5))
    found, beat_s = hits_of(voices(only(hits=hits), frames=20)), 60 / SCORE.tempo_bpm
    snare = found[60, 2 * DRUMS.index("snare") : 2 * DRUMS.index("snare") + 2]
    time = 60.5 * FRAME_S / SLOTS
    assert torch.allclose(snare[:, 0], torch.tensor([time - 0.5 * beat_s, time - 0.25 * beat_s]), atol=1e-4)
    assert torch.allclose(snare[:, 1], torch.tensor([0.325, 0.2625]))
    assert int((found[60, :, 1] > 0).sum()) == 2


def test_a_rest_is_silent(players: Players) -> None:
    found = played(players, only())
    assert not found.long.any() and not found.short.any()


@pytest.mark.parametrize(
    ("layer", "family", "pitch"),
    [
        ("bass", "sub", 33),
        ("bass", "pluck", 40),
        ("chords", "piano", 60),
        ("lead", "flute", 74),
        ("pad", "supersaw", 57),
    ],
)
def test_what_is_sung_has_the_phases_of_the_synthesiser(layer: Layer, family: str, pitch: int) -> None:
    """Shipped players against the sound of a note, wherever a phase is told. A swept filter turns phases a little, and
    slowly: that is not told, so instruments with one are not asked."""
    note = Note(layer, 0.5, 2.0, pitch, 0.8)
    score = dataclasses.replace(SCORE, notes=(note,), hits=(), fx=(), timbres={layer: Timbre(family, space=0.0)})
    timbres = load_autoencoder().timbres
    assert timbres is not None
    sung = played(timbres.players, score).sung
    assert sung is not None
    sound = torch.from_numpy(render_stems(score, 0)[layer].mean(0))[None]
    truth = stft(sound, LONG_FFT, LONG_HOP, torch.hann_window(LONG_FFT))[0, : SLOTS * FRAMES]
    truth = truth[:, :SUNG_BINS] * (1 - 2 * (torch.arange(SUNG_BINS) % 2))  # From a window's start to its middle.
    told = sung[0, :, 0]
    onset = int(note.onset_beats * 60 / score.tempo_bpm / FRAME_S * SLOTS)
    clear = (told != 0) & (truth.abs() > 0.05 * truth.abs().max())
    clear[: onset + 4] = False
    assert clear.sum() > 50
    off = (truth[clear] * told[clear].conj()).angle()
    assert float(off.abs().median()) < 0.6


def test_powers_add_up(players: Players) -> None:
    notes = (Note("chords", 0.0, 2.0, 60, 0.7), Note("lead", 0.3, 1.0, 76, 0.4))
    hits = (Hit("kick", 0.0, 1.0), Hit("snare", 1.0, 0.6))
    whole = dataclasses.replace(only(*notes, hits=hits))
    parts = [dataclasses.replace(whole, notes=(note,), hits=()) for note in notes]
    parts += [dataclasses.replace(whole, notes=(), hits=(hit,)) for hit in hits]
    alone = [played(players, part) for part in parts]
    together = played(players, whole)
    assert torch.allclose(sum(part.long for part in alone), together.long, rtol=1e-3)
    assert torch.allclose(sum(part.short for part in alone), together.short, rtol=1e-3)


@pytest.mark.parametrize("pitch", [33, 45, 69, 81])
def test_partials_lie_where_a_sinus_of_that_pitch_is_seen(pitch: int) -> None:
    """Against the transform of a real sinus, in the bins that it reaches."""
    players = Players(16).eval().requires_grad_(False)
    torch.nn.init.zeros_(players.notes.last.weight)
    torch.nn.init.constant_(players.notes.last.bias, -9)  # Silent but for the fundamental.
    players.notes.last.bias[0] = 0.5
    found = played(players, only(Note("lead", 0.0, 4.0, pitch, 1.0))).long[0, 40, 0].sqrt()
    hz = 440 * 2 ** ((pitch - 69) / 12)
    sinus = torch.cos(2 * torch.pi * hz * (torch.arange(LONG_FFT, dtype=torch.float64) - LONG_FFT / 2) / SAMPLE_RATE_HZ)
    seen = torch.fft.rfft(sinus * torch.hann_window(LONG_FFT, dtype=torch.float64)).abs()
    near = (torch.arange(LONG_BINS) - hz * LONG_FFT / SAMPLE_RATE_HZ).abs() < 1.5
    ratio = (found.double() / seen)[near]
    assert ratio.max() / ratio.min() < 1.1


@pytest.mark.parametrize(("bands", "bins", "exact"), [(112, 1025, 48), (28, 257, 6), (24, 1025, 4), (12, 257, 4)])
def test_bands_share_every_bin_between_them(bands: int, bins: int, exact: int) -> None:
    shapes = band_shapes(bands, bins, exact)
    assert torch.allclose(shapes.sum(0), torch.ones(bins)) and (shapes.sum(1) > 0.4).all() and (shapes >= 0).all()
    assert torch.equal(shapes[: exact - 1, : exact - 1], torch.eye(exact - 1))
