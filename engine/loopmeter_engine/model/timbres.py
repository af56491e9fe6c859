"""What the decoder is told of the players: who hits or plays which note when, on which instrument.

Latents carry 64 values a frame, and a small decoder gives the mean of all the instruments that they may stand for: a
kick begins somewhere in 46 ms, a reese sounds half like a plucked bass. Our scores know both. Each layer has a small
network of its own, which hears the layer's onsets (to 12 ms) and notes through the layer's family and macro controls
(FiLM, Perez et al. 2018); what they say together corrects the decoder's last features. Beside them ``players.py`` says
what each note and hit would sound like by itself; the result lies between both, band by band, wherever was learned to
be best.

Features are read a second back and a frame ahead, never what was decoded before: there is no state, and any split of a
stream gives equal spectra.

Reading order: ``TimbresConfig``, ``LayerVoice``, ``Timbres``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loopmeter import LAYERS, Layer
from loopmeter_engine.conditioning import (
    AHEAD_FRAMES,
    CLOCK_CHANNELS,
    FRAME_CHANNELS,
    FRAME_S,
    FX_CHANNELS,
    GLOBAL_CHANNELS,
    NOTE_ROWS,
    ONSET_ROWS,
    PITCHES,
    RELEASE_FRAMES,
    SLOTS,
    VOICE_CHANNELS,
    instrument_of,
)
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    SHORT_BINS,
    SHORT_COLUMNS,
    SPECTRAL_CHANNELS,
    SUBFRAMES,
    Change,
)
from loopmeter_engine.model.players import Players, band_shapes
from loopmeter_engine.score import DRUMS, FAMILIES, FX_KINDS, MACROS, TONAL_LAYERS

assert SLOTS == SUBFRAMES, "onsets are told in steps of spectral frames"
_TAPS = 24  # Of the filters over onsets: 4 slots ahead, 19 behind.
_AHEAD_SLOTS = AHEAD_FRAMES * SLOTS
ONSET_REACH = RELEASE_FRAMES * SLOTS + 1 + _AHEAD_SLOTS
TRACES_S = (0.03, 0.12, 0.5)  # Time constants of how an onset is remembered.
SAID_LONG, SAID_SHORT = 24, 12  # Bands in which the players are heard, and in which they are mixed in.
_MIX_AT_FIRST = -2.0  # The players begin with an eighth of the say.
SAID_CHANNELS = 2 * SAID_LONG + SHORT_COLUMNS * SAID_SHORT


@dataclass(frozen=True)
class TimbresConfig:
    """``voice``: channels of one layer's network. ``hidden``: of the correction. ``rank``: of the
    head's change. ``player``: width of the networks of notes and hits."""

    voice: int = 80
    hidden: int = 704
    rank: int = 40
    player: int = 128
    decoder_width: int = 640


def part_channels(layer: Layer) -> int:
    """How much a layer's network hears of its part, for each spectral frame."""
    onsets = len(_rows_of(layer)) * (_TAPS + len(TRACES_S))
    return onsets + (2 * PITCHES if layer in TONAL_LAYERS else FX_CHANNELS if layer == "fx" else 0)


def instrument_channels(layer: Layer) -> int:
    """Whether it plays, its family, its macro controls."""
    return 1 + len(FAMILIES[layer]) + len(MACROS)


def _rows_of(layer: Layer) -> list[int]:
    """The rows of onsets that belong to a layer."""
    if layer == "drums":
        return [len(TONAL_LAYERS) + index for index in range(len(DRUMS))]
    if layer == "fx":
        return [len(TONAL_LAYERS) + len(DRUMS) + index for index in range(len(FX_KINDS))]
    return [TONAL_LAYERS.index(layer)]


class LayerVoice(nn.Module):
    """One layer's part, (B, 4 T, part) -> (B, 4 T, voice), heard through its instrument."""

    def __init__(self, part: int, instrument: int, voice: int) -> None:
        super().__init__()
        self.inp = nn.Linear(part, voice)
        self.middle = nn.Linear(voice, voice)
        self.instrument = nn.Linear(instrument, 4 * voice)
        nn.init.zeros_(self.instrument.bias)

    def forward(self, part: Tensor, instrument: Tensor) -> Tensor:
        """``instrument`` (B, T, .): of each latent frame."""
        heard = self.instrument(instrument).repeat_interleave(SUBFRAMES, 1)
        scale, shift, scale_2, shift_2 = heard.chunk(4, -1)
        h = F.gelu(self.inp(part) * (1 + scale) + shift)
        return F.gelu(self.middle(h) * (1 + scale_2) + shift_2)


