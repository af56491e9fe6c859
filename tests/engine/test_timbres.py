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
    FRAME_S,
    RELEASE_FRAMES,
    events_of,
    frame_features,
    global_features,
    told_of,
)
from loopmeter_engine.model.autoencoder import SUBFRAMES, Autoencoder, AutoencoderConfig, Change
from loopmeter_engine.model.timbres import Timbres, TimbresConfig
from loopmeter_engine.score import Hit, Score, Timbre
from loopmeter_engine.weights_io import (
    TIMBRES,
    WeightsUnusable,
    fingerprint,
    load_autoencoder,
    save_weights,
    weight_files,
)

SMALL = TimbresConfig(voice=8, hidden=16, rank=4, decoder_width=48)
FRAMES = 40


@pytest.fixture(scope="module")
def timbres() -> Timbres:
    """With random weights, those that begin at zero too: what is tested here holds for any."""
    torch.manual_seed(0)
    made = Timbres(SMALL)
    for layer in (made.correct, made.widen, made.partials):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return made.eval().requires_grad_(False)


def told(score: Score = SCORE, trust: Tensor | float = 1.0, first: int = 0, frames: int = FRAMES) -> Tensor:
    begin_s = torch.tensor([(first - RELEASE_FRAMES) * FRAME_S], dtype=torch.float64)
    features = frame_features(events_of([score]), begin_s, RELEASE_FRAMES + frames + AHEAD_FRAMES)
    return told_of(features, global_features([score]), trust)


def features_of_decoder(frames: int = FRAMES) -> Tensor:
    return torch.randn(1, SUBFRAMES * frames, 48, generator=torch.Generator().manual_seed(3))


def parts(change: Change) -> list[Tensor]:
    return [change.features, change.spectra, change.partials.repeat_interleave(SUBFRAMES, 1)]


def test_untrained_it_changes_nothing() -> None:
    assert all(not part.any() for part in parts(Timbres(SMALL)(features_of_decoder(), told())))


def test_frames_that_are_not_trusted_stay_as_they_are(timbres: Timbres) -> None:
    trust = torch.ones(1, RELEASE_FRAMES + FRAMES + AHEAD_FRAMES, 1)
    trust[:, RELEASE_FRAMES + 10 : RELEASE_FRAMES + 20] = 0
    whole = parts(timbres(features_of_decoder(), told()))
    for found, all_of in zip(parts(timbres(features_of_decoder(), told(trust=trust))), whole, strict=True):
        assert not found[:, 40:80].any()
        assert torch.equal(found[:, :40], all_of[:, :40]) and torch.equal(found[:, 80:], all_of[:, 80:])
        assert all_of[:, 40:80].any()


def test_any_split_is_the_whole(timbres: Timbres) -> None:
    h = features_of_decoder()
    whole = parts(timbres(h, told()))
    cuts = [0, 7, 23, FRAMES]
    pieces = [
        parts(timbres(h[:, SUBFRAMES * a : SUBFRAMES * b], told(first=a, frames=b - a)))
        for a, b in itertools.pairwise(cuts)
    ]
    for name in range(3):
        assert torch.allclose(torch.cat([piece[name] for piece in pieces], 1), whole[name], atol=1e-5)


def test_a_hit_is_heard_from_a_frame_before_it_to_a_second_after(timbres: Timbres) -> None:
    """Frame 15 begins at 697 ms; the loop is 2.56 s, so its next round is outside of what is looked at."""
    beat = 15.5 * FRAME_S * SCORE.tempo_bpm / 60
    without = dataclasses.replace(SCORE, hits=(), fx=())
    with_ = dataclasses.replace(without, hits=(Hit("kick", beat, 1.0),))
    h = features_of_decoder()
    pairs = zip(parts(timbres(h, told(without))), parts(timbres(h, told(with_))), strict=True)
    moved = torch.stack([(a - b).abs().amax((0, 2)) for a, b in pairs]).amax(0) > 1e-5
    first, last = int(moved.nonzero().min()), int(moved.nonzero().max())
    assert SUBFRAMES * (15 - AHEAD_FRAMES) <= first <= SUBFRAMES * 15
    assert SUBFRAMES * 16 <= last <= SUBFRAMES * (16 + RELEASE_FRAMES)


@pytest.mark.parametrize("change", [{"family": "tr808"}, {"brightness": 0.9}, {"level": 0.1}])
def test_an_instrument_is_told_by_family_and_macros(timbres: Timbres, change: dict[str, object]) -> None:
    other = dataclasses.replace(SCORE.timbres["drums"], **change)  # type: ignore[arg-type]
    score = dataclasses.replace(SCORE, timbres={**SCORE.timbres, "drums": other})
    h = features_of_decoder()
    assert not torch.equal(timbres(h, told()).features, timbres(h, told(score)).features)


def test_notes_get_partials_of_their_own_instrument_at_their_own_pitch(timbres: Timbres) -> None:
    """A bass at 65.4 Hz has partials in bins 3, 6, 9 ...; the seventh of a minute's rest has none."""
    h, silent = features_of_decoder(), dataclasses.replace(SCORE, notes=(), timbres={"bass": Timbre("sub")})
    assert not timbres(h, told(silent)).partials.any()
    bass = dataclasses.replace(SCORE, timbres={"bass": Timbre("sub")})
    acid = dataclasses.replace(SCORE, timbres={"bass": Timbre("acid")})
    first, other = timbres(h, told(bass)).partials, timbres(h, told(acid)).partials
    assert first.any() and not torch.allclose(first, other, atol=1e-3)
    assert not first[..., 512:].any()


@pytest.mark.parametrize("config", [SMALL, TimbresConfig()])
def test_telling_costs_what_is_predicted(config: TimbresConfig) -> None:
    made = Timbres(config).eval().requires_grad_(False)
    h = torch.zeros(1, SUBFRAMES * 13, config.decoder_width)
    with FlopCounterMode(display=False) as counter:
        made(h, told(frames=13))
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
    assert torch.allclose(loaded(h, told()).features, timbres(h, told()).features, atol=0.05)
    assert fingerprint(weight_files(tmp_path)) != before
    save_weights(Autoencoder(sizes), tmp_path / TIMBRES)
    with pytest.raises(WeightsUnusable, match="expected Timbres weights"):
        load_autoencoder(path)
