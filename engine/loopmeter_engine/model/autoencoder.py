"""The autoencoder: 44.1 kHz stereo to 64 values at 21.53 frames/s, and back to magnitudes, streaming.

Sound is seen as magnitudes in two windows: a long one of mid and side, which shows pitch, and a short one of mid,
which shows attacks. Encoder and decoder are stacks of ConvNeXt blocks (Liu et al. 2022) between such spectra and the
latents; ``phase.py`` finds the phases. A decoder that predicts phases itself (Vocos, Siuzdak 2023) was tried first and
given up: see docs/training-log.md.

The decoder may be told which notes sound. Pitch is what a small network learns last, and our scores know it: a table
gives each note its comb of partials, the latents say all else. Without a score it decodes too, less sharply.

The decoder's convolutions look a stated number of frames ahead and otherwise back, so that it streams with a state of
constant size: ``decode`` of a whole sequence and any split of ``step`` calls give equal magnitudes.

Reading order: ``AutoencoderConfig``, ``compress``, ``ConvBlock``, ``Encoder``, ``Decoder``, ``Autoencoder``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from loopmeter_engine.model.timbres import Timbres

SAMPLE_RATE_HZ = 44_100
FRAME_SAMPLES = 2048  # One latent frame: 46.4 ms.


SUBFRAMES = 4  # Spectral frames per latent frame: one every 512 samples.
LONG_FFT, LONG_HOP = 2048, 512
SHORT_FFT, SHORT_HOP = 512, 128
LONG_BINS, SHORT_BINS = LONG_FFT // 2 + 1, SHORT_FFT // 2 + 1
SHORT_COLUMNS = LONG_HOP // SHORT_HOP  # Short windows per spectral frame.
SUNG_BINS = 192  # 4.1 kHz of a long window: where phases of partials are told to ``phase.py``.
SPECTRAL_CHANNELS = 2 * LONG_BINS + SHORT_COLUMNS * SHORT_BINS  # Mid, side, then the short windows of mid.
_LONG_GAIN, _SHORT_GAIN, _SPECTRAL_SCALE = 10.0, 40.0, 0.5


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes. ``ahead_low`` counts latent frames, ``ahead`` spectral frames, of which the sum fills latent frames."""

    latent: int = 64
    partials: int = 640  # Channels of ``conditioning.partial_rolls``.
    encoder_width: int = 512
    encoder_blocks: int = 2
    encoder_width_low: int = 512
    encoder_blocks_low: int = 4
    decoder_width_low: int = 512
    decoder_kernel: int = 7
    decoder_ahead_low: tuple[int, ...] = (1, 1, 0, 0)
    decoder_width: int = 640
    decoder_ahead: tuple[int, ...] = (2, 2)

    @property
    def lookahead(self) -> int:
        """Latent frames the decoder must know beyond the last one that it turns into spectra."""
        assert sum(self.decoder_ahead) % SUBFRAMES == 0
        return sum(self.decoder_ahead_low) + sum(self.decoder_ahead) // SUBFRAMES


def stft(pcm: Tensor, fft: int, hop: int, window: Tensor) -> Tensor:
    """(B, N) -> complex (B, N / hop, fft / 2 + 1); frame i is centred on its own hop, at ``hop * (i + 1/2)``."""
    margin = (fft - hop) // 2
    padded = F.pad(pcm, (margin, margin))
    return torch.stft(padded, fft, hop, window=window, center=False, return_complex=True).transpose(1, 2)


def compress(long: Tensor, short: Tensor) -> Tensor:
    """Magnitudes to what the networks see, and hear errors in: (..., SPECTRAL_CHANNELS)."""
    return torch.cat([torch.log1p(_LONG_GAIN * long), torch.log1p(_SHORT_GAIN * short)], -1) * _SPECTRAL_SCALE


