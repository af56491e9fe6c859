"""Partials as waves: those that share a bin add up as sounds do, louder or softer than their powers would.

The copies of a unison beat (see ``unison``), and so do notes of a chord, whose partials fall onto each other: an octave
that begins with its lower note is twice as loud there, a fifth swells and fades. Phases follow from time since the
onset, where every oscillator of the training data begins alike.

Reading order: ``Interference``, ``ratios_of_kinds``, ``ensemble_round``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from loopmeter import Layer
from loopmeter_engine.conditioning import PITCH_MIN, PITCHES, instrument_of
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.partials import HARMONICS, KINDS, RATIOS, VIBRATO_RISE, VIBRATOS, partial_ratios
from loopmeter_engine.score import FAMILIES, TONAL_LAYERS
from loopmeter_engine.unison import ENSEMBLE_BIN_HZ, ENSEMBLE_SAMPLES, GOLDEN, UNISONS, ensemble_band, ensemble_turns

COPIES = 8
_MOMENTS = 512  # Of an ensemble's round, 11.6 ms apart.
_LOBE_HZ = 25.8  # Copies further apart than about this lie in bins of their own, and do not meet in a long window.
_LOG_MEAN = 0.5  # By so much, in nats, does a sum of copies of random phases lie below its mean power, on average.
_FAMILIES_MAX = max(len(families) for families in FAMILIES.values())


@dataclass(frozen=True)
class Waves:
    """Of partials whose power would be 1: ``x`` and ``y``, cosine and sine, of what meets others, and the power
    ``loose`` of what meets nobody. All (v, ratios)."""

    x: Tensor
    y: Tensor
    loose: Tensor


class Interference(nn.Module):
    """Where the phases of partials stand. A partial's logarithm is 0 on average, whoever its copies are. No weights."""

    kinds: Tensor
    vibratos: Tensor
    ratios: Tensor
    offsets: Tensor
    turns: Tensor
    mid: Tensor
    side: Tensor
    ensemble_cents: Tensor

    def __init__(self) -> None:
        super().__init__()
        slots = len(TONAL_LAYERS) * _FAMILIES_MAX + 1  # The last one: the family is not known.
        offsets = torch.zeros(slots, COPIES)  # Of copies from the note, as a share of its frequency.
        turns = torch.zeros(slots, RATIOS, COPIES)
        mid = torch.eye(1, COPIES).repeat(slots, 1)  # Which copies there are, and on which side they lie.
        side, ensembles = mid.clone(), torch.zeros(slots)
        for (layer, family), unison in UNISONS.items():
            slot, count = _slot(layer, family), len(unison.cents)
            ensembles[slot] = unison.ensemble_cents
            if count == 0:
                continue
            offsets[slot, :count] = 2 ** (torch.tensor(unison.cents) / 1200) - 1
            mid[slot, :count] = 1.0
            sides = [0.0, *[1.0, -1.0] * COPIES] if unison.starts == "apart" else [1.0, -1.0]
            side[slot, :count] = torch.tensor(sides[:count])
            if unison.starts == "apart":
                places = torch.from_numpy(partial_ratios(layer, family, 440.0)).float()
                turns[slot] = places[:, None] * torch.arange(COPIES) * GOLDEN % 1.0
        vibratos = torch.tensor([0.0, 1.0, 0.0]).repeat(slots, 1)  # Cents, rate, delay.
        for (layer, family), vibrato in VIBRATOS.items():
            vibratos[_slot(layer, family)] = torch.tensor([vibrato.cents, vibrato.rate_hz, vibrato.delay_s])
        kinds = torch.zeros(slots, dtype=torch.int64)
        for kind, instrument in enumerate(KINDS, 1):
            kinds[_slot(*instrument)] = kind
        for name, value in (
            ("kinds", kinds), ("vibratos", vibratos), ("ratios", ratios_of_kinds().float()), ("offsets", offsets),
            ("turns", turns), ("mid", mid), ("side", side), ("ensemble_cents", ensembles),
        ):  # fmt: skip
            self.register_buffer(name, value, persistent=False)

    def families(self, style: Tensor) -> Tensor:
        """(F, GLOBAL_CHANNELS) -> (F, tonal layers) int64: which family each layer plays, as ``forward`` takes it."""
        found = []
        for place, layer in enumerate(TONAL_LAYERS):
            _, families, _ = instrument_of(style, layer)
            share, index = families.max(-1)
            found.append(torch.where(share > 0.5, place * _FAMILIES_MAX + index, len(self.mid) - 1))
        return torch.stack(found, 1)

    def forward(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> tuple[Waves, Waves]:
        """Of mid and of side, for voices (v,): of which family, at which of ``PITCHES``, how long after their onset."""
        found = family.new_empty((2, 3, len(family), RATIOS), dtype=torch.float32)
        several = self.mid[family].sum(-1) > 1
        ensembles = self.ensemble_cents[family] > 0
        groups = (~several & ~ensembles, self._of_copies), (several, self._of_copies), (ensembles, self._of_ensembles)
        for group, waves in groups:
            if group.any():
                found[:, :, group] = waves(family[group], pitch[group], since_s[group])
        mid, side = (Waves(*channel) for channel in found)
        return mid, side

    def _of_copies(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> Tensor:
        """(2, 3, v, ratios): ``Waves`` of mid and side."""
        most = int(self.mid[family].sum(-1).max())
        hz = _hz(pitch)
        ratios = self.ratios[self.kinds[family], pitch.long()]
        whole = (hz * (since_s + self._vibrato(family, since_s)))[:, None] * ratios % 1
        apart_hz = (hz[:, None] * ratios)[..., None] * self.offsets[family, None, :most]
        turns = whole[..., None] + apart_hz * since_s[:, None, None] + self.turns[family, :, :most]
        share, angle = _met(apart_hz), 2 * math.pi * turns
        x, y = share * angle.cos(), share * angle.sin()
        found = []
        for channel in (self.mid, self.side):
            there = channel[family, None, :most]
            count = there.abs().sum(-1)
            together = (share * there).square().sum(-1) / count
            gain = torch.where(count > 1, torch.exp(_LOG_MEAN * together.square()), 1.0)
            size = (gain / count).sqrt()
            found.append(torch.stack([(x * there).sum(-1) * size, (y * there).sum(-1) * size, (1 - together) * gain]))
        return torch.stack(found)

    def _vibrato(self, family: Tensor, since_s: Tensor) -> Tensor:
        """(v,) seconds by which notes are ahead of steady ones. Before its onset a note is not."""
        cents, rate_hz, delay_s = self.vibratos[family].unbind(-1)
        swing = (2 ** (cents / 1200) - 1) / (2 * math.pi * rate_hz)
        depth = ((since_s - delay_s) * VIBRATO_RISE).clamp(0, 1)
        return swing * depth * (1 - torch.cos(2 * math.pi * rate_hz * since_s))

    def _of_ensembles(self, family: Tensor, pitch: Tensor, since_s: Tensor) -> Tensor:
        """The same, on straight lines between moments. Partials between harmonics: as of one copy."""
        found = self._of_copies(family, pitch, since_s)
        kinds, which = torch.unique(family * PITCHES + pitch.long(), return_inverse=True)
        spreads = self.ensemble_cents[kinds // PITCHES].tolist()
        places = (kinds % PITCHES).tolist()
        rounds = [ensemble_round(cents, place, HARMONICS) for cents, place in zip(spreads, places, strict=True)]
        waves, loose, centre = (torch.stack(part).to(family.device) for part in zip(*rounds, strict=True))
        share = since_s.double() / (ENSEMBLE_SAMPLES / SAMPLE_RATE_HZ) % 1
        place = share * _MOMENTS
        first = place.long()
        before, after = (waves[which, (first + step) % _MOMENTS] for step in (0, 1))  # (v, 2, harmonics)
        between = before + (after - before) * (place - first).float()[:, None, None]
        angle = 2 * math.pi * (centre[which] * share[:, None] % 1).float()
        turned = between * torch.polar(torch.ones_like(angle), angle)[:, None]
        of_harmonics = [turned.real, turned.imag, loose[which, None].expand(-1, 2, -1)]
        found[..., :HARMONICS] = torch.stack(of_harmonics).transpose(1, 2).transpose(0, 1)
        return found


def ratios_of_kinds() -> Tensor:
    """(1 + kinds, PITCHES, RATIOS) float64: first of what has plain harmonics, then of each of ``partials.KINDS``."""
    hz = _hz(torch.arange(PITCHES, dtype=torch.float64)).tolist()
    kinds: list[tuple[Layer, str]] = [("lead", "saw"), *KINDS]
    return torch.from_numpy(np.array([[partial_ratios(*kind, each) for each in hz] for kind in kinds]))


@functools.lru_cache(maxsize=64)
def ensemble_round(spread_cents: float, pitch: int, harmonics: int) -> tuple[Tensor, Tensor, Tensor]:
    """An ensemble's own waves at one of ``PITCHES``: at moments of its round, (512, 2, harmonics) complex for mid and
    side, as they turn about ``centre`` (harmonics,), whole turns a round; and ``loose`` (harmonics,), as in ``Waves``.

    A transform of each narrow band by itself, folded onto the moments that are wanted: 4 ms.
    """
    hz = 440.0 * 2 ** ((pitch + PITCH_MIN - 69) / 12)  # In full precision: the turns hang on it.
    turns = ensemble_turns(hz)
    folded = np.zeros((2, harmonics, _MOMENTS), np.complex128)
    all_of, met = np.full(harmonics, 1e-12), np.zeros(harmonics)
    centre = np.round(hz * np.arange(1, harmonics + 1) / ENSEMBLE_BIN_HZ)
    for index in range(harmonics):
        bins, level = ensemble_band(hz, index + 1, spread_cents)
        share = level * _met(torch.from_numpy(bins * ENSEMBLE_BIN_HZ - hz * (index + 1))).numpy()
        all_of[index], met[index] = all_of[index] + np.square(level).sum(), np.square(share).sum()
        places = (bins - int(centre[index])) % _MOMENTS
        for channel in range(2):
            np.add.at(folded[channel, index], places, share * np.exp(2j * np.pi * turns[channel, bins]))
    together = met / all_of
    gain = np.exp(_LOG_MEAN * together**2)
    waves = np.fft.ifft(folded) * (_MOMENTS * np.sqrt(gain / all_of))[:, None]
    return (
        torch.from_numpy(waves.astype(np.complex64)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(((1 - together) * gain).astype(np.float32)),
        torch.from_numpy(centre),
    )


def _hz(pitch: Tensor) -> Tensor:
    return 440.0 * 2 ** ((pitch + (PITCH_MIN - 69)) / 12)


def _met(apart_hz: Tensor) -> Tensor:
    """What of a copy meets the others in its bin, in amplitude."""
    return torch.exp(-(apart_hz / _LOBE_HZ).square())


def _slot(layer: Layer, family: str) -> int:
    return TONAL_LAYERS.index(layer) * _FAMILIES_MAX + FAMILIES[layer].index(family)
