"""Partials of a unison, beating: how much louder or softer than on average each one is at a moment (see ``unison``).

Reading order: ``Beating``, ``swells``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from loopmeter import Layer
from loopmeter_engine.conditioning import PITCH_MIN, instrument_of
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.score import FAMILIES, TONAL_LAYERS
from loopmeter_engine.unison import ENSEMBLE_BIN_HZ, ENSEMBLE_SAMPLES, GOLDEN, UNISONS, ensemble_band, ensemble_turns

COPIES = 8
_MOMENTS = 512  # Of an ensemble's round, 11.6 ms apart.
_LOBE_HZ = 25.8  # Copies further apart than about this lie in bins of their own, and do not beat in a long window.
_LOG_MEAN = 0.5  # By so much, in nats, does a sum of copies of random phases lie below its mean power, on average.
_FAMILIES_MAX = max(len(families) for families in FAMILIES.values())


class Beating(nn.Module):
    """Factors for the powers of partials, whose logarithms are 0 on average. No weights."""

    ratios: Tensor
    offsets: Tensor
    turns: Tensor
    copies: Tensor
    ensemble_cents: Tensor

    def __init__(self, ratios: Sequence[float]) -> None:
        super().__init__()
        places = torch.tensor(ratios, dtype=torch.float32)
        self._harmonics = [index for index, ratio in enumerate(ratios) if ratio == index + 1]
        slots = len(TONAL_LAYERS) * _FAMILIES_MAX + 1  # The last one: nothing is known, so nothing beats.
        offsets = torch.zeros(slots, COPIES)  # Of copies from the note, as a share of its frequency.
        turns, copies = torch.zeros(slots, len(ratios), COPIES), torch.zeros(slots, COPIES)
        ensembles = torch.zeros(slots)
        for (layer, family), unison in UNISONS.items():
            slot, count = _slot(layer, family), len(unison.cents)
            offsets[slot, :count] = 2 ** (torch.tensor(unison.cents) / 1200) - 1
            copies[slot, :count] = 1.0
            if unison.starts == "apart":
                turns[slot] = places[:, None] * torch.arange(COPIES) * GOLDEN % 1.0
            ensembles[slot] = unison.ensemble_cents
        for name, value in (
            ("ratios", places), ("offsets", offsets), ("turns", turns), ("copies", copies),
            ("ensemble_cents", ensembles),
        ):  # fmt: skip
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
        return (self.copies[family].sum(-1) > 1) | (self.ensemble_cents[family] > 0)

    def forward(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> tuple[Tensor, Tensor]:
        """Of mid and of side, (v, ratios) each, for voices (v,): of which family, at which of ``PITCHES``, how long
        after their onset. Side is what lies between the copies but for the first, left and right in turn."""
        most = int(self.copies[family].sum(-1).max())
        hz = 440.0 * 2 ** ((pitch + (PITCH_MIN - 69)) / 12)
        apart_hz = hz[:, None, None] * self.ratios[:, None] * self.offsets[family, None, :most]
        angle = (2 * math.pi) * (apart_hz * since_s[:, None, None] + self.turns[family, :, :most])
        there = self.copies[family, None, :most]
        share = _met(apart_hz) * there
        x, y = share * angle.cos(), share * angle.sin()
        sides = torch.tensor([0.0, *[1.0, -1.0] * COPIES][:most], device=family.device)
        mid = _factor(x, y, share, there)
        side = _factor(x * sides, y * sides, share * sides, there * sides)
        ensembles = self.ensemble_cents[family] > 0
        if ensembles.any():
            of_ensembles = self._of_ensembles(*(each[ensembles] for each in (family, pitch, since_s)))
            for found, swelling in zip((mid, side), of_ensembles, strict=True):
                found[torch.nonzero(ensembles), torch.tensor(self._harmonics, device=found.device)] = swelling
        return mid, side

    def _of_ensembles(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> tuple[Tensor, Tensor]:
        """(v, harmonics) each, straight lines between moments."""
        pairs = torch.stack([self.ensemble_cents[family], pitch], 1)
        kinds, which = torch.unique(pairs, dim=0, return_inverse=True)
        rounds = torch.stack([swells(cents, int(place), len(self._harmonics)) for cents, place in kinds.tolist()])
        place = since_s / (ENSEMBLE_SAMPLES / SAMPLE_RATE_HZ) % 1 * _MOMENTS
        first = place.floor()
        before, after = (
            rounds.to(which.device)[which, (first.long() + step) % _MOMENTS] for step in (0, 1)
        )  # (v, 2, harmonics)
        mid, side = torch.lerp(before, after, (place - first)[:, None, None]).unbind(1)
        return mid, side


@functools.lru_cache(maxsize=64)
def swells(spread_cents: float, pitch: int, harmonics: int) -> Tensor:
    """(512, 2, harmonics): an ensemble's own factors at moments of its round, for one of ``PITCHES``, of mid and side.

    A transform of each narrow band by itself, folded onto the moments that are wanted: 3 ms.
    """
    hz = 440.0 * 2 ** ((pitch + PITCH_MIN - 69) / 12)
    turns = ensemble_turns(hz)
    folded = np.zeros((2, harmonics, _MOMENTS), np.complex128)
    apart, together = np.zeros(harmonics), np.zeros(harmonics)
    for index in range(harmonics):
        bins, level = ensemble_band(hz, index + 1, spread_cents)
        share = level * _met(torch.from_numpy((bins - hz * (index + 1) / ENSEMBLE_BIN_HZ) * ENSEMBLE_BIN_HZ)).numpy()
        together[index], apart[index] = np.square(share).sum(), np.square(level).sum()
        for channel in range(2):
            np.add.at(folded[channel, index], bins % _MOMENTS, share * np.exp(2j * np.pi * turns[channel, bins]))
    power = np.square(np.abs(np.fft.ifft(folded) * _MOMENTS))
    met = together / np.maximum(apart, 1e-12)
    mean = np.maximum(apart, 1e-12)[:, None]
    factor = np.where(apart[:, None] > 0, power / mean + 1 - met[:, None], 1.0) * np.exp(_LOG_MEAN * met**2)[:, None]
    return torch.from_numpy(factor.astype(np.float32)).permute(2, 0, 1).contiguous()


def _met(apart_hz: Tensor) -> Tensor:
    """What of a copy meets the others in its bin, in amplitude."""
    return torch.exp(-(apart_hz / _LOBE_HZ).square())


def _factor(x: Tensor, y: Tensor, share: Tensor, there: Tensor) -> Tensor:
    """Of phasors (v, ratios, copies): their power, with that of what does not meet, over what it is on average."""
    count = there.abs().sum(-1)
    together = share.square().sum(-1) / count.clamp(min=1)
    power = (x.sum(-1).square() + y.sum(-1).square()) / count.clamp(min=1) + 1 - together
    return torch.where(count > 1, power * torch.exp(_LOG_MEAN * together.square()), 1.0)


def _slot(layer: Layer, family: str) -> int:
    return TONAL_LAYERS.index(layer) * _FAMILIES_MAX + FAMILIES[layer].index(family)
