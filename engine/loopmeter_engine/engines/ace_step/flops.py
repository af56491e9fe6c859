"""Floating-point operations of a request, exactly, before anything has run: the same networks, run on shapes alone.

A closed form would have to be written again for each size and version of the model. Instead the modules are built on
torch's meta device, which computes shapes and no values, and ``FlopCounterMode`` counts them there as it would count
the work itself. Each shape is counted once and remembered.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES, Asked
from loopmeter_engine.engines.ace_step.checkpoint import network_on_meta, text_encoder_on_meta
from loopmeter_engine.engines.libraries import counted_flops

REFERENCE_LATENTS = 750  # Three stretches of 10 s, or as much silence.
_COUNTS_MAX = 256


class AceStepFlops:
    """Counts for the checkpoint in ``folder``. ``missing`` parts are not built."""

    def __init__(self, folder: Path, missing: frozenset[str]) -> None:
        self._folder = folder
        self._parts: dict[str, Any] = {"text_encoder": text_encoder_on_meta(folder)}
        for part in ("transformer", "condition_encoder", "vae"):
            self._parts[part] = network_on_meta(folder, part)
        for part in {"audio_tokenizer", "audio_token_detokenizer"} - missing:
            self._parts[part] = network_on_meta(folder, part)
        # It sorts by values, which shapes do not have; it multiplies nothing.
        self._parts["condition_encoder"].timbre_encoder.unpack_timbre_embeddings = _first_token
        self._step = functools.lru_cache(_COUNTS_MAX)(self._count_step)
        self._text = functools.lru_cache(_COUNTS_MAX)(self._count_text)
        self._conditions = functools.lru_cache(_COUNTS_MAX)(self._count_conditions)
        self._cover = functools.lru_cache(_COUNTS_MAX)(self._count_cover)
        self.decoding = functools.lru_cache(_COUNTS_MAX)(self._count_decoding)
        self._encoding = functools.lru_cache(_COUNTS_MAX)(self._count_encoding)

    def denoising(self, asked: Asked, text_tokens: int, lyric_tokens: int, other_text_tokens: int = 0) -> int:
        """Everything up to the latents: text, conditions, source and reference, all steps.

        ``other_text_tokens`` is the length of the prompt that a weaker cover is mixed with.
        """
        conditions = text_tokens + lyric_tokens + 1
        total = self._text(text_tokens) + self._conditions(text_tokens, lyric_tokens)
        total += asked.steps * self._step(asked.latents, conditions, asked.rows)
        if asked.reference is not None:
            total += self._encoding(REFERENCE_LATENTS * LATENT_FRAMES)
        if asked.source is not None:
            total += self._encoding(asked.source.shape[1])
            total += self._cover(asked.latents) if asked.words["task_type"] == "cover" else 0
            total += self._encoding(asked.source.shape[1]) if asked.repainted is not None else 0
        if asked.words.get("audio_cover_strength", 1.0) < 1.0:
            other = other_text_tokens + lyric_tokens + 1
            total += self._text(other_text_tokens) + self._conditions(other_text_tokens, lyric_tokens)
            total += asked.steps * self._step(asked.latents, other, 1)
        return total

    def _count_step(self, latents: int, conditions: int, rows: int) -> int:
        network = self._parts["transformer"]
        width = network.config.audio_acoustic_hidden_dim
        encoder_width = network.condition_embedder.in_features
        return counted_flops(
            lambda: network(
                hidden_states=torch.zeros(rows, latents, width),
                timestep=torch.zeros(rows),
                timestep_r=torch.zeros(rows),
                encoder_hidden_states=torch.zeros(rows, conditions, encoder_width),
                context_latents=torch.zeros(rows, latents, 2 * width),
            )
        )

    def _count_text(self, tokens: int) -> int:
        network = self._parts["text_encoder"]
        return counted_flops(lambda: network(input_ids=torch.zeros(1, tokens, dtype=torch.long)))

    def _count_conditions(self, text_tokens: int, lyric_tokens: int) -> int:
        network = self._parts["condition_encoder"]
        config = network.config

        def run() -> None:
            network.text_projector(torch.zeros(1, text_tokens, config.text_hidden_dim))
            network.lyric_encoder(
                inputs_embeds=torch.zeros(1, lyric_tokens, config.text_hidden_dim),
                attention_mask=torch.ones(1, lyric_tokens, dtype=torch.bool),
            )
            network.timbre_encoder(
                torch.zeros(1, REFERENCE_LATENTS, config.timbre_hidden_dim), torch.zeros(1, dtype=torch.long)
            )

        return counted_flops(run)

    def _count_cover(self, latents: int) -> int:
        tokenizer, detokenizer = self._parts["audio_tokenizer"], self._parts["audio_token_detokenizer"]
        width = tokenizer.config.audio_acoustic_hidden_dim
        return counted_flops(lambda: detokenizer(tokenizer.tokenize(torch.zeros(1, latents, width))[0]))

    def _count_decoding(self, latents: int) -> int:
        vae = self._parts["vae"]
        return counted_flops(lambda: vae.decode(torch.zeros(1, vae.config.decoder_input_channels, latents)))

    def _count_encoding(self, frames: int) -> int:
        vae = self._parts["vae"]
        return counted_flops(lambda: vae.encoder(torch.zeros(1, vae.config.audio_channels, frames)))


def _first_token(pooled: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    return pooled, order
