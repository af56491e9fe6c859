"""Latents to sound window by window, equal to decoding the whole, at a gain that never moves.

Pipelines scale a clip by the peak of the whole, which is what no stream can know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from loopmeter_engine.engines.libraries import working_device

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

    def decode(self, vae: Any, latents: Tensor, first: int, start: int, stop: int, total: int) -> Tensor:
        """Frames ``start .. stop - 1`` of the sound, (2, stop - start), float32 on the CPU, before any gain.

        ``latents`` is (T, width), the latent frames from ``first`` on; ``total`` is how many there are in all. The
        decoder sees no farther than ``margin``, so this equals decoding the whole.
        """
        low, high = self.of(start, stop, total)
        assert first <= low and high - first <= latents.shape[0], "the latents do not reach as far as the window"
        window = latents[low - first : high - first].T[None].to(device=working_device(vae), dtype=vae.dtype)
        # In memory of its own: where a slice lies decides the last bit of some kernels.
        window = window.clone(memory_format=torch.contiguous_format)
        with torch.no_grad():
            sound: Tensor = vae.decode(window).sample[0].float().cpu()
        begin = start - low * self.latent_frames
        return sound[:, begin : begin + stop - start]


def levelled(sound: Tensor, gain: float = GAIN) -> Tensor:
    """At a fixed gain, bent softly above -1.4 dB instead of clipped; every sample by itself."""
    scaled = sound * gain
    over = (scaled.abs() - _KNEE).clamp_min(0.0)
    bent = _KNEE + (1 - _KNEE) * torch.tanh(over / (1 - _KNEE))
    return torch.where(over > 0, bent * scaled.sign(), scaled)
