"""Notes that duck under the beat: how much softer than on average each layer is at a moment (see ``sidechain``)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from loopmeter_engine.conditioning import FRAME_S, GENRE_SLOTS, SLOTS
from loopmeter_engine.planner.names import GENRES
from loopmeter_engine.score import TONAL_LAYERS
from loopmeter_engine.sidechain import ATTACK_S, DEPTH_BY_GENRE, RECOVER_BEATS, RECOVER_POWER, SHARE_BY_LAYER

_DEEPEST, _LOUDEST = 0.9, 8.0  # Of a dip, and of a factor.


class Ducking(nn.Module):
    """Factors for the powers of notes, whose logarithms are 0 on average. No weights."""

    depths: Tensor
    shares: Tensor
    round: Tensor

    def __init__(self) -> None:
        super().__init__()
        depths = torch.zeros(GENRE_SLOTS)
        for genre, depth in DEPTH_BY_GENRE.items():
            depths[GENRES.index(genre)] = depth
        shares = torch.tensor([SHARE_BY_LAYER.get(layer, 0.0) for layer in TONAL_LAYERS])
        moments = torch.arange(64) / 64
        dips = _dip(moments, torch.ones(1))  # Over one beat, its short attack apart.
        for name, value in (("depths", depths), ("shares", shares), ("round", dips)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, style: Tensor, clock: Tensor) -> Tensor:
        """``style`` (F, GLOBAL_CHANNELS) and ``clock`` (F, CLOCK_CHANNELS) of latent frames -> (4 F, tonal layers)."""
        depth = (style[:, -2 - GENRE_SLOTS : -2] * self.depths).sum(-1, keepdim=True).clamp(0, _DEEPEST) * self.shares
        beat_s = 0.5 * 2 ** -style[:, -2]
        middle_s = torch.atan2(clock[:, 0], clock[:, 1]) / (2 * math.pi) * beat_s
        within_s = (torch.arange(SLOTS, device=clock.device) + 0.5 - SLOTS / 2) * FRAME_S / SLOTS
        since_s = (middle_s[:, None] + within_s) % beat_s[:, None]
        dip = torch.minimum(_dip(since_s - ATTACK_S, beat_s[:, None]), _rise(since_s / ATTACK_S))
        power = (1 - depth[:, None] * dip[..., None]).square()
        average = (1 - depth[..., None] * self.round).log().mean(-1).mul(2).exp()
        return (power / average[:, None]).clamp(max=_LOUDEST).flatten(0, 1)


def _dip(since_s: Tensor, beat_s: Tensor) -> Tensor:
    """How far down, 0..1, so long after the deepest point."""
    return _rise(1 - since_s / (RECOVER_BEATS * beat_s)) ** RECOVER_POWER


def _rise(share: Tensor) -> Tensor:
    return torch.sin(share.clamp(0, 1) * (math.pi / 2)).square()
