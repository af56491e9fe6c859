"""What engines share that make latents first and sound window by window: chunks that grow, a gain that never moves."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

GAIN = 0.8
_KNEE = 0.85


class Windows(NamedTuple):
    """How a decoder sees: ``latent_frames`` of sound per latent frame, ``margin`` latent frames to each side."""

    latent_frames: int
    margin: int

    def of(self, start: int, stop: int, latents: int) -> tuple[int, int]:
        """The latent frames, of ``latents`` in all, to decode for the frames of sound ``start .. stop - 1``."""
        low = max(0, start // self.latent_frames - self.margin)
        return low, min(latents, -(-stop // self.latent_frames) + self.margin)

    def chunk_table(self, frames: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Chunks of ``sizes`` latent frames, the last size repeated; what is left at the end is the last chunk."""
        table: list[int] = []
        while (left := frames - sum(table)) > 0:
            table.append(min(left, sizes[min(len(table), len(sizes) - 1)] * self.latent_frames))
        return tuple(table)

    def latents(self, frames: int) -> int:
        """How many latent frames cover ``frames`` of sound."""
        return math.ceil(frames / self.latent_frames)


def levelled(sound: Tensor, gain: float = GAIN) -> Tensor:
    """At a fixed gain, bent softly above -1.4 dB instead of clipped; every sample by itself."""
    scaled = sound * gain
    over = (scaled.abs() - _KNEE).clamp_min(0.0)
    bent = _KNEE + (1 - _KNEE) * torch.tanh(over / (1 - _KNEE))
    return torch.where(over > 0, bent * scaled.sign(), scaled)
