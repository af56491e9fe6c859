"""Streamed decoding is whole decoding; spectra survive compression."""

from __future__ import annotations

import pytest
import torch

from loopmeter_engine.model.autoencoder import (
    SPECTRAL_CHANNELS,
    SUBFRAMES,
    Autoencoder,
    AutoencoderConfig,
    compress,
    expand,
    left_right,
    mid_side,
)

SMALL = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
FRAMES = 48


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder(SMALL).eval().requires_grad_(False)
    for value in (model.decoder.partials.weight, model.decoder.gate.weight):  # They start at zero.
        value.normal_(std=0.1)
    return model


@pytest.mark.parametrize("cuts", [[16, 32], [1, 2, 3, 17, 40], [5], list(range(1, FRAMES))])
def test_any_split_decodes_to_the_whole(model: Autoencoder, cuts: list[int]) -> None:
    latents = torch.randn(1, FRAMES, SMALL.latent)
    rolls = torch.rand(1, FRAMES - SMALL.lookahead, SMALL.partials)
    whole = model.decoder.decode(latents, rolls)
    state, parts, begin = model.decoder.init_state(1), [], 0
    for end in [*cuts, FRAMES]:
        due = slice(max(0, begin - SMALL.lookahead), max(0, end - SMALL.lookahead))
        part, state = model.decoder.step(latents[:, begin:end], rolls[:, due], state)
        parts.append(part)
        begin = end
    streamed = torch.cat(parts, 1)
    assert streamed.shape == whole.shape == (1, SUBFRAMES * (FRAMES - SMALL.lookahead), SPECTRAL_CHANNELS)
    assert (streamed - whole).abs().max() < 1e-4


def test_decoder_does_not_look_further_ahead_than_it_says(model: Autoencoder) -> None:
    latents = torch.randn(1, FRAMES, SMALL.latent)
    changed = latents.clone()
    changed[:, 30:] = 0
    before, after = model.decoder.decode(latents), model.decoder.decode(changed)
    safe = SUBFRAMES * (30 - SMALL.lookahead)
    assert torch.allclose(before[:, :safe], after[:, :safe], atol=1e-6)
    assert not torch.allclose(before[:, safe : safe + 4], after[:, safe : safe + 4])


def test_encoding_gives_one_latent_frame_per_2048_samples(model: Autoencoder) -> None:
    latents = model.encode(0.1 * torch.randn(2, 2, 10 * 2048))
    assert latents.shape == (2, 10, SMALL.latent)


def test_compressed_magnitudes_expand_to_themselves() -> None:
    long, short = torch.rand(1, 8, 2 * 1025) * 100, torch.rand(1, 8, 4 * 257) * 20
    back_long, back_short = expand(compress(long, short))
    assert torch.allclose(back_long.flatten(2), long, rtol=1e-3, atol=1e-4)
    assert torch.allclose(back_short, short.reshape(1, 32, 257), rtol=1e-3, atol=1e-4)


def test_mid_and_side_are_left_and_right_again() -> None:
    stereo = torch.randn(1, 2, 100)
    assert torch.allclose(left_right(mid_side(stereo)), stereo, atol=1e-6)


def test_notes_put_partials_on_the_envelope(model: Autoencoder) -> None:
    """Rolls change the long spectra where notes sound, and nothing else."""
    latents = torch.randn(1, FRAMES, SMALL.latent)
    rolls = torch.zeros(1, FRAMES - SMALL.lookahead, SMALL.partials)
    rolls[:, 10:20, 40] = 1
    without, silent = model.decoder.decode(latents), model.decoder.decode(latents, torch.zeros_like(rolls))
    changed = (model.decoder.decode(latents, rolls) - without).abs().amax((0, 2)) > 1e-4
    assert torch.equal(without, silent)
    assert changed.nonzero()[:, 0].tolist() == list(range(10 * SUBFRAMES, 20 * SUBFRAMES))
