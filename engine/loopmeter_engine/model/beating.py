"""Partials of a unison, beating: how much louder or softer than on average each one is at a moment (see ``unison``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from loopmeter import Layer
from loopmeter_engine.conditioning import PITCH_MIN, instrument_of
from loopmeter_engine.score import FAMILIES, TONAL_LAYERS
from loopmeter_engine.unison import GOLDEN, UNISONS

COPIES = 8
_LOBE_HZ = 25.8  # Copies further apart than about this lie in bins of their own, and do not beat in a long window.
_LOG_MEAN = 0.5  # By so much, in nats, does a sum of copies of random phases lie below its mean power, on average.
_SPREAD_POWER = (
    -0.15
)  # An ensemble's higher partials are spread a little less: ``training.synth.oscillators.ensemble``.


class Beating(nn.Module):
    """Factors for the powers of partials, whose logarithms are 0 on average. No weights."""

    ratios: Tensor
    offsets: Tensor
    turns: Tensor
    copies: Tensor

    def __init__(self, ratios: Sequence[float]) -> None:
        super().__init__()
        slots = len(TONAL_LAYERS) * _FAMILIES_MAX + 1  # The last one: nothing is known, so nothing beats.
        offsets = torch.zeros(slots, len(ratios), COPIES)  # Of copies from the note, as a share of its frequency.
        turns, copies = torch.zeros_like(offsets), torch.zeros(slots, COPIES)
        generator = torch.Generator().manual_seed(5)
        places = torch.tensor(ratios, dtype=torch.float32)
        for (layer, family), unison in UNISONS.items():
            slot = _slot(layer, family)
            if unison.starts == "random":
                spread = (2 ** (unison.cents[0] / 1200) - 1) * places**_SPREAD_POWER
                offsets[slot] = torch.randn(len(ratios), COPIES, generator=generator) * spread[:, None]
                turns[slot] = torch.rand(len(ratios), COPIES, generator=generator)
                copies[slot] = 1.0
                continue
            count = len(unison.cents)
            offsets[slot, :, :count] = 2 ** (torch.tensor(unison.cents) / 1200) - 1
            if unison.starts == "apart":
                turns[slot] = places[:, None] * torch.arange(COPIES) * GOLDEN % 1.0
            copies[slot, :count] = 1.0
        for name, value in (("ratios", places), ("offsets", offsets), ("turns", turns), ("copies", copies)):
            self.register_buffer(name, value, persistent=False)

    def families(self, style: Tensor) -> Tensor:
        """(F, GLOBAL_CHANNELS) -> (F, tonal layers) int64: which family each layer plays, as ``forward`` takes it."""
        found = []
        for place, layer in enumerate(TONAL_LAYERS):
            _, families, _ = instrument_of(style, layer)
            share, index = families.max(-1)
            found.append(torch.where(share > 0.5, place * _FAMILIES_MAX + index, len(self.copies) - 1))
        return torch.stack(found, 1)

    def beats(self, family: Tensor) -> Tensor:
        """Which of ``families`` are unisons."""
        return self.copies[family].sum(-1) > 1

    def forward(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> tuple[Tensor, Tensor]:
        """Of mid and of side, (v, ratios) each, for voices (v,): of which family, at which of ``PITCHES``, how long
        after their onset. Side is what lies between the copies but for the first, left and right in turn."""
        hz = 440.0 * 2 ** ((pitch + (PITCH_MIN - 69)) / 12)
        apart_hz = hz[:, None, None] * self.ratios[:, None] * self.offsets[family]
        angle = (2 * math.pi) * (apart_hz * since_s[:, None, None] + self.turns[family])
        there = self.copies[family][:, None]
        share = torch.exp(-(apart_hz / _LOBE_HZ).square()) * there  # What of a copy meets the others in its bin.
        x, y = share * angle.cos(), share * angle.sin()
        sides = torch.tensor([0.0, *[1.0, -1.0] * (COPIES // 2)][:COPIES], device=family.device)
        return _factor(x, y, share, there), _factor(x * sides, y * sides, share * sides, there * sides)


def _factor(x: Tensor, y: Tensor, share: Tensor, there: Tensor) -> Tensor:
    """Of phasors (v, ratios, copies): their power, with that of what does not meet, over what it is on average."""
    count = there.abs().sum(-1)
    together = share.square().sum(-1) / count.clamp(min=1)
    power = (x.sum(-1).square() + y.sum(-1).square()) / count.clamp(min=1) + 1 - together
    return torch.where(count > 1, power * torch.exp(_LOG_MEAN * together.square()), 1.0)


_FAMILIES_MAX = max(len(families) for families in FAMILIES.values())


def _slot(layer: Layer, family: str) -> int:
    return TONAL_LAYERS.index(layer) * _FAMILIES_MAX + FAMILIES[layer].index(family)
