"""A MusicGen checkpoint of random weights, small enough to make in a moment: the real classes, the real files.

The tests use it too. What it plays is noise; what it takes is what the model takes, with smaller numbers.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from benchmarks.tiny_ace_step import byte_tokenizer

CODEBOOKS = 4
CODES = 64  # The real ones have 2048.


def save_tiny_musicgen(folder: Path, *, seed: int = 0, width: int = 32, layers: int = 2) -> Path:
    """Write the checkpoint to ``folder``, as the hub has it. The small real one's ``width`` is 1024, with 24 layers."""
    import transformers

    torch.manual_seed(seed)
    text = transformers.T5Config(
        vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    sound = transformers.EncodecConfig(
        sampling_rate=32_000,
        audio_channels=1,
        normalize=False,
        use_causal_conv=False,
        norm_type="weight_norm",
        upsampling_ratios=[8, 5, 4, 4],
        num_filters=4,
        hidden_size=16,
        codebook_size=CODES,
        codebook_dim=16,
        use_conv_shortcut=False,
        target_bandwidths=[0.05 * 6 * CODEBOOKS],  # kbit/s: 50 frames of four codes of 6 bit.
        chunk_length_s=None,
    )
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=CODES,
        hidden_size=width,
        ffn_dim=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_codebooks=CODEBOOKS,
        pad_token_id=CODES,
        bos_token_id=CODES,
    )
    config = transformers.MusicgenConfig(text_encoder=text, audio_encoder=sound, decoder=decoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The libraries', about weight_norm.
        model = transformers.MusicgenForConditionalGeneration(config)
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
        model.generation_config = transformers.GenerationConfig(
            do_sample=True,
            guidance_scale=3.0,
            max_length=1500,
            pad_token_id=CODES,
            bos_token_id=CODES,
            decoder_start_token_id=CODES,
        )
        model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
