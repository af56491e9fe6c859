"""The autoencoder: 44.1 kHz stereo to 64 values at 21.53 frames/s, and back, streaming.

Departures from the papers it follows (Vocos, Siuzdak 2023; ConvNeXt, Liu et al. 2022):

* The encoder sees magnitudes only (mid and side, a long and a short window), so latents carry no phase: the
  diffusion model need not predict what nobody hears.
* The decoder's convolutions look a stated number of frames ahead and otherwise back, so that it streams with a
  state of constant size. ``decode`` of a whole sequence and any split of ``step`` calls give equal samples.
* Noise channels enter the decoder at its high rate: hiss and snares need randomness that latents do not carry.

Reading order: ``AutoencoderConfig``, ``ConvBlock``, ``Encoder``, ``Decoder``, ``Autoencoder``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_RATE_HZ = 44_100
FRAME_SAMPLES = 2048  # One latent frame: 46.4 ms.


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes. Rates follow from ``FRAME_SAMPLES``: encoder 4, decoder ``2048 / hop`` sub-frames per latent frame."""

    latent: int = 64
    encoder_width: int = 384
    encoder_blocks: int = 2
    encoder_width_low: int = 512
    encoder_blocks_low: int = 4
    decoder_width_low: int = 512
    decoder_kernel: int = 7
    decoder_ahead_low: tuple[int, ...] = (1, 1, 1, 0, 0, 0)  # Latent frames each block looks ahead.
    decoder_width: int = 384
    decoder_ahead: tuple[int, ...] = (2, 2, 2, 2)  # Sub-frames; the sum must fill whole latent frames.
    noise: int = 32
    fft: int = 1024
    hop: int = 256

    @property
    def subframes(self) -> int:
        return FRAME_SAMPLES // self.hop

    @property
    def lookahead(self) -> int:
        """Latent frames the decoder must know beyond the last one that it turns to sound."""
        assert sum(self.decoder_ahead) % self.subframes == 0
        return sum(self.decoder_ahead_low) + sum(self.decoder_ahead) // self.subframes


def mid_side(stereo: Tensor) -> Tensor:
    """(B, 2, N) left/right -> (B, 2, N) mid/side; mid is the mono mix."""
    return torch.stack([stereo[:, 0] + stereo[:, 1], stereo[:, 0] - stereo[:, 1]], 1) * 0.5


def left_right(mid_side_pcm: Tensor) -> Tensor:
    """(B, 2, N) mid/side -> (B, 2, N) left/right."""
    mid, side = mid_side_pcm[:, 0], mid_side_pcm[:, 1]
    return torch.stack([mid + side, mid - side], 1)


class ConvBlock(nn.Module):
    """A ConvNeXt block over time, (B, T, C) -> (B, T - ahead - behind, C) on ready-padded input."""

    def __init__(self, width: int, kernel: int, ahead: int) -> None:
        super().__init__()
        self.kernel, self.ahead, self.behind = kernel, ahead, kernel - 1 - ahead
        self.depthwise = nn.Parameter(torch.randn(kernel, width) / kernel**0.5)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 3 * width)
        self.down = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1] - self.kernel + 1
        h = x[:, :frames] * self.depthwise[0]
        for tap in range(1, self.kernel):
            h = h + x[:, tap : tap + frames] * self.depthwise[tap]
        h = self.down(F.gelu(self.up(self.norm(h))))
        return x[:, self.behind : self.behind + frames] + self.scale * h


