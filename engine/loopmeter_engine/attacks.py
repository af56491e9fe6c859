"""Attacks, after phases are found: what a long window smears ahead of a hit is taken away, by what short windows know.

A long window smears an attack over 46 ms. Bands that sound before they should are turned down to the short-window
magnitudes; but only where something louder follows, since of all else the long windows tell the level better. Where
the score has a hit, or a note that begins as suddenly, it is known to the sample: what lies before it is turned down,
apart from what follows, to the level of the last short window that ends before it, and what follows may be turned up.

Reading order: ``AttackCleaner.clean``, ``overlap_add``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loopmeter_engine.model.autoencoder import SHORT_COLUMNS, SHORT_FFT, SHORT_HOP

COLA = 1.5  # Hann squared at 75 % overlap adds up to this.
SHORT_TAIL = SHORT_FFT - SHORT_HOP
PAST = 8  # Short frames remembered, to know the level before a hit.
HITS_APART = 662  # Samples, 15 ms: hits of a guide lie further apart than a short window.
_LOW_BINS = 4  # 345 Hz of a short window.
_BEFORE = 3  # Of these, as many before the last one count as well: the network smears a little, too.
_ROOM_LOW, _ROOM = 0.25, 0.5  # Differences of amplitude up to these are left alone: noise is never the same twice.
_QUIETEST, _QUIETEST_BEFORE_HIT = 0.05, 0.01
_LOUDEST_AFTER_HIT = 2.5
_SMEARED = 20  # Short frames, 58 ms: how far before a sound a long window may smear it.
_SOFTER = 0.25  # Power, of what follows, below which its smear is worth cleaning.
_AFTER_SAMPLES = 2500  # 57 ms, about a long window.
_TURN = 32  # Samples, 0.7 ms: how long a hit's own sound takes to rise; at once, it would begin with a click.
_EDGE = 8  # Samples: a hit nearer than this to the edge of a short window, where the window is silent, splits nothing.


class AttackCleaner(nn.Module):
    """Turns bands of a sound down, and after hits up, to what short windows ask. No weights."""

    short_window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("short_window", torch.hann_window(SHORT_FFT), persistent=False)
        room = torch.full((SHORT_FFT // 2 + 1,), _ROOM)
        room[:_LOW_BINS] = _ROOM_LOW
        self.register_buffer("room", room, persistent=False)

    def clean(self, sound: Tensor, short: Tensor, past: Tensor, hits: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """(c, n) and short-window magnitudes (m, 257) to the samples that are clean, and the tail of their windows.

        ``short`` may go on beyond what ``sound`` lets be clean, and should by some 20 frames, to know what follows.
        ``sound`` starts where the next short frame does, and ``hits`` count from there. ``past`` (8, 257): the short
        magnitudes used last. Only mid is measured; side gets the same gains.
        """
        count = max(0, min(len(short), (sound.shape[1] - SHORT_FFT) // SHORT_HOP + 1))
        count -= count % SHORT_COLUMNS
        if count == 0:
            return sound[:, :0], tail
        frames = sound.unfold(1, SHORT_FFT, SHORT_HOP)[:, :count] * self.short_window
        rows, offset, asked = self._before_hits(count, torch.cat([past, short[:count]]).square(), hits)
        since = torch.arange(SHORT_FFT, device=hits.device) - offset[:, None]
        early = frames[:, rows] * (since < _TURN)
        frames[:, rows] *= since >= 0
        spectrum = torch.fft.rfft(torch.cat([frames, early], 1))
        found = _in_bands(spectrum[0].abs().square())
        heard = _in_bands(short.square())
        wanted = _missing(heard[:count], found[:count])
        gain = (wanted / self.get_buffer("room")).clamp(_QUIETEST, 1)
        raised = torch.maximum(gain, wanted).clamp(max=_LOUDEST_AFTER_HIT)
        gain = torch.where(_soon_louder(heard)[:count], gain, 1.0)
        gain = torch.where(_after_hits(hits, count)[:, None], raised, gain)
        gain = torch.cat([gain, _missing(_in_bands(asked), found[count:]).clamp(_QUIETEST_BEFORE_HIT, 1)])
        windows = torch.fft.irfft(spectrum * gain, SHORT_FFT) * self.short_window
        windows[:, rows] = torch.lerp(windows[:, count:], windows[:, rows], _risen(since))
        total = overlap_add(windows[:, :count], SHORT_HOP)
        total = torch.cat([total[:, :SHORT_TAIL] + tail, total[:, SHORT_TAIL:]], 1)
        ready = count * SHORT_HOP
        return total[:, :ready] / COLA, total[:, ready : ready + SHORT_TAIL]

    def _before_hits(self, count: int, asked: Tensor, hits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The frames (r,) that a hit falls into, how many of their samples lie before it (r,), and the power (r, 257)
        that these may have.

        ``asked`` (8 + count, 257): power of the frames and of those before.
        """
        begins = torch.arange(count, device=hits.device) * SHORT_HOP
        first = torch.searchsorted(hits, begins + _EDGE)
        offset = F.pad(hits, (0, 1), value=2**62)[first] - begins
        rows = torch.nonzero(offset < SHORT_FFT - _EDGE).flatten()
        offset = offset[rows]
        before = torch.arange(SHORT_FFT, device=hits.device) < offset[:, None]
        power = self.short_window.square()
        share = (power * before).sum(1) / power.sum()
        last = PAST + rows - -(-(SHORT_FFT - offset) // SHORT_HOP)  # The last frame that ends before the hit.
        quiet = torch.stack([asked[last - back] for back in range(_BEFORE + 1)]).amin(0)
        return rows, offset, quiet * share[:, None]


def _risen(since: Tensor) -> Tensor:
    """The share of a hit's own sound, so many samples after it: 0 until then, soon 1."""
    return torch.sin((since / _TURN).clamp(0, 1) * (math.pi / 2)).square()


def _in_bands(power: Tensor) -> Tensor:
    """Averages over 15 bins, (n, 257). The lowest bins count as one band: a window holds too few of their periods, and
    magnitude hangs on phase."""
    low = power[:, :_LOW_BINS].mean(1, keepdim=True).expand(-1, _LOW_BINS)
    return torch.cat([low, mean_around(power[:, _LOW_BINS:], 15)], 1)


def _missing(asked: Tensor, found: Tensor) -> Tensor:
    """By how much amplitude would have to rise for power ``found`` to become power ``asked``."""
    return ((asked + 1e-6) / (found + 1e-6)).sqrt()


def _soon_louder(power: Tensor) -> Tensor:
    """Where (n, 257) something much louder follows soon enough that a long window smears it there."""
    ahead = F.max_pool1d(F.pad(power.T[None], (0, _SMEARED)), _SMEARED + 1, 1)[0].T
    return power < _SOFTER * ahead


def _after_hits(hits: Tensor, count: int) -> Tensor:
    """Which of ``count`` short frames hold a hit or begin soon after one."""
    begins = torch.arange(count, device=hits.device) * SHORT_HOP
    last = torch.searchsorted(hits, begins + SHORT_FFT - _EDGE)
    return begins - F.pad(hits, (1, 0), value=-(2**62))[last] < _AFTER_SAMPLES


def mean_around(values: Tensor, width: int) -> Tensor:
    """The mean over ``width`` neighbours along the last axis, fewer at its ends.

    By running sums, which take a tenth of a pooling layer's time; in float64, since weak bins follow loud ones.
    """
    ones = torch.ones(values.shape[-1], device=values.device)
    sums = [F.pad(each.double(), (width // 2 + 1, width // 2)).cumsum(-1) for each in (values, ones)]
    total, count = (each[..., width:] - each[..., :-width] for each in sums)
    return (total / count).float()


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """(c, n, size) -> (c, hop (n - 1) + size); ``hop`` divides ``size``."""
    channels, count, size = frames.shape
    parts = frames.reshape(channels, count, size // hop, hop)
    out = frames.new_zeros(channels, count + size // hop - 1, hop)
    for shift in range(size // hop):
        out[:, shift : shift + count] += parts[:, :, shift]
    return out.flatten(1)
