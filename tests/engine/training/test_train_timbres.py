"""Learning what instruments sound like: nothing else moves, told comes nearer than untold, and it resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS, RELEASE_FRAMES, VOICE_CHANNELS
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, Autoencoder, AutoencoderConfig
from loopmeter_engine.model.timbres import Timbres, TimbresConfig
from loopmeter_engine.model.transformer import Transformer, TransformerConfig
from loopmeter_engine.training.corpus import Batch, Corpus, render_worker
from loopmeter_engine.training.run import Budget, load_checkpoint, save_checkpoint
from loopmeter_engine.training.train_autoencoder import MARGIN
from loopmeter_engine.training.train_timbres import FRAMES, Training, load_start, short_batch
from loopmeter_engine.weights_io import save_weights

CPU = torch.device("cpu")


def training_of() -> Training:
    torch.manual_seed(0)
    config = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    autoencoder = Autoencoder(config).requires_grad_(False)
    student = Transformer(TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32)).requires_grad_(False)
    return Training(
        autoencoder, student, Timbres(TimbresConfig(voice=8, hidden=32, rank=4, player=8, decoder_width=48)), 3e-3
    )


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    render_worker(folder, 1000, 1, float("inf"), 1)
    return folder


@pytest.fixture(scope="module")
def batch() -> Batch:
    torch.manual_seed(2)
    samples = torch.randn(2, 2, (FRAMES + 2 * MARGIN) * FRAME_SAMPLES) * 0.1
    features = (torch.rand(2, FRAMES + 2 * RELEASE_FRAMES, FRAME_CHANNELS) < 0.05).float()
    voices = torch.rand(2, features.shape[1], VOICE_CHANNELS)
    return Batch(samples, features, torch.rand(2, GLOBAL_CHANNELS), torch.randn(2, 384), voices=voices)


def test_told_comes_nearer_than_untold_and_nothing_else_is_trained(batch: Batch) -> None:
    training = training_of()
    kept = {name: value.clone() for name, value in training.autoencoder.state_dict().items()}
    found = [training.step(batch, 3e-3) for _ in range(12)]
    for kind in ("heard", "made"):
        ratios = [float(losses[kind] / losses[f"{kind}_before"]) for losses in found if kind in losses]
        assert ratios[-1] < 0.9, f"{kind}: {ratios}"
    assert all(torch.equal(value, kept[name]) for name, value in training.autoencoder.state_dict().items())


def test_the_players_learn_alone_first(corpus_folder: Path) -> None:
    """From rendered loops: what they say comes nearer to the sound, and no other network moves."""
    training, corpus = training_of(), Corpus(corpus_folder, CPU, seed=1)
    corpus.refresh()
    before = {name: value.clone() for name, value in training.timbres.state_dict().items()}
    batch = short_batch(corpus, 1)
    found = [float(training.step_alone(batch, 2e-2)["alone"]) for _ in range(25)]
    assert found[-1] < 0.8 * found[0]
    moved = {name for name, value in training.timbres.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("players.") for name in moved)


def test_stopped_and_resumed_equals_unbroken(batch: Batch, tmp_path: Path) -> None:
    training, rng = training_of(), np.random.default_rng(1)
    for _ in range(2):
        training.step(batch, 1e-3)
    save_checkpoint(tmp_path / "resume.pt", training.parts, 2, Budget(1.0), rng)
    training.step(batch, 1e-3)
    resumed = training_of()
    torch.manual_seed(99)
    assert load_checkpoint(tmp_path / "resume.pt", resumed.parts, rng, CPU)[0] == 2
    resumed.step(batch, 1e-3)
    for name, value in training.timbres.state_dict().items():
        assert torch.equal(value, resumed.timbres.state_dict()[name]), name
    resumed.export(tmp_path / "timbres.pt")
    training.timbres.load_state_dict(torch.load(tmp_path / "timbres.pt", weights_only=True)["model"])


def test_a_start_from_before_sways_were_told_plays_as_it_did(tmp_path: Path) -> None:
    """Exported weights whose notes were told less: what is new weighs nothing, all else is theirs."""
    torch.manual_seed(1)
    old, fresh, path = Timbres(), Timbres(), tmp_path / "timbres.safetensors"
    layer = old.players.notes.inp
    layer.weight = torch.nn.Parameter(layer.weight[:, :-8].clone())
    save_weights(old, path)
    load_start(fresh, path)
    weight = fresh.players.notes.inp.weight
    assert not weight[:, -8:].any()
    assert torch.allclose(weight[:, :-8], layer.weight, atol=2e-3)
    assert torch.allclose(fresh.correct.bias, old.correct.bias)
