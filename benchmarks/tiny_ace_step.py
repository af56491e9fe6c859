"""An ACE-Step 1.5 checkpoint of random weights, small enough to make in a moment: the real classes, the real files.

The tests use it too. What it plays is noise; what it takes is what the model takes, with smaller numbers.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

LATENT = 8  # The real one has 64.


def save_tiny(folder: Path, *, turbo: bool = False, seed: int = 0, width: int = 32) -> Path:
    """Write the checkpoint to ``folder``, in diffusers' layout. The real one's ``width`` is 2048."""
    import diffusers
    import transformers
    from diffusers.pipelines.ace_step import modeling_ace_step as parts

    torch.manual_seed(seed)
    shared: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": 3 * width // 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": width // 4,
        "sliding_window": 16,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The libraries', about weight_norm.
        diffusers.AceStepTransformer1DModel(
            **shared,
            num_hidden_layers=2,
            in_channels=3 * LATENT,
            audio_acoustic_hidden_dim=LATENT,
            is_turbo=turbo,
            model_version="turbo" if turbo else "base",
        ).save_pretrained(folder / "transformer")
        encoder = parts.AceStepConditionEncoder(
            **shared,
            text_hidden_dim=16,
            timbre_hidden_dim=LATENT,
            num_lyric_encoder_hidden_layers=1,
            num_timbre_encoder_hidden_layers=1,
        )
        encoder.silence_latent.normal_(std=0.1)
        encoder.save_pretrained(folder / "condition_encoder")
        diffusers.AutoencoderOobleck(
            encoder_hidden_size=2 * LATENT,
            downsampling_ratios=[2, 4, 4, 6, 10],
            channel_multiples=[1, 1, 1, 1, 1],
            decoder_channels=width // 8,
            decoder_input_channels=LATENT,
            sampling_rate=48_000,
        ).save_pretrained(folder / "vae")
        codec = {**shared, "audio_acoustic_hidden_dim": LATENT, "num_attention_pooler_hidden_layers": 1}
        parts.AceStepAudioTokenizer(**codec, fsq_dim=width, fsq_input_levels=[8, 8, 8, 5, 5, 5]).save_pretrained(
            folder / "audio_tokenizer"
        )
        parts.AceStepAudioTokenDetokenizer(**codec).save_pretrained(folder / "audio_token_detokenizer")
        transformers.Qwen3Model(
            transformers.Qwen3Config(
                vocab_size=300,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=8,
                max_position_embeddings=4096,
            )
        ).save_pretrained(folder / "text_encoder")
    byte_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AceStepPipeline"}))
    return folder


def byte_tokenizer() -> Any:
    """Bytes as tokens."""
    import tokenizers
    import transformers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    vocabulary["<|endoftext|>"] = len(vocabulary)
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