class Encoder(nn.Module):
    """Magnitudes in, latents out. Not causal: it only ever sees whole material."""

    WINDOWS = ((2048, 512), (512, 128))  # (fft, hop); mid and side in the long one, mid alone in the short one.

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width, low = config.encoder_width, config.encoder_width_low
        for fft, _ in self.WINDOWS:
            self.register_buffer(f"window_{fft}", torch.hann_window(fft), persistent=False)
        self.inp = nn.Linear(2 * 1025 + 4 * 257, width)
        self.blocks = nn.ModuleList(ConvBlock(width, 7, 3) for _ in range(config.encoder_blocks))
        self.merge = nn.Linear(4 * width, low)
        self.blocks_low = nn.ModuleList(ConvBlock(low, 3, 1) for _ in range(config.encoder_blocks_low))
        self.norm = nn.LayerNorm(low)
        self.out = nn.Linear(low, config.latent)

    def magnitudes(self, stereo: Tensor) -> Tensor:
        """(B, 2, T * 2048) -> (B, 4 T, 3078): log1p of scaled magnitudes, four sub-frames per latent frame."""
        pcm = mid_side(stereo)
        batch, _, samples = pcm.shape
        (fft, hop), (fft_short, hop_short) = self.WINDOWS
        long = self._stft(pcm.flatten(0, 1), fft, hop).reshape(batch, 2, -1, 1025).transpose(1, 2).flatten(2)
        short = self._stft(pcm[:, 0], fft_short, hop_short).reshape(batch, samples // 512, 4 * 257)
        return torch.cat([torch.log1p(10 * long), torch.log1p(40 * short)], -1) * 0.5

    def _stft(self, pcm: Tensor, fft: int, hop: int) -> Tensor:
        """(B, N) -> (B, N / hop, fft / 2 + 1); frame i is centred on its own hop, at hop * (i + 1/2)."""
        margin = (fft - hop) // 2
        window = self.get_buffer(f"window_{fft}")
        return (
            torch.stft(F.pad(pcm, (margin, margin)), fft, hop, window=window, center=False, return_complex=True)
            .abs()
            .transpose(1, 2)
        )

    def forward(self, stereo: Tensor) -> Tensor:
        with torch.autocast(stereo.device.type, enabled=False):
            features = self.magnitudes(stereo.float())
        h = self.inp(features)
        for block in self.blocks:
            h = block(F.pad(h, (0, 0, 3, 3)))
        h = self.merge(h.reshape(h.shape[0], h.shape[1] // 4, -1))
        for block in self.blocks_low:
            h = block(F.pad(h, (0, 0, 1, 1)))
        latents: Tensor = self.out(self.norm(h))
        return latents


@dataclass
class DecoderState:
    """What the decoder remembers between calls: a few past frames per block and the overlap of the last windows.

    ``frames_low`` and ``frames`` count what each block has seen, to silence outputs from before the start.
    """

    caches: list[Tensor]  # One per block, (B, kernel - 1, width), low blocks first.
    noise: Tensor  # (B, n, noise): handed in, not yet used, since the low blocks lag behind.
    overlap: Tensor  # (B, channels, fft - hop)
    seen: list[int]  # Inputs seen so far, one per block.


class Decoder(nn.Module):
    """Latents in, sound out: mid and side through one inverse STFT each."""

    window: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        low, width, kernel = config.decoder_width_low, config.decoder_width, config.decoder_kernel
        self.register_buffer("window", torch.hann_window(config.fft), persistent=False)
        self.inp = nn.Linear(config.latent, low)
        self.blocks_low = nn.ModuleList(ConvBlock(low, kernel, ahead) for ahead in config.decoder_ahead_low)
        self.split = nn.Linear(low, config.subframes * width)
        self.noise = nn.Linear(config.noise, width, bias=False)
        self.blocks = nn.ModuleList(ConvBlock(width, kernel, ahead) for ahead in config.decoder_ahead)
        self.norm = nn.LayerNorm(width)
        self.bins = config.fft // 2 + 1
        self.head = nn.ModuleList(nn.Linear(width, 2 * self.bins) for _ in range(2))  # Mid, side.

    def init_state(self, batch: int, channels: int, device: torch.device | None = None) -> DecoderState:
        config = self.config
        widths = [config.decoder_width_low] * len(self.blocks_low) + [config.decoder_width] * len(self.blocks)
        return DecoderState(
            [torch.zeros(batch, config.decoder_kernel - 1, width, device=device) for width in widths],
            torch.zeros(batch, 0, config.noise, device=device),
            torch.zeros(batch, channels, config.fft - config.hop, device=device),
            [0] * len(widths),
        )

    def step(self, latents: Tensor, noise: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """(B, T, 64), (B, 8 T, noise) -> mid or mid and side (B, channels, 2048 T'), and the state after.

        The stream as a whole yields ``T - lookahead`` frames: the first calls return fewer than they were given.
        """
        caches, seen = list(state.caches), list(state.seen)
        noise = torch.cat([state.noise, noise], 1)
        h = self._run(self.blocks_low, 0, self.inp(latents), caches, seen)
        used = h.shape[1] * self.config.subframes
        h = self.split(h).reshape(h.shape[0], used, self.config.decoder_width) + self.noise(noise[:, :used])
        h = self._run(self.blocks, len(self.blocks_low), h, caches, seen)
        if h.shape[1] == 0:
            nothing = latents.new_zeros(latents.shape[0], state.overlap.shape[1], 0)
            return nothing, DecoderState(caches, noise[:, used:], state.overlap, seen)
        pcm, overlap = self._overlap_add(self.spectrum(h, state.overlap.shape[1]), state.overlap)
        return pcm, DecoderState(caches, noise[:, used:], overlap, seen)

    def decode(self, latents: Tensor, noise: Tensor, channels: int = 2) -> Tensor:
        """(B, T, 64) -> (B, channels, 2048 (T - lookahead)): the whole at once."""
        return self.step(latents, noise, self.init_state(latents.shape[0], channels, latents.device))[0]

    def _run(self, blocks: nn.ModuleList, first: int, h: Tensor, caches: list[Tensor], seen: list[int]) -> Tensor:
        for offset, block in enumerate(blocks):
            assert isinstance(block, ConvBlock)
            index = first + offset
            if h.shape[1] == 0:
                return h
            x = torch.cat([caches[index].to(h.dtype), h], 1)
            fresh = max(0, block.ahead - seen[index])  # Outputs that would lie before the start of the stream.
            caches[index], seen[index] = x[:, x.shape[1] - (block.kernel - 1) :], seen[index] + h.shape[1]
            h = block(x)[:, fresh:] if x.shape[1] >= block.kernel else h[:, :0]
        return h

    def spectrum(self, h: Tensor, channels: int) -> Tensor:
        """(B, S, width) -> complex (B, channels, S, bins). Magnitude and phase apart, as in Vocos."""
        h = self.norm(h)
        parts = []
        for head in list(self.head)[:channels]:
            magnitude, phase = head(h).float().split(self.bins, -1)
            parts.append(torch.polar(torch.exp(magnitude.clamp(max=7.0)), phase))
        return torch.stack(parts, 1)

    def _overlap_add(self, spectrum: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of ``fft`` every ``hop`` samples, window s starting at sample ``hop * s``: no wait for later ones."""
        config = self.config
        batch, channels, count, _ = spectrum.shape
        # Hann squared at 75 % overlap adds up to 1.5.
        frames = torch.fft.irfft(spectrum, config.fft) * (self.window / 1.5)
        columns = frames.reshape(batch * channels, count, config.fft).transpose(1, 2)
        samples = (count - 1) * config.hop + config.fft
        total = F.fold(columns, (1, samples), (1, config.fft), stride=(1, config.hop)).reshape(batch, channels, samples)
        total = torch.cat([total[..., : overlap.shape[-1]] + overlap, total[..., overlap.shape[-1] :]], -1)
        ready = count * config.hop
        return total[..., :ready], total[..., ready:]


class Autoencoder(nn.Module):
    """Encoder, decoder, and the latents' own scale: latents handed out have zero mean and unit variance per value."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.register_buffer("mean", torch.zeros(self.config.latent))
        self.register_buffer("std", torch.ones(self.config.latent))

    def encode(self, stereo: Tensor) -> Tensor:
        """(B, 2, T * 2048) in [-1, 1] -> normalised latents (B, T, 64)."""
        return (self.encoder(stereo).float() - self.mean) / self.std

    def decode(self, latents: Tensor, noise: Tensor, channels: int = 2) -> Tensor:
        """Normalised latents (B, T, 64) -> mid, or mid and side, (B, channels, 2048 (T - lookahead))."""
        return self.decoder.decode(latents, noise, channels)

    def noise(self, frames: int, generator: torch.Generator, batch: int = 1) -> Tensor:
        """Decoder noise for ``frames`` latent frames, made on the CPU so that every device gets the same."""
        return torch.randn(batch, frames * self.config.subframes, self.config.noise, generator=generator)
