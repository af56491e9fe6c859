"""What the decoder is told of the players changes what they play, when they play it, and nothing else."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from tests.engine.scores import SCORE
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from loopmeter_engine import flops
from loopmeter_engine.conditioning import (
    AHEAD_FRAMES,
    FRAME_CHANNELS,
    FRAME_S,
    RELEASE_FRAMES,
    RING_S,
    events_of,
    frame_features,
    frame_voices,
    global_features,
    partial_rolls,
    told_of,
)
from loopmeter_engine.model.autoencoder import SUBFRAMES, Autoencoder, AutoencoderConfig
from loopmeter_engine.model.timbres import Timbres, TimbresConfig
from loopmeter_engine.score import Hit, Score
from loopmeter_engine.weights_io import (
    TIMBRES,
    WeightsUnusable,
    fingerprint,
    load_autoencoder,
    save_weights,
    weight_files,
)

SMALL = TimbresConfig(voice=8, hidden=16, rank=4, player=8, decoder_width=48)
FRAMES = 40


@pytest.fixture(scope="module")
def timbres() -> Timbres:
    """With random weights, those that begin at zero too: what is tested here holds for any."""
    torch.manual_seed(0)
    made = Timbres(SMALL)
    for layer in (made.correct, made.widen, made.mix):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return made.eval().requires_grad_(False)


def told(score: Score = SCORE, trust: Tensor | float = 1.0, first: int = 0, frames: int = FRAMES) -> Tensor:
    begin_s = torch.tensor([(first - RELEASE_FRAMES) * FRAME_S], dtype=torch.float64)
    events, count = events_of([score]), RELEASE_FRAMES + frames + AHEAD_FRAMES
    features, voices = frame_features(events, begin_s, count), frame_voices(events, begin_s, count)
    return told_of(features, voices, global_features([score]), trust)


def rolls(told_: Tensor) -> Tensor:
    return partial_rolls(told_[:, :-AHEAD_FRAMES, :FRAME_CHANNELS])


def features_of_decoder(frames: int = FRAMES) -> Tensor:
    return torch.randn(1, SUBFRAMES * frames, 48, generator=torch.Generator().manual_seed(3))


def changed(timbres: Timbres, told_: Tensor, h: Tensor | None = None) -> Tensor:
    """How far spectra of nothing are moved, (1, 4 T, width + SPECTRAL_CHANNELS)."""
    change = timbres(features_of_decoder() if h is None else h, told_, rolls(told_))
    return torch.cat([change.features, change.spectra + change.share * (change.played - change.spectra)], -1)


def test_frames_that_are_not_trusted_stay_as_they_are(timbres: Timbres) -> None:
    trust = torch.ones(1, RELEASE_FRAMES + FRAMES + AHEAD_FRAMES, 1)
    trust[:, RELEASE_FRAMES + 10 : RELEASE_FRAMES + 20] = 0
    whole, found = changed(timbres, told()), changed(timbres, told(trust=trust))
    assert not found[:, 40:80].any() and whole[:, 40:80].any()
    assert torch.equal(found[:, :40], whole[:, :40]) and torch.equal(found[:, 80:], whole[:, 80:])


def test_any_split_is_the_whole(timbres: Timbres) -> None:
    h, cuts = features_of_decoder(), [0, 7, 23, FRAMES]
    pieces = [
        changed(timbres, told(first=a, frames=b - a), h[:, SUBFRAMES * a : SUBFRAMES * b])
        for a, b in itertools.pairwise(cuts)
    ]
    assert torch.allclose(torch.cat(pieces, 1), changed(timbres, told()), atol=1e-5)


def test_a_hit_is_heard_from_a_window_before_it_until_its_ring_has_died(timbres: Timbres) -> None:
    """In a bar of 10.2 s, so that the next round is far away. Frame 15 begins at 697 ms."""
    slow = dataclasses.replace(SCORE, tempo_bpm=23.5, hits=(), fx=())
    beat = 15.5 * FRAME_S * slow.tempo_bpm / 60
    h = features_of_decoder(80)
    pair = (slow, dataclasses.replace(slow, hits=(Hit("kick", beat, 1.0),)))
    without, with_ = (changed(timbres, told(score, frames=80), h) for score in pair)
    moved = ((without - with_).abs().amax((0, 2)) > 1e-5).nonzero()
    assert SUBFRAMES * (15 - AHEAD_FRAMES) <= int(moved.min()) <= SUBFRAMES * 15
    assert SUBFRAMES * 16 <= int(moved.max()) <= SUBFRAMES * 15.5 + RING_S * 44_100 / 512 + 1


@pytest.mark.parametrize("change", [{"family": "tr808"}, {"brightness": 0.9}, {"level": 0.1}])
def test_an_instrument_is_told_by_family_and_macros(timbres: Timbres, change: dict[str, object]) -> None:
    other = dataclasses.replace(SCORE.timbres["drums"], **change)  # type: ignore[arg-type]
    score = dataclasses.replace(SCORE, timbres={**SCORE.timbres, "drums": other})
    before, after = (timbres(features_of_decoder(), told(each), rolls(told(each))) for each in (SCORE, score))
    assert not torch.equal(before.features, after.features) and not torch.equal(before.played, after.played)


@pytest.mark.parametrize("config", [SMALL, TimbresConfig()])
def test_telling_costs_what_is_predicted(config: TimbresConfig) -> None:
    made = Timbres(config).eval().requires_grad_(False)
    h = torch.zeros(1, SUBFRAMES * 13, config.decoder_width)
    said = told(frames=13)
    with FlopCounterMode(display=False) as counter:
        made(h, said, rolls(said))
    assert counter.get_total_flops() == flops.timbres(config, 13)


def test_timbres_are_loaded_where_they_lie_beside_the_autoencoder(tmp_path: Path, timbres: Timbres) -> None:
    sizes = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    path = tmp_path / "autoencoder.safetensors"
    save_weights(Autoencoder(sizes), path)
    save_weights(Autoencoder(sizes), tmp_path / "transformer.safetensors")
    assert load_autoencoder(path).timbres is None
    before = fingerprint(weight_files(tmp_path))
    save_weights(timbres, tmp_path / TIMBRES)
    loaded = load_autoencoder(path).timbres
    assert loaded is not None and loaded.config == SMALL
    h = features_of_decoder()
    assert torch.allclose(
        loaded(h, told(), rolls(told())).features, timbres(h, told(), rolls(told())).features, atol=0.05
    )
    assert fingerprint(weight_files(tmp_path)) != before
    save_weights(Autoencoder(sizes), tmp_path / TIMBRES)
    with pytest.raises(WeightsUnusable, match="expected Timbres weights"):
        load_autoencoder(path)
