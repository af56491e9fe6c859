"""The second stage of the autoencoder's training: what critics and bands say reaches the decoder, and resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from loopmeter_engine.conditioning import RELEASE_FRAMES, drum_onsets, events_of, frame_features
from loopmeter_engine.model import low_rank
from loopmeter_engine.model.autoencoder import LONG_BINS, SPECTRAL_CHANNELS, Autoencoder, AutoencoderConfig
from loopmeter_engine.score import Hit, Score, Timbre
from loopmeter_engine.training.corpus import Batch, Corpus, render_worker
from loopmeter_engine.training.critic import (
    FOOLED_SHARE,
    MATCHED_SHARE,
    RAMP_STEPS,
    Adversary,
    BandDistance,
    Critics,
    views,
)
from loopmeter_engine.training.run import Budget, load_checkpoint, save_checkpoint
from loopmeter_engine.training.train_autoencoder import MARGIN, Training, low_hits

SMALL = AutoencoderConfig(
    encoder_width=32, encoder_blocks=1, encoder_width_low=32, encoder_blocks_low=1,
    decoder_width_low=32, decoder_width=32,
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    render_worker(folder, 1000, 1, float("inf"), 1)
    return folder


def training_of(*, adversarial: bool = True, rank: int = 0) -> Training:
    torch.manual_seed(3)
    return Training(Autoencoder(SMALL), 1e-3, decoder_only=True, adversarial=adversarial, unscored=0.3, rank=rank)


def batches(folder: Path) -> Corpus:
    corpus = Corpus(folder, CPU, seed=1)
    corpus.refresh()
    return corpus


def next_batch(corpus: Corpus) -> Batch:
    return corpus.batch(2, 16, margin=MARGIN, score_margin=RELEASE_FRAMES)


def spectra(seed: int, level: float = 1.0) -> Tensor:
    return level * torch.rand(2, 16, SPECTRAL_CHANNELS, generator=torch.Generator().manual_seed(seed))


def test_critics_learn_to_tell_real_from_made() -> None:
    torch.manual_seed(0)
    adversary = Adversary(CPU)
    losses = [
        float(adversary.gradient(spectra(2 * step, 0.3), spectra(2 * step + 1), step)[1]["critic"])
        for step in range(12)
    ]
    assert losses[0] == pytest.approx(2.0, abs=0.1), "critics that know nothing cannot tell"
    assert losses[-1] < 0.8 * losses[0]


def test_every_bin_of_the_spectra_is_seen_by_a_critic() -> None:
    torch.manual_seed(0)
    made = spectra(1).requires_grad_()
    torch.stack([maps[-1].abs().sum() for maps in Critics()(made)]).sum().backward()
    assert made.grad is not None and (made.grad.abs().sum((0, 1)) > 0).all()


def test_views_hold_the_spectra_and_nothing_else() -> None:
    low, long, short = views(spectra(5))
    assert torch.equal(low, long[..., : low.shape[-1]])
    joined = torch.cat([long.transpose(1, 2).flatten(2), short.reshape(2, 16, -1)], -1)
    assert torch.equal(joined, spectra(5))


def test_critics_say_nothing_at_first_and_then_as_much_as_their_share() -> None:
    torch.manual_seed(0)
    adversary = Adversary(CPU)
    first, _ = adversary.gradient(spectra(1), spectra(2), 0)
    later, _ = adversary.gradient(spectra(1), spectra(2), RAMP_STEPS)
    assert first.abs().max() == 0
    assert MATCHED_SHARE - FOOLED_SHARE - 0.01 < later.norm() < MATCHED_SHARE + FOOLED_SHARE + 0.01


def test_bands_ask_for_energy_where_bins_are_right_on_average() -> None:
    """Noise, and the mean of its logarithms: no bin is off on average, yet the mean has less energy."""
    noise = torch.rand(1, 16, SPECTRAL_CHANNELS, generator=torch.Generator().manual_seed(0))
    mean = noise.mean(dim=(0, 1), keepdim=True).expand_as(noise).clone().requires_grad_()
    distance = BandDistance()
    assert distance(noise, noise) == 0
    distance(mean, noise).backward()
    assert mean.grad is not None
    assert mean.grad[..., : 2 * LONG_BINS].sum() < 0, "louder would be nearer"


def test_a_step_moves_the_decoder_and_leaves_the_encoder(corpus_folder: Path) -> None:
    training, corpus = training_of(), batches(corpus_folder)
    before = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    losses = training.step(next_batch(corpus), RAMP_STEPS, 1e-3)
    moved = {name for name, value in training.model.named_parameters() if not torch.equal(value, before[name])}
    assert {"loss", "critic", "bands", "fooled", "matched"} <= losses.keys()
    assert all(torch.isfinite(value) for value in losses.values())
    assert {"decoder.head.weight", "decoder.inp.weight", "decoder.blocks.0.up.weight"} <= moved
    assert not any(name.startswith("encoder.") for name in moved)


def test_bands_may_speak_without_critics(corpus_folder: Path) -> None:
    torch.manual_seed(3)
    training, corpus = Training(Autoencoder(SMALL), 1e-3, bands=True), batches(corpus_folder)
    losses = [training.step(next_batch(corpus), step, 1e-3) for step in range(2)]
    assert set(losses[0]) == {"loss", "absolute", "tonal", "bands"}
    assert set(training.parts) == {"model", "optimiser", "average"}


def test_stopped_and_resumed_equals_unbroken(corpus_folder: Path, tmp_path: Path) -> None:
    training, corpus = training_of(), batches(corpus_folder)
    for step in range(2):
        training.step(next_batch(corpus), RAMP_STEPS + step, 1e-3)
    save_checkpoint(tmp_path / "resume.pt", training.parts, 2, Budget(1.0), corpus.rng)
    unbroken = training.step(next_batch(corpus), RAMP_STEPS + 2, 1e-3)

    resumed, again = training_of(), batches(corpus_folder)
    torch.manual_seed(99)
    assert load_checkpoint(tmp_path / "resume.pt", resumed.parts, again.rng, CPU)[0] == 2
    losses = resumed.step(next_batch(again), RAMP_STEPS + 2, 1e-3)
    assert all(torch.equal(losses[name], unbroken[name]) for name in unbroken)
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert resumed.adversary is not None and training.adversary is not None
    for name, value in training.adversary.critics.state_dict().items():
        assert torch.equal(value, resumed.adversary.critics.state_dict()[name]), name
    assert all(torch.equal(value, resumed.average.values[name]) for name, value in training.average.values.items())


def test_low_rank_differences_are_all_that_changes_in_matrices(corpus_folder: Path) -> None:
    training, corpus = training_of(rank=2), batches(corpus_folder)
    before = {name: value.clone() for name, value in Autoencoder(SMALL).state_dict().items()}
    before |= {
        name.replace("parametrizations.weight.original", "weight"): value.clone()
        for name, value in training.model.state_dict().items()
    }
    for step in range(2):
        training.step(next_batch(corpus), RAMP_STEPS + step, 1e-3)
    differences = low_rank.settle(training.model.decoder)
    after = training.model.state_dict()
    assert after.keys() == Autoencoder(SMALL).state_dict().keys()
    moved = after["decoder.head.weight"] - before["decoder.head.weight"]
    assert moved.abs().max() > 0
    assert torch.allclose(moved, differences["head.up"] @ differences["head.down"], atol=1e-6)
    assert torch.linalg.matrix_rank(moved, atol=1e-5) <= 2

    old = Autoencoder(SMALL)
    old.load_state_dict({name: before[name] for name in old.state_dict()})
    low_rank.add(old.decoder, differences)
    assert all(torch.allclose(value, after[name], atol=1e-6) for name, value in old.state_dict().items())


def test_frames_around_low_hits_are_found_where_the_score_has_them() -> None:
    score = Score(
        120.0, 4, 2, 9, "minor", "pop", "warm", 0.0, (), (), (Hit("kick", 2.0, 0.9), Hit("closed_hat", 5.0, 0.9)), (),
        {"drums": Timbre("tr909")},
    )  # fmt: skip
    features = frame_features(events_of([score]), torch.zeros(1, dtype=torch.float64), 86)
    times = (np.arange(4 * 86) + 0.5) * 512 / 44_100
    marked = low_hits(features)[0, :, 0].numpy() > 0
    assert marked[np.abs(times - 1.0) < 0.03].all()
    assert not marked[np.abs(times - 1.0) > 0.07].any(), "a hat has no low bins"
    assert drum_onsets(features, ("closed_hat",)).sum() == pytest.approx(0.9, abs=1e-4)
