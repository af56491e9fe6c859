"""Latents to sound, window by window, equal to decoding the whole.

The decoder sees 8.33 latent frames to each side; ``MARGIN`` of 9 around a window therefore changes nothing inside it.
The gain is fixed: the pipeline's own scaling by the peak of the whole clip is what no stream can know.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES

MARGIN = 9
GAIN = 0.8
_KNEE = 0.85
JOIN_FRAMES = 2_048


def window_of(start: int, stop: int, latents: int) -> tuple[int, int]:
    """The latent frames to decode for the frames of sound ``start .. stop - 1``."""
    return max(0, start // LATENT_FRAMES - MARGIN), min(latents, -(-stop // LATENT_FRAMES) + MARGIN)


def decode(vae: Any, latents: Tensor, first: int, start: int, stop: int, total: int) -> Tensor:
    """Frames ``start .. stop - 1`` of the sound, (2, stop - start), float32 on the CPU, before any gain.

    ``latents`` is (T, width), the latent frames from ``first`` on; ``total`` is how many there are in all.
    """
    low, high = window_of(start, stop, total)
    assert first <= low and high - first <= latents.shape[0], "the latents do not reach as far as the window"
    window = latents[low - first : high - first].T[None].to(device=vae.device, dtype=vae.dtype)
    with torch.no_grad():
        sound: Tensor = vae.decode(window).sample[0].float().cpu()
    begin = start - low * LATENT_FRAMES
    return sound[:, begin : begin + stop - start]


def levelled(sound: Tensor) -> Tensor:
    """At a fixed gain, bent softly above -1.4 dB instead of clipped; every sample by itself."""
    scaled = sound * GAIN
    over = (scaled.abs() - _KNEE).clamp_min(0.0)
    bent = _KNEE + (1 - _KNEE) * torch.tanh(over / (1 - _KNEE))
    return torch.where(over > 0, bent * scaled.sign(), scaled)
