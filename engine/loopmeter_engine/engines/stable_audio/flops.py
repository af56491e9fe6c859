"""Floating-point operations of a request, exactly, before anything has run: the same networks, run on shapes alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

from loopmeter_engine.engines.libraries import counted_flops
from loopmeter_engine.engines.stable_audio.asking import Asked

TEXT_TOKENS = 256  # Every prompt is padded to as many.
_COUNTS_MAX = 256


class StableAudioFlops:
    """Counts for ``parts``, the checkpoint's networks of shapes alone."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts
        self._step = functools.lru_cache(_COUNTS_MAX)(self._count_step)
        self._encoding = functools.lru_cache(_COUNTS_MAX)(self._count_encoding)
        self.decoding = functools.lru_cache(_COUNTS_MAX)(self._count_decoding)

    def denoising(self, asked: Asked) -> int:
        """Everything up to the latents: text, duration, source, all steps."""
        total = asked.rows * self._text + self._duration
        total += asked.steps * self._step(asked.latents, asked.rows, asked.repainted is not None)
        if asked.source is not None:
            # A repaint's is encoded twice: for the model, and to be kept outside of what is painted.
            total += self._encoding(asked.source.shape[1]) * (1 if asked.repainted is None else 2)
        return total

    @functools.cached_property
    def _text(self) -> int:
        network = self._parts["text_encoder"]
        # Masks of nothing: it would ask whether one hides anything, and what is hidden is multiplied all the same.
        masks = dict.fromkeys(("full_attention", "sliding_attention"))
        return counted_flops(lambda: network(torch.zeros(1, TEXT_TOKENS, dtype=torch.long), attention_mask=masks))

    @functools.cached_property
    def _duration(self) -> int:
        return counted_flops(lambda: self._parts["duration_embedder"](torch.zeros(1)))

    def _count_step(self, latents: int, rows: int, painted: bool) -> int:
        network = self._parts["transformer"]
        config = network.config
        return counted_flops(
            lambda: network(
                torch.zeros(rows, config.io_channels, latents),
                torch.zeros(rows),
                encoder_hidden_states=torch.zeros(rows, TEXT_TOKENS + 1, config.cond_token_dim),
                global_hidden_states=torch.zeros(rows, config.global_cond_dim),
                encoder_attention_mask=torch.ones(rows, TEXT_TOKENS + 1, dtype=torch.long),
                local_add_cond=torch.zeros(rows, config.local_add_cond_dim, latents) if painted else None,
            )
        )

    def _count_decoding(self, latents: int) -> int:
        vae = self._parts["vae"]
        return counted_flops(lambda: vae.decode(torch.zeros(1, vae.config.latent_dim, latents)))

    def _count_encoding(self, frames: int) -> int:
        vae = self._parts["vae"]
        return counted_flops(lambda: vae.encode(torch.zeros(1, vae.config.audio_channels, frames)))
