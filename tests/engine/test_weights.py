"""Weights load whole or not at all, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loopmeter_engine.model.autoencoder import Autoencoder, AutoencoderConfig
from loopmeter_engine.model.low_rank import LowRank, settle, tune
from loopmeter_engine.model.transformer import Transformer, TransformerConfig
from loopmeter_engine.weights_io import (
    DECODER_DIFFERENCE,
    WeightsUnusable,
    dequantise,
    fingerprint,
    load_autoencoder,
    load_transformer,
    quantise,
    save_difference,
    save_weights,
    weight_files,
)

SMALL = TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32)


def test_saved_weights_come_back_within_a_128th(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Transformer(SMALL)
    save_weights(model, tmp_path / "t.safetensors")
    loaded = load_transformer(tmp_path / "t.safetensors")
    assert loaded.config == SMALL
    for (name, wanted), (_, found) in zip(model.named_parameters(), loaded.named_parameters(), strict=True):
        room = wanted.detach().abs().max() / 127
        assert (wanted - found).abs().max() <= room + 1e-6, name


def test_an_autoencoder_comes_back_with_its_scale(tmp_path: Path) -> None:
    sizes = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    model = Autoencoder(sizes)
    model.mean.fill_(0.3)
    model.std.fill_(2.5)
    save_weights(model, tmp_path / "a.safetensors")
    loaded = load_autoencoder(tmp_path / "a.safetensors")
    assert loaded.config == model.config
    assert torch.allclose(loaded.mean, model.mean) and torch.allclose(loaded.std, model.std)


def test_the_difference_of_a_decoder_is_added_where_it_lies_beside_the_autoencoder(tmp_path: Path) -> None:
    sizes = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    model = Autoencoder(sizes)
    save_weights(model, tmp_path / "autoencoder.safetensors")
    before = load_autoencoder(tmp_path / "autoencoder.safetensors")
    digest = fingerprint(weight_files(tmp_path)[:1])
    tune(model.decoder, 2)
    with torch.no_grad():
        model.decoder.head.bias += 1
        for part in model.decoder.modules():
            if isinstance(part, LowRank):
                part.up.normal_()
    save_difference(settle(model.decoder), tmp_path / DECODER_DIFFERENCE)
    after = load_autoencoder(tmp_path / "autoencoder.safetensors")
    assert torch.allclose(after.decoder.head.weight, model.decoder.head.weight, atol=0.02)
    assert torch.allclose(after.decoder.head.bias, before.decoder.head.bias + 1, atol=1e-2)
    assert torch.equal(after.encoder.out.weight, before.encoder.out.weight)
    assert fingerprint([weight_files(tmp_path)[0], weight_files(tmp_path)[-1]]) != digest


def test_quantising_twice_changes_nothing() -> None:
    once = dequantise(quantise({"w": torch.randn(300, 200)}))
    assert torch.allclose(dequantise(quantise(once))["w"], once["w"], atol=1e-7)


def test_missing_broken_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnusable, match=r"found no such file"):
        load_transformer(tmp_path / "absent.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x80\x04 not tensors")
    with pytest.raises(WeightsUnusable, match=r"expected a safetensors file"):
        load_transformer(tmp_path / "broken.safetensors")
    save_weights(Transformer(SMALL), tmp_path / "t.safetensors")
    with pytest.raises(WeightsUnusable, match=r"expected Autoencoder weights"):
        load_autoencoder(tmp_path / "t.safetensors")


def test_the_fingerprint_follows_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert fingerprint([tmp_path / "a"]) == fingerprint([tmp_path / "a"])
    assert fingerprint([tmp_path / "a"]) != fingerprint([tmp_path / "b"])
