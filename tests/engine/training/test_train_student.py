"""Distilling: the teacher stays what it is, the student comes nearer to it, and nothing else is trained."""

from __future__ import annotations

import pytest
import torch

from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS, RELEASE_FRAMES
from loopmeter_engine.model.autoencoder import (
    FRAME_SAMPLES,
    SPECTRAL_CHANNELS,
    SUBFRAMES,
    Autoencoder,
    AutoencoderConfig,
)
from loopmeter_engine.model.low_rank import LowRank, tune, without_differences
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer, TransformerConfig
from loopmeter_engine.training.corpus import Batch
from loopmeter_engine.training.train_autoencoder import MARGIN, loss_weights
from loopmeter_engine.training.train_student import TUNED, Conditions, in_one_step, spectra_error, taught

SIZE, FRAMES = 3, 2 * BLOCK_FRAMES


@pytest.fixture
def network() -> Transformer:
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32))
    for layer in network._layers():
        torch.nn.init.normal_(layer.modulation.weight, std=0.1)
    torch.nn.init.normal_(network.out.weight, std=0.1)
    tune(network.requires_grad_(False).layers, 4, TUNED)
    return network


@pytest.fixture
def autoencoder() -> Autoencoder:
    torch.manual_seed(1)
    config = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    return Autoencoder(config).requires_grad_(False)


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(2)
    samples = torch.randn(SIZE, 2, (FRAMES + 2 * MARGIN) * FRAME_SAMPLES) * 0.1
    features = (torch.rand(SIZE, FRAMES + 2 * RELEASE_FRAMES, FRAME_CHANNELS) < 0.05).float()
    style, text = torch.rand(SIZE, GLOBAL_CHANNELS), torch.randn(SIZE, 384)
    return Batch(samples, features, style, text, samples.roll(1, 0), torch.tensor([True, False, True]))


def test_the_teacher_stays_while_the_student_comes_to_it(
    network: Transformer, autoencoder: Autoencoder, batch: Batch
) -> None:
    data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN].detach()
    told, noise = Conditions(network, autoencoder, batch, data), torch.randn_like(data)
    target = taught(network, told, data, noise)
    optimiser = torch.optim.Adam([value for value in network.parameters() if value.requires_grad], 3e-3)
    errors = []
    for _ in range(25):
        error = (in_one_step(network, told, data, noise) - target).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]
    assert torch.equal(taught(network, told, data, noise), target)


def test_what_is_heard_is_learned_through_the_decoder_by_the_changes_alone(
    network: Transformer, autoencoder: Autoencoder, batch: Batch
) -> None:
    data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN].detach()
    told = Conditions(network, autoencoder, batch, data)
    assert batch.features is not None
    wanted, weights = torch.rand(SIZE, SUBFRAMES * FRAMES, SPECTRAL_CHANNELS), loss_weights(data.device)
    made = in_one_step(network, told, data, torch.randn_like(data))
    spectra_error(autoencoder, made, batch.features, wanted, weights).backward()
    with_gradient = [value for value in network.parameters() if value.grad is not None]
    assert len(with_gradient) == 2 * sum(isinstance(part, LowRank) for part in network.modules()) > 0
    assert all(value.grad is None for value in autoencoder.parameters())


def test_the_teacher_is_guided_by_style_and_words(network: Transformer, autoencoder: Autoencoder, batch: Batch) -> None:
    data = autoencoder.encode(batch.pcm)[:, MARGIN:-MARGIN].detach()
    told, noise = Conditions(network, autoencoder, batch, data), torch.randn_like(data)
    with without_differences(network), torch.no_grad():
        score, known = told.both(network)
    assert len(score) == len(known) == 2 * SIZE
    assert not torch.allclose(known[:SIZE], known[SIZE:], atol=1e-3)
    assert taught(network, told, data, noise).shape == data.shape
