"""An adversary for the decoder: critics of its spectra, which tell blurred ones from those of real sound.

A decoder trained on distances alone gives the mean of what might be, and a mean of spectra is a blur. Critics ask for
one of the possible spectra instead (hinge loss and matching of features as in SoundStream, Zeghidour et al. 2021).

Deviation from such codecs: no critic listens to samples. The decoder ends at magnitudes and ``phase.py`` finds the
phases without a gradient; the blur sits in the magnitudes, so that is where the critics look, in several resolutions:
low bins of the long window, where partials are; all of it, for colour; the short windows, for attacks.

Gradients meet at the decoder's output, each scaled to a share of the distance's norm there (the balancer of EnCodec,
Défossez et al. 2022, without its averages, so that there is no state): no weight has to be found by trial, and the
decoder is run backwards once.

Reading order: ``views``, ``SpectrumCritic``, ``BandDistance``, ``Adversary``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    SAMPLE_RATE_HZ,
    SHORT_BINS,
    SHORT_COLUMNS,
    expand,
)

CRITIC_RATE = 3e-4
RAMP_STEPS = 150  # A critic that knows nothing yet pushes nowhere: its say grows from nothing over so many steps.
# Norms of gradients, over that of the plain distance.
BANDS_SHARE, FOOLED_SHARE, MATCHED_SHARE = 1.0, 0.5, 1.0
_TONE_BINS = 192  # 4.1 kHz of the long window.
_BANDS, _LOW_HZ, _HIGH_HZ = 48, 40.0, 16_000.0
_SPANS = (1, 4, 16)  # Spectral frames whose energy is summed: 12, 46 and 186 ms.


def views(spectra: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, S, SPECTRAL_CHANNELS) -> low bins (B, 2, S, 192), all bins (B, 2, S, 1025), short (B, 1, 4 S, 257)."""
    batch, frames, _ = spectra.shape
    long = spectra[..., : 2 * LONG_BINS].reshape(batch, frames, 2, LONG_BINS).transpose(1, 2)
    short = spectra[..., 2 * LONG_BINS :].reshape(batch, 1, frames * SHORT_COLUMNS, SHORT_BINS)
    return long[..., :_TONE_BINS], long, short


