"""Audio codes, one step after another, by our own loop over the model's decoder.

Simple and Controllable Music Generation (Copet et al. 2023), section 2.2: codebook ``k`` is delayed by ``k`` steps, so
step ``s`` gives the code of frame ``s - k`` in codebook ``k``. The library's ``generate`` cannot be left in the middle
and taken up elsewhere, so the loop is ours; a test holds its codes equal to the library's.

The codes made so far are the whole state: whoever has them feeds them again, one by one, through the same operations,
and goes on with the same bits. (Feeding them at once would be faster and differ in the last bit, which a draw can turn
into another note.) Each step draws from a generator of its own, so nothing depends on what ran before.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.stopping import check_wanted

TOP_K = 250


class Decoding:
    """The codes of one request, as far as they were asked for. Not thread-safe.

    ``text`` is the token ids of the prompt, (tokens,). ``frames`` is how many frames of codes there will be.
    """

    def __init__(self, model: Any, text: Tensor, seed: int, guidance: float, frames: int) -> None:
        self._model = model
        self._books = model.decoder.num_codebooks
        self._seed = seed
        self._guidance = guidance
        self._frames = frames
        start = model.generation_config.decoder_start_token_id  # None where the folder came without that file.
        self._start: int = model.decoder.config.pad_token_id if start is None else start  # One token is both.
        self._past: Any = None
        self._fed = 0
        self._codes = torch.full((self._books, frames), -1, dtype=torch.long)
        self._conditions, self._mask = self._encoded(text)

    @property
    def rows(self) -> int:
        """How many rows each step computes: two under guidance."""
        return 2 if self._guidance > 1.0 else 1

    def codes(self, frames: int) -> Tensor:
        """(codebooks, frames): the first ``frames`` of them, made as far as need be. Stops between two steps."""
        while self._fed < steps_for(frames, self._books):
            check_wanted()
            self._step()
        return self._codes[:, :frames]

    def take_up(self, codes: Tensor) -> None:
        """Go on behind ``codes``, (codebooks, frames), which an equal decoding made. Nothing that is known changes."""
        known = self._codes[:, : codes.shape[1]]
        self._codes[:, : codes.shape[1]] = torch.where(known < 0, codes, known)

    @torch.no_grad()
    def _step(self) -> None:
        step = self._fed
        tokens = torch.full((self._books,), self._start, dtype=torch.long)
        for book in range(self._books):
            frame = step - 1 - book
            if 0 <= frame < self._frames:
                tokens[book] = self._codes[book, frame]
        out = self._model.decoder(
            input_ids=tokens.to(self._model.device).repeat(self.rows)[:, None],
            encoder_hidden_states=self._conditions,
            encoder_attention_mask=self._mask,
            past_key_values=self._past,
            use_cache=True,
        )
        self._past = out.past_key_values
        self._fed += 1
        logits = out.logits[:, -1].float().cpu()
        if self.rows == 2:
            wanted, free = logits.chunk(2)
            logits = free + (wanted - free) * self._guidance
        drawn = self._draw(logits, step)
        for book in range(self._books):
            frame = step - book
            if 0 <= frame < self._frames and self._codes[book, frame] < 0:
                self._codes[book, frame] = drawn[book]

    def _draw(self, logits: Tensor, step: int) -> Tensor:
        """One code per codebook, of the ``TOP_K`` likeliest."""
        values, places = logits.topk(min(TOP_K, logits.shape[-1]))
        source = hashlib.sha256(f"{self._seed} {step}".encode()).digest()[:8]
        generator = torch.Generator().manual_seed(int.from_bytes(source, "big") >> 1)
        choice = torch.softmax(values, dim=-1).multinomial(1, generator=generator)
        return places.gather(-1, choice)[:, 0]

    @torch.no_grad()
    def _encoded(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions and mask of both rows; the free one's are zero."""
        model = self._model
        text = text.to(model.device)[None]
        hidden = model.text_encoder(input_ids=text).last_hidden_state
        if hasattr(model, "enc_to_dec_proj"):
            hidden = model.enc_to_dec_proj(hidden)
        mask = torch.ones_like(text)
        if self.rows == 2:
            hidden = torch.cat([hidden, torch.zeros_like(hidden)])
            mask = torch.cat([mask, torch.zeros_like(mask)])
        return hidden, mask


def steps_for(frames: int, codebooks: int) -> int:
    """How many steps it takes until ``frames`` frames have all their codes."""
    return frames + codebooks - 1 if frames else 0