def expand(spectra: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of ``compress``: long (B, S, 2, 1025) of mid and side, short (B, 4 S, 257) of mid."""
    spectra = spectra.float().clamp(min=0) / _SPECTRAL_SCALE
    long = torch.expm1(spectra[..., : 2 * LONG_BINS]) / _LONG_GAIN
    short = torch.expm1(spectra[..., 2 * LONG_BINS :]) / _SHORT_GAIN
    return long.reshape(*long.shape[:-1], 2, LONG_BINS), short.reshape(short.shape[0], -1, SHORT_BINS)


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
            part = x[:, tap : tap + frames]
            # In place where no gradient is wanted: this part is bound by memory.
            if torch.is_grad_enabled():
                h = h + part * self.depthwise[tap]
            else:
                h.addcmul_(part, self.depthwise[tap])
        h = self.down(F.gelu(self.up(self.norm(h))))
        out: Tensor = x[:, self.behind : self.behind + frames] + self.scale * h
        return out


class Encoder(nn.Module):
    """Spectra in, latents out. Not causal: it only ever sees whole material."""

    window_long: Tensor
    window_short: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width, low = config.encoder_width, config.encoder_width_low
        self.register_buffer("window_long", torch.hann_window(LONG_FFT), persistent=False)
        self.register_buffer("window_short", torch.hann_window(SHORT_FFT), persistent=False)
        self.inp = nn.Linear(SPECTRAL_CHANNELS, width)
        self.blocks = nn.ModuleList(ConvBlock(width, 7, 3) for _ in range(config.encoder_blocks))
        self.merge = nn.Linear(SUBFRAMES * width, low)
        self.blocks_low = nn.ModuleList(ConvBlock(low, 3, 1) for _ in range(config.encoder_blocks_low))
        self.norm = nn.LayerNorm(low)
        self.out = nn.Linear(low, config.latent)

    def spectra(self, stereo: Tensor) -> Tensor:
        """(B, 2, T * 2048) -> (B, 4 T, SPECTRAL_CHANNELS)."""
        pcm = mid_side(stereo)
        long = stft(pcm.flatten(0, 1), LONG_FFT, LONG_HOP, self.window_long).abs()
        long = long.reshape(-1, 2, *long.shape[1:]).transpose(1, 2).flatten(2)
        short = stft(pcm[:, 0], SHORT_FFT, SHORT_HOP, self.window_short).abs()
        return compress(long, short.reshape(short.shape[0], -1, SHORT_COLUMNS * SHORT_BINS))

    def forward(self, spectra: Tensor) -> Tensor:
        h = self.inp(spectra)
        for block in self.blocks:
            h = block(F.pad(h, (0, 0, 3, 3)))
        h = self.merge(h.reshape(h.shape[0], h.shape[1] // SUBFRAMES, -1))
        for block in self.blocks_low:
            h = block(F.pad(h, (0, 0, 1, 1)))
        latents: Tensor = self.out(self.norm(h))
        return latents


@dataclass
class DecoderState:
    """What the decoder remembers between calls: a few past frames per block.

    ``caches``: one per block, (B, kernel - 1, width), low blocks first. ``seen``: inputs so far, one per block; outputs
    that would lie before the start of the stream are dropped by it.
    """

    caches: list[Tensor]
    seen: list[int]


@dataclass(frozen=True)
class Change:
    """What ``timbres.py`` does to the decoder's work: ``features`` (B, 4 T, width) and ``spectra``
    (B, 4 T, SPECTRAL_CHANNELS) are added; then the spectra come nearer to ``played`` by ``share`` 0..1 of the way,
    each (B, 4 T, SPECTRAL_CHANNELS). ``sung``: as in ``players.Played``, 0 where the score is not trusted wholly."""

    features: Tensor
    spectra: Tensor
    played: Tensor
    share: Tensor
    sung: Tensor | None


class Decoder(nn.Module):
    """Latents in, spectra out."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        low, width, kernel = config.decoder_width_low, config.decoder_width, config.decoder_kernel
        self.inp = nn.Linear(config.latent, low)
        self.blocks_low = nn.ModuleList(ConvBlock(low, kernel, ahead) for ahead in config.decoder_ahead_low)
        self.split = nn.Linear(low, SUBFRAMES * width)
        self.blocks = nn.ModuleList(ConvBlock(width, kernel, ahead) for ahead in config.decoder_ahead)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, SPECTRAL_CHANNELS)
        self.partials = nn.Linear(config.partials, LONG_BINS, bias=False)
        self.gate = nn.Linear(width, 2 * LONG_BINS)
        for value in (self.partials.weight, self.gate.weight, self.gate.bias):
            nn.init.zeros_(value)

    def init_state(self, batch: int, device: torch.device | None = None) -> DecoderState:
        config = self.config
        widths = [config.decoder_width_low] * len(self.blocks_low) + [config.decoder_width] * len(self.blocks)
        kept = config.decoder_kernel - 1
        return DecoderState([torch.zeros(batch, kept, width, device=device) for width in widths], [0] * len(widths))

    def step(self, latents: Tensor, rolls: Tensor | None, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """(B, T, 64) -> spectra (B, 4 T', SPECTRAL_CHANNELS), and the state after.

        The stream as a whole yields ``4 (T - lookahead)`` frames: the first calls return fewer than they were given.
        ``rolls`` (B, T', partials): the notes of the frames that come out; None where no score is known.
        """
        h, state = self.features(latents, state)
        return self.spectra(h, rolls), state

    def features(self, latents: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The part of ``step`` that has a state: (B, 4 T', width), from which ``spectra`` makes the rest."""
        caches, seen = list(state.caches), list(state.seen)
        h = self._run(self.blocks_low, 0, self.inp(latents), caches, seen)
        h = self.split(h).reshape(h.shape[0], h.shape[1] * SUBFRAMES, self.config.decoder_width)
        h = self._run(self.blocks, len(self.blocks_low), h, caches, seen)
        return h, DecoderState(caches, seen)

    def spectra(self, h: Tensor, rolls: Tensor | None, change: Change | None = None) -> Tensor:
        """The envelope, and on it the partials of the notes that sound.

        Spectra are logarithms: a note's comb of partials adds to the envelope whatever its level; the gate says how
        far it stands out, by bin, for mid and side.
        """
        h = self.norm(h if change is None else h + change.features)
        spectra: Tensor = self.head(h)
        if rolls is not None:
            comb = self.partials(rolls).repeat_interleave(SUBFRAMES, 1)
            long = spectra[..., : 2 * LONG_BINS] + 2 * torch.sigmoid(self.gate(h)) * comb.repeat(1, 1, 2)
            spectra = torch.cat([long, spectra[..., 2 * LONG_BINS :]], -1)
        if change is not None:
            spectra = spectra + change.spectra
            spectra = spectra + change.share * (change.played - spectra)
        return spectra

    def decode(self, latents: Tensor, rolls: Tensor | None = None) -> Tensor:
        """(B, T, 64) and rolls of the first T - lookahead frames -> (B, 4 (T - lookahead), SPECTRAL_CHANNELS)."""
        return self.step(latents, rolls, self.init_state(latents.shape[0], latents.device))[0]

    def _run(self, blocks: nn.ModuleList, first: int, h: Tensor, caches: list[Tensor], seen: list[int]) -> Tensor:
        for offset, block in enumerate(blocks):
            assert isinstance(block, ConvBlock)
            index = first + offset
            if h.shape[1] == 0:
                return h
            x = torch.cat([caches[index].to(h.dtype), h], 1)
            fresh = max(0, block.ahead - seen[index])  # Outputs that would lie before the start of the stream.
            caches[index], seen[index] = x[:, x.shape[1] - (block.kernel - 1) :], seen[index] + h.shape[1]
            h = block(x)[:, fresh:]
        return h


class Autoencoder(nn.Module):
    """Encoder, decoder, and the latents' own scale: latents handed out have zero mean and unit variance per value."""

    mean: Tensor
    std: Tensor
    timbres: Timbres | None

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.timbres = None  # What a decoder is told of the players, where that was trained.
        self.config = config or AutoencoderConfig()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.register_buffer("mean", torch.zeros(self.config.latent))
        self.register_buffer("std", torch.ones(self.config.latent))

    def encode(self, stereo: Tensor) -> Tensor:
        """(B, 2, T * 2048) in [-1, 1] -> normalised latents (B, T, 64)."""
        with torch.autocast(stereo.device.type, enabled=False):
            spectra = self.encoder.spectra(stereo.float())
        latents: Tensor = (self.encoder(spectra).float() - self.mean) / self.std
        return latents