class SpectrumCritic(nn.Module):
    """Convolutions over time and frequency, (B, C, T, F) -> features of every layer, the last one a map of scores."""

    def __init__(self, channels: int, width: int, strides: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        # One more channel says how high a bin lies: a hiss is right above and wrong below.
        sizes = [channels + 1, *[width * min(2**depth, 4) for depth in range(len(strides))]]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(sizes[depth], sizes[depth + 1], (3, 7), stride, (1, 3)))
            for depth, stride in enumerate(strides)
        )
        self.score = weight_norm(nn.Conv2d(sizes[-1], 1, (3, 3), 1, (1, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        height = torch.linspace(-1, 1, x.shape[-1], device=x.device, dtype=x.dtype)
        h = torch.cat([x, height.expand(x.shape[0], 1, x.shape[2], -1)], 1)
        found = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.2)
            found.append(h)
        return [*found, self.score(h)]


class Critics(nn.Module):
    """One critic for each of ``views``."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.tones = SpectrumCritic(2, width, ((1, 2), (1, 2), (2, 2), (1, 2)))
        self.colour = SpectrumCritic(2, width, ((1, 4), (2, 4), (2, 2), (1, 2)))
        self.attacks = SpectrumCritic(1, width, ((1, 4), (2, 2), (2, 2), (1, 2)))

    def forward(self, spectra: Tensor) -> list[list[Tensor]]:
        pairs = zip((self.tones, self.colour, self.attacks), views(spectra), strict=True)
        return [critic(view) for critic, view in pairs]


def hinge(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """The critics' loss: 2 where they cannot tell, 0 where they can by a margin."""
    parts = [
        F.relu(1 - r[-1].float()).mean() + F.relu(1 + m[-1].float()).mean() for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(parts).mean()


def fooled(made: list[list[Tensor]]) -> Tensor:
    """What the decoder wants to be small: the less, the better its spectra pass."""
    return torch.stack([-maps[-1].float().mean() for maps in made]).mean()


def matched(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """How far the critics' features of both are apart, relative to their size."""
    pairs = [
        (r.detach().float(), m.float())
        for rs, ms in zip(real, made, strict=True)
        for r, m in zip(rs[:-1], ms[:-1], strict=True)
    ]
    return torch.stack([(m - r).abs().mean() / (r.abs().mean() + 1e-3) for r, m in pairs]).mean()


class BandDistance(nn.Module):
    """How far energies in bands are apart, in units of 10 dB, over spans of three lengths.

    The mean of logarithms is not the logarithm of the mean: a decoder that is right about the first by all distances of
    bins is too soft wherever it is not sure. Bands of energy, summed before the logarithm, say so.
    """

    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bands", _mel_bands(), persistent=False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Two of (B, S, SPECTRAL_CHANNELS), S a multiple of the longest span -> ()."""
        a, b = (expand(spectra)[0].square() @ self.bands for spectra in (made, real))
        parts = []
        for span in _SPANS:
            sums = [energy.reshape(len(energy), -1, span, 2, _BANDS).mean(2) for energy in (a, b)]
            # What is 60 dB under the loudest of its crop is not heard.
            floor = sums[1].amax((1, 2, 3), keepdim=True) * 1e-6 + 1e-9
            levels = [torch.log10(energy + floor) for energy in sums]
            parts.append((levels[0] - levels[1]).abs().mean())
        return torch.stack(parts).mean()


def _mel_bands() -> Tensor:
    """(LONG_BINS, 48): triangles evenly spaced on the mel scale, none empty."""
    mels = torch.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), _BANDS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    hz = torch.arange(LONG_BINS) * SAMPLE_RATE_HZ / LONG_FFT
    rising = (hz[:, None] - corners[:-2]) / corners.diff()[:-1]
    falling = (corners[2:] - hz[:, None]) / corners.diff()[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    nearest = (hz[:, None] - corners[1:-1]).abs().argmin(0)
    triangles[nearest, torch.arange(_BANDS)] += 0.1
    return triangles


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def share_of(loss: Tensor, made: Tensor, share: float) -> Tensor:
    """The gradient of ``loss`` by ``made``, scaled to a norm of ``share``."""
    (found,) = torch.autograd.grad(loss, made, retain_graph=True)
    scaled: Tensor = found * (share / (found.norm() + 1e-12))
    return scaled


class Adversary:
    """The critics, their optimiser, and what they say to the decoder. ``parts`` belong into a checkpoint."""

    def __init__(self, device: torch.device) -> None:
        self.critics = Critics().to(device)
        self.optimiser = torch.optim.AdamW(self.critics.parameters(), CRITIC_RATE, (0.8, 0.95), weight_decay=0.0)

    @property
    def parts(self) -> dict[str, object]:
        return {"critics": self.critics, "critic_optimiser": self.optimiser}

    def gradient(self, made: Tensor, real: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """What to add to the gradient of the plain distance by ``made``, in units of that gradient's norm; and losses.

        The critics learn from the same look at both, once.
        """
        leaf = made.detach().requires_grad_()
        with torch.autocast(made.device.type, torch.bfloat16):
            of_real, of_made = self.critics(real), self.critics(leaf)
        own = hinge(of_real, of_made)
        losses = {"fooled": fooled(of_made), "matched": matched(of_real, of_made)}
        ramp = min(1.0, step / RAMP_STEPS)
        told = share_of(losses["fooled"], leaf, ramp * FOOLED_SHARE)
        told = told + share_of(losses["matched"], leaf, ramp * MATCHED_SHARE)
        self._learn(own)
        return told, {"critic": own.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    def _learn(self, loss: Tensor) -> None:
        weights = list(self.critics.parameters())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        self.optimiser.step()