class Timbres(nn.Module):
    """Corrects the decoder's features and mixes the players in; where it is not trusted it changes nothing."""

    traces: Tensor
    said_long: Tensor
    said_short: Tensor
    mean_long: Tensor
    mean_short: Tensor

    def __init__(self, config: TimbresConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TimbresConfig()
        voice, hidden, width, rank = config.voice, config.hidden, config.decoder_width, config.rank
        voices: dict[str, nn.Module] = {}
        for layer in LAYERS:
            voices[layer] = LayerVoice(part_channels(layer), instrument_channels(layer), voice)
        self.voices = nn.ModuleDict(voices)
        self.norm = nn.LayerNorm(width)
        self.inp = nn.Linear(width + len(LAYERS) * voice + SAID_CHANNELS, hidden)
        self.correct = nn.Linear(hidden, width)
        self.narrow = nn.Linear(hidden, rank, bias=False)
        self.widen = nn.Linear(rank, SPECTRAL_CHANNELS)
        self.mix = nn.Linear(hidden, SAID_CHANNELS)
        self.players = Players(config.player)
        for last in (self.correct, self.widen, self.mix):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        nn.init.constant_(self.mix.bias, _MIX_AT_FIRST)
        self.register_buffer("said_long", band_shapes(SAID_LONG, LONG_BINS, 4), persistent=False)
        self.register_buffer("said_short", band_shapes(SAID_SHORT, SHORT_BINS, 4), persistent=False)
        for name, shape in (("mean_long", self.said_long), ("mean_short", self.said_short)):
            self.register_buffer(name, (shape / shape.sum(1, keepdim=True)).T, persistent=False)
        self.register_buffer("traces", _traces(), persistent=False)

    def forward(self, h: Tensor, told: Tensor, rolls: Tensor) -> Change:
        """What to add to ``h`` (B, 4 T, width), the decoder's last features, and to what comes of them.

        ``told`` (B, RELEASE_FRAMES + T + AHEAD_FRAMES, TOLD_CHANNELS) as ``conditioning.told_of`` makes it, ``rolls``
        (B, T, PARTIAL_CHANNELS) as ``partial_rolls`` makes it of the same features.
        """
        parts = [FRAME_CHANNELS, GLOBAL_CHANNELS, 1, VOICE_CHANNELS]
        features, style, trust, voices = torch.split(told, parts, -1)
        style, trust, voices = (part[:, RELEASE_FRAMES:-AHEAD_FRAMES] for part in (style, trust, voices))
        clock = features[:, RELEASE_FRAMES:-AHEAD_FRAMES, -CLOCK_CHANNELS:]
        sounds = self.players(voices, style, clock)
        steady, played = sounds.spectra()
        said = [*self._voices(features, style, rolls), self._in_bands(steady)]
        hidden = F.gelu(self.inp(torch.cat([self.norm(h), *said], -1)))
        fine = trust.repeat_interleave(SUBFRAMES, 1)
        share = self._over_bins(torch.sigmoid(self.mix(hidden)))
        spectra = self.widen(self.narrow(hidden)) + (played - steady)  # What meets meets in the decoder's, too.
        sung = None if sounds.sung is None else sounds.sung * (fine == 1)[..., None]
        return Change(self.correct(hidden) * fine, spectra * fine, played, share * fine, sung)

    def _in_bands(self, spectra: Tensor) -> Tensor:
        """(B, S, SPECTRAL_CHANNELS) -> (B, S, SAID_CHANNELS), means over bands."""
        long, short = torch.split(spectra, [2 * LONG_BINS, SHORT_COLUMNS * SHORT_BINS], -1)
        return torch.cat([_each(long, self.mean_long), _each(short, self.mean_short)], -1)

    def _over_bins(self, bands: Tensor) -> Tensor:
        """(B, S, SAID_CHANNELS) -> (B, S, SPECTRAL_CHANNELS), lines from band to band."""
        long, short = torch.split(bands, [2 * SAID_LONG, SHORT_COLUMNS * SAID_SHORT], -1)
        return torch.cat([_each(long, self.said_long), _each(short, self.said_short)], -1)

    def _voices(self, features: Tensor, style: Tensor, rolls: Tensor) -> list[Tensor]:
        """What each layer's network says, (B, 4 T, voice)."""
        batch, frames, _ = rolls.shape
        fine = features[..., 2 * NOTE_ROWS : 2 * NOTE_ROWS + SLOTS * ONSET_ROWS].reshape(batch, -1, ONSET_ROWS)
        # (B, 4 T, rows, reach): onsets from a second before each spectral frame to a latent frame after it.
        around = fine.unfold(1, ONSET_REACH, 1)
        near, remembered = around[..., ONSET_REACH - _TAPS :], _each(around, self.traces)
        said = []
        for layer in LAYERS:
            rows = _rows_of(layer)
            parts = [near[:, :, rows].flatten(2), remembered[:, :, rows].flatten(2)]
            if layer in TONAL_LAYERS:
                begin = TONAL_LAYERS.index(layer) * PITCHES
                notes = rolls.reshape(batch, frames, 2, NOTE_ROWS)[..., begin : begin + PITCHES].flatten(2)
                parts.append(notes.repeat_interleave(SUBFRAMES, 1))
            elif layer == "fx":
                first = 2 * NOTE_ROWS + SLOTS * ONSET_ROWS
                effects = features[:, RELEASE_FRAMES:-AHEAD_FRAMES, first : first + FX_CHANNELS]
                parts.append(effects.repeat_interleave(SUBFRAMES, 1))
            said.append(self.voices[layer](torch.cat(parts, -1), torch.cat(instrument_of(style, layer), -1)))
        return said


def _each(x: Tensor, matrix: Tensor) -> Tensor:
    """(..., count * n) times (n, m), for each of the count: (..., count * m).

    As one product: of a part of a tensor ``matmul`` makes many small ones.
    """
    found = x.reshape(-1, matrix.shape[0]) @ matrix.to(x.dtype)
    return found.reshape(*x.shape[:-1], -1)


def _traces() -> Tensor:
    """(reach, traces): weights of an onset by how long ago it was; none for those to come."""
    ago = torch.arange(RELEASE_FRAMES * SLOTS, -_AHEAD_SLOTS - 1, -1) * FRAME_S / SLOTS
    return torch.stack([torch.where(ago >= 0, torch.exp(-ago / decay), 0.0) for decay in TRACES_S], -1)
