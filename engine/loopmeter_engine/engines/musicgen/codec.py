"""Codes to sound by EnCodec's decoder, in pieces, equal to decoding the whole.

The decoder is a convolution, a recurrent network with all of the past in its state, and convolutions that raise the
rate. The first and the last see a few frames to each side; the recurrent one's state is carried from piece to piece.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

# The convolutions behind the recurrent network reach 2.3 frames at the published sizes; a test holds that 4 suffice.
MARGIN = 4
Carried = tuple[Tensor, Tensor]  # The recurrent network's (h, c), each (layers, 1, width).


class Layout(NamedTuple):
    """Which frames of features and codes a stretch of sound needs, of ``total`` in all."""

    hop: int  # Frames of sound per frame of codes.
    kernel: int  # Of the first convolution.
    total: int

    def features(self, start: int, stop: int) -> tuple[int, int]:
        """For the frames of sound ``start .. stop - 1``."""
        return max(0, start // self.hop - MARGIN), min(self.total, -(-stop // self.hop) + MARGIN)

    def codes(self, features: int) -> int:
        """How many frames of codes the first ``features`` frames of features need."""
        return min(self.total, features + self.kernel // 2)


class PieceDecoder:
    """Decodes with the weights of ``audio_encoder``. Stateless: what it carries comes in and goes out."""

    def __init__(self, audio_encoder: Any) -> None:
        self._quantizer = audio_encoder.quantizer
        self._first, self._recurrent, *rest = audio_encoder.decoder.layers
        self._rest = torch.nn.Sequential(*rest)
        self._weights = next(self._recurrent.lstm.parameters())

    def nothing(self) -> Carried:
        """What is carried into the first frame."""
        lstm = self._recurrent.lstm
        zero = self._weights.new_zeros(lstm.num_layers, 1, lstm.hidden_size)
        return zero, zero

    @torch.no_grad()
    def advance(self, layout: Layout, codes: Tensor, start: int, stop: int, carried: Carried) -> tuple[Tensor, Carried]:
        """Features (1, width, stop - start) of the frames from ``start`` on, where ``carried`` stands; what is behind.

        ``codes`` is (codebooks, frames) from frame 0 on, at least ``layout.codes(stop)`` of them.
        """
        low, high = max(0, start - layout.kernel), layout.codes(stop)
        embedded = self._quantizer.decode(codes[:, None, low:high].to(self._weights.device))
        before = self._first(embedded)[:, :, start - low : stop - low].permute(2, 0, 1)
        hidden, cell = (part.to(self._weights) for part in carried)
        after, carried = self._recurrent.lstm(before, (hidden, cell))
        return (after + before).permute(1, 2, 0), carried

    @torch.no_grad()
    def sound(self, layout: Layout, features: Tensor, low: int, start: int, stop: int) -> Tensor:
        """Frames ``start .. stop - 1``, (1, frames) float32 on the CPU, of features from frame ``low`` on."""
        made: Tensor = self._rest(features)[0].float().cpu()
        return made[:, start - low * layout.hop : stop - low * layout.hop]
