"""What the autoencoder is trained against: spectra at many resolutions, and a discriminator that listens to spectra.

The discriminator follows the multi-scale complex STFT one of EnCodec (Defossez et al. 2022, section 3.4), with
power-compressed spectra so that quiet sounds count, and mid and side seen together.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class SpectralLoss(nn.Module):
    """Distance of magnitudes, log and linear, summed over window lengths. (B, C, N) pcm in, scalar out.

    Long windows punish partials whose phase does not run on from frame to frame; short ones punish smeared attacks.
    """

    def __init__(self, ffts: tuple[int, ...] = (8192, 4096, 2048, 1024, 512, 256, 128), floor: float = 1e-4) -> None:
        super().__init__()
        self.ffts, self.floor = ffts, floor
        for fft in ffts:
            self.register_buffer(f"window_{fft}", torch.hann_window(fft), persistent=False)

    def magnitudes(self, pcm: Tensor, fft: int) -> Tensor:
        window = self.get_buffer(f"window_{fft}")
        spectrum = torch.stft(pcm, fft, fft // 4, window=window, center=True, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power + 1e-12).sqrt() * (2 / float(fft) * 2)

    def forward(self, pcm: Tensor, target: Tensor) -> Tensor:
        total = pcm.new_zeros(())
        pcm, target = pcm.flatten(0, 1), target.flatten(0, 1)
        for fft in self.ffts:
            a, b = self.magnitudes(pcm, fft), self.magnitudes(target, fft)
            log = ((a + self.floor).log() - (b + self.floor).log()).abs().mean()
            linear = (a - b).abs().sum() / (b.sum() + 1e-3)
            total = total + log + linear
        return total / len(self.ffts)


class ScaleDiscriminator(nn.Module):
    """One resolution: (B, 2, N) mid/side -> a map of scores, and the maps inside for feature matching."""

    def __init__(self, fft: int, width: int = 24) -> None:
        super().__init__()
        self.fft = fft
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        sizes = [4, width, width, 2 * width, 2 * width]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (3, 7), stride=(1, 2), padding=(1, 3))) for a, b in itertools.pairwise(sizes)
        )
        self.last = weight_norm(nn.Conv2d(sizes[-1], 2 * width, (3, 3), padding=1))
        self.out = weight_norm(nn.Conv2d(2 * width, 1, (3, 3), padding=1))

    def forward(self, pcm: Tensor) -> tuple[Tensor, list[Tensor]]:
        window = self.get_buffer("window")
        with torch.autocast(pcm.device.type, enabled=False):
            s = torch.stft(pcm.float().flatten(0, 1), self.fft, self.fft // 4, window=window, return_complex=True)
            s = s * (4 / self.fft)
            s = torch.view_as_real(s) * ((s.real.square() + s.imag.square() + 1e-8) ** -0.35)[..., None]
        x = s.unflatten(0, (-1, 2)).permute(0, 1, 4, 3, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        maps = []
        for conv in [*self.convs, self.last]:
            x = F.leaky_relu(conv(x), 0.2)
            maps.append(x)
        return self.out(x), maps


class Discriminator(nn.Module):
    def __init__(self, ffts: tuple[int, ...] = (4096, 2048, 1024, 512, 256)) -> None:
        super().__init__()
        self.scales = nn.ModuleList(ScaleDiscriminator(fft) for fft in ffts)

    def forward(self, pcm: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        return [scale(pcm) for scale in self.scales]


def discriminator_loss(real: list[tuple[Tensor, list[Tensor]]], fake: list[tuple[Tensor, list[Tensor]]]) -> Tensor:
    """Hinge loss, mean over scales."""
    losses = [
        F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for (r, _), (f, _) in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_losses(
    real: list[tuple[Tensor, list[Tensor]]], fake: list[tuple[Tensor, list[Tensor]]]
) -> tuple[Tensor, Tensor]:
    """(adversarial, feature matching), means over scales; the latter relative to the size of the real maps."""
    adversarial = torch.stack([-score.float().mean() for score, _ in fake]).mean()
    matching = torch.stack(
        [
            (a.float() - b.detach().float()).abs().mean() / (b.detach().float().abs().mean() + 1e-5)
            for (_, maps_real), (_, maps_fake) in zip(real, fake, strict=True)
            for b, a in zip(maps_real, maps_fake, strict=True)
        ]
    ).mean()
    return adversarial, matching
