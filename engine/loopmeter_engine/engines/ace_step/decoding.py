"""Latents to sound, window by window, equal to decoding the whole.

The decoder sees 8.33 latent frames to each side; a margin of 9 around a window therefore changes nothing inside it.
The gain is fixed (``windows.py``): the pipeline's own scaling by the peak of the whole clip is what no stream can know.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES
from loopmeter_engine.engines.windows import Windows

WINDOWS = Windows(LATENT_FRAMES, margin=9)
JOIN_FRAMES = 2_048


def decode(vae: Any, latents: Tensor, first: int, start: int, stop: int, total: int) -> Tensor:
    """Frames ``start .. stop - 1`` of the sound, (2, stop - start), float32 on the CPU, before any gain.

    ``latents`` is (T, width), the latent frames from ``first`` on; ``total`` is how many there are in all.
    """
    low, high = WINDOWS.of(start, stop, total)
    assert first <= low and high - first <= latents.shape[0], "the latents do not reach as far as the window"
    window = latents[low - first : high - first].T[None].to(device=vae.device, dtype=vae.dtype)
    with torch.no_grad():
        sound: Tensor = vae.decode(window).sample[0].float().cpu()
    begin = start - low * LATENT_FRAMES
    return sound[:, begin : begin + stop - start]
