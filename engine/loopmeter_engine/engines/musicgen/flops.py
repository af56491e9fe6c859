"""Floating-point operations of a request, before anything has run: in closed form, from the configuration.

Counted as ``FlopCounterMode`` counts, which does not see the recurrent network where the CPU's library has one kernel
for it. Only the text encoder is counted by running it on shapes alone.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from loopmeter_engine.engines.libraries import counted_flops


class MusicGenFlops:
    """Counts for ``model``, a MusicGen of shapes alone."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder = model.config.decoder
        self._sound = model.config.audio_encoder
        self.text = functools.lru_cache(64)(self._count_text)

    def steps(self, first: int, stop: int, text_tokens: int, rows: int) -> int:
        """The decoder's steps ``first .. stop - 1``: each sees one key more. Step 0 makes the keys of the text."""
        config = self._decoder
        width, layers, count = config.hidden_size, config.num_hidden_layers, stop - first
        linear = layers * (6 * width * width + 2 * width * config.ffn_dim)
        linear += config.num_codebooks * width * config.vocab_size
        keys = (stop * (stop + 1) - first * (first + 1)) // 2 + count * text_tokens
        total = count * linear + 2 * layers * width * keys
        if first == 0 < count:
            total += 2 * layers * width * width * text_tokens
        return int(2 * rows * total)

    def features(self, frames: int) -> int:
        """The first convolution and the recurrent network."""
        config = self._sound
        width = config.num_filters * 2 ** len(config.upsampling_ratios)
        per_frame = config.hidden_size * width * config.kernel_size + config.num_lstm_layers * 8 * width**2
        return int(2 * frames * per_frame)

    def sound(self, frames: int) -> int:
        """Features to sound. A raised rate costs its kernel, twice the ratio, at every frame that goes in."""
        config = self._sound
        width, total = config.num_filters * 2 ** len(config.upsampling_ratios), 0
        for ratio in config.upsampling_ratios:
            total += frames * width * (width // 2) * 2 * ratio
            width, frames = width // 2, frames * ratio
            hidden = width // config.compress
            block = width * hidden * (config.residual_kernel_size + 1)
            block += width * width if config.use_conv_shortcut else 0
            total += frames * config.num_residual_layers * block
        return int(2 * (total + frames * width * config.audio_channels * config.last_kernel_size))

    def _count_text(self, tokens: int) -> int:
        model = self._model

        def run() -> None:
            hidden = model.text_encoder(input_ids=torch.zeros(1, tokens, dtype=torch.long)).last_hidden_state
            if hasattr(model, "enc_to_dec_proj"):
                model.enc_to_dec_proj(hidden)

        return counted_flops(run)
