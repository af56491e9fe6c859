"""A Stable Audio 3 checkpoint of random weights, small enough to make in a moment: the real classes, the real files.

The tests use it too. What it plays is noise; what it takes is what the model takes, with smaller numbers.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from benchmarks.tiny_ace_step import byte_tokenizer

LATENT = 8  # The real one has 256.


def save_tiny_stable_audio(folder: Path, *, base: bool = False, seed: int = 0, width: int = 32) -> Path:
    """Write the checkpoint to ``folder``, in diffusers' layout; ``base`` is the model that was not distilled."""
    import diffusers
    import transformers

    torch.manual_seed(seed)
    text = transformers.T5GemmaModuleConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=64,
        layer_types=["full_attention"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The libraries', about weight_norm.
        transformer = diffusers.StableAudio3DiTModel(
            io_channels=LATENT,
            embed_dim=width,
            depth=2,
            num_heads=4,
            cond_token_dim=16,
            global_cond_dim=16,
            local_add_cond_dim=LATENT + 1,
            timestep_features_dim=16,
            num_memory_tokens=4,
        )
        vae = diffusers.AutoencoderSAME(
            encoder_channels=8, encoder_c_mults=[4], encoder_transformer_depths=[2], latent_dim=LATENT, dim_heads=8
        )
        _shake(transformer)
        _shake(vae)
        transformer.save_pretrained(folder / "transformer")
        vae.save_pretrained(folder / "vae")
        diffusers.StableAudio3DurationEmbedder(output_dim=16, fourier_dim=8).save_pretrained(
            folder / "duration_embedder"
        )
        transformers.T5GemmaEncoderModel(
            transformers.T5GemmaConfig(encoder=text, decoder=text, is_encoder_decoder=False)
        ).save_pretrained(folder / "text_encoder")
        diffusers.FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=1, shift=1.0, stochastic_sampling=not base
        ).save_pretrained(folder / "scheduler")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableAudio3Pipeline"}))
    return folder


def _shake(model: torch.nn.Module) -> None:
    """Its branches end in zeros when it is new, so that nothing would reach its output."""
    with torch.no_grad():
        for value in model.parameters():
            if not value.any():
                value.normal_(std=0.1)
