"""Spectra straight from the score: every note as partials and bands of noise, every hit as bands, powers added up.

One small network for all notes says, of a note of this pitch on this instrument so long after its onset, how loud its
partials are and the noise about them (harmonic plus noise, after Serra & Smith 1990 and Engel et al. 2020, but in
spectra: phases are found later). Another one does the same for hits. Powers of voices add, as the sounds do, so what
was learned of one voice holds in every mix.

A fixed number of voices is heard in each spectral frame, so that the work is the same whatever is played.

Reading order: ``Voices``, ``Players``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loopmeter_engine.conditioning import (
    HIT_FIELDS,
    HIT_VOICES,
    NOTE_FIELDS,
    NOTE_VOICES,
    PITCH_MIN,
    PITCHES,
    SLOTS,
    instrument_of,
)
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    SAMPLE_RATE_HZ,
    SHORT_BINS,
    SHORT_COLUMNS,
    SUBFRAMES,
    SUNG_BINS,
    compress,
)
from loopmeter_engine.model.ducking import Ducking
from loopmeter_engine.model.interference import Interference, ratios_of_kinds
from loopmeter_engine.partials import RATIOS
from loopmeter_engine.score import DRUMS, FAMILIES, MACROS, TONAL_LAYERS

LONG_BANDS, SHORT_BANDS = 112, 28
_EXACT_LONG, _EXACT_SHORT = 48, 6  # Bands of one bin each; those above grow with frequency.
_SUNG_SHARE = 0.5  # Of a bin's power, which partials have at least where their phases are told.
_LOBE = 2  # Bins on each side that a sinus reaches in the long window.
_SINCE_S, _OVER_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), (0.03, 0.1, 0.3, 1.0)  # Time constants of what may decay.
# How often a second a filter breathes and a pan swings, from a note's onset on: reese, warm; tremolo, rotor.
_SWAYS_HZ = (0.35, 1.25, 5.1, 6.3)
_WINDOW_S = LONG_FFT / SAMPLE_RATE_HZ / 2
_LEVEL, _QUIET = 4.0, -2.0  # Outputs to logarithms of magnitudes: how steep, and where they begin.
_AT_FIRST = -0.7  # Nearly silent.
_FAMILIES_MAX = max(len(families) for families in FAMILIES.values())
_PITCH_PLACES = 9
NOTE_CHANNELS = _PITCH_PLACES + len(_SINCE_S) + len(_OVER_S) + 5 + 2 * len(_SWAYS_HZ)
HIT_CHANNELS = len(DRUMS) + len(_SINCE_S) + 3
KIT_CHANNELS = len(FAMILIES["drums"]) + len(MACROS)
INSTRUMENT_CHANNELS = len(TONAL_LAYERS) * _FAMILIES_MAX + len(MACROS)
NOTE_OUT = RATIOS + LONG_BANDS + SHORT_COLUMNS * SHORT_BANDS + 1
HIT_OUT = LONG_BANDS + SHORT_COLUMNS * SHORT_BANDS + 1


@dataclass(frozen=True)
class Played:
    """Powers of all voices. ``long`` (B, S, 2, 1025) of mid and side, ``short`` (B, S, 4, 257) of mid; ``meeting``:
    ``long`` with partials that meet in a bin as loud as they are together at each moment, instead of on average;
    ``sung`` (B, S, 2, SUNG_BINS) complex of size 1: at which phase the partials meet at a frame's middle, 0 in bins
    where they are not most of what sounds. None in training."""

    long: Tensor
    short: Tensor
    meeting: Tensor
    sung: Tensor | None = None

    def spectra(self) -> tuple[Tensor, Tensor]:
        """(B, S, SPECTRAL_CHANNELS) each, as the decoder gives them: steady, and meeting."""
        long, short, meeting = ((power + 1e-10).sqrt().flatten(2) for power in (self.long, self.short, self.meeting))
        steady = compress(long, short)
        if self.meeting is self.long:
            return steady, steady
        return steady, torch.cat([compress(meeting, short[..., :0]), steady[..., 2 * LONG_BINS :]], -1)


class Voices(nn.Module):
    """(F, V, part) of voices, heard through what ``as_played`` gives -> (F, V, out)."""

    def __init__(self, part: int, instrument: int, width: int, out: int) -> None:
        super().__init__()
        self.inp, self.middle, self.last = nn.Linear(part, width), nn.Linear(width, width), nn.Linear(width, out)
        self.instrument = nn.Linear(instrument, 4 * width)
        nn.init.constant_(self.last.bias, _AT_FIRST)

    def as_played(self, instrument: Tensor) -> Tensor:
        """(..., instrument) -> (..., 4 width): scales and shifts."""
        found: Tensor = self.instrument(instrument)
        return found

    def forward(self, part: Tensor, played: Tensor) -> Tensor:
        scale, shift, scale_2, shift_2 = played.chunk(4, -1)
        h = F.gelu(torch.addcmul(shift, self.inp(part), 1 + scale))
        out: Tensor = self.last(F.gelu(torch.addcmul(shift_2, self.middle(h), 1 + scale_2)))
        return out


class Players(nn.Module):
    """Voices and instruments in, powers out."""

    long_bands: Tensor
    short_bands: Tensor
    lobes: Tensor
    lobe_bins: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.notes = Voices(NOTE_CHANNELS, INSTRUMENT_CHANNELS, width, NOTE_OUT)
        self.hits = Voices(HIT_CHANNELS, KIT_CHANNELS, width, HIT_OUT)
        self.interference, self.ducking = Interference(), Ducking()
        self.register_buffer("long_bands", band_shapes(LONG_BANDS, LONG_BINS, _EXACT_LONG), persistent=False)
        self.register_buffer("short_bands", band_shapes(SHORT_BANDS, SHORT_BINS, _EXACT_SHORT), persistent=False)
        lobes, bins = _lobes()
        self.register_buffer("lobes", lobes, persistent=False)
        self.register_buffer("lobe_bins", bins, persistent=False)

    def forward(self, voices: Tensor, style: Tensor, clock: Tensor) -> Played:
        """``voices`` (B, T, VOICE_CHANNELS), ``style`` (B, T, GLOBAL_CHANNELS) and ``clock`` (B, T, CLOCK_CHANNELS) of
        latent frames, T' = 4 T out."""
        batch, frames, _ = voices.shape
        split = NOTE_VOICES * NOTE_FIELDS
        each = voices.reshape(batch * frames * SLOTS, -1)
        notes = each[:, :split].reshape(-1, NOTE_VOICES, NOTE_FIELDS)
        hits = each[:, split:].reshape(-1, HIT_VOICES, HIT_FIELDS)
        style = style.reshape(batch * frames, -1)
        ducked = self.ducking(style, clock.reshape(batch * frames, -1))
        (partials, meeting, waves), bands, short = self._notes(notes, style, ducked)
        bands_of_hits, short_of_hits = self._hits(hits, style)
        with torch.autocast(voices.device.type, enabled=False):  # Powers span more than half precision holds.
            around = (bands + bands_of_hits) @ self.long_bands
            long = partials + around
            alive = long if meeting is partials else meeting + around
            whole = (short + short_of_hits) @ self.short_bands
        shape = (batch, frames * SUBFRAMES)
        steady = long.reshape(*shape, 2, LONG_BINS)
        alive = steady if alive is long else alive.reshape(*shape, 2, LONG_BINS)
        sung = None if waves is None else _sung(waves, alive.flatten(0, 1)).reshape(*shape, 2, SUNG_BINS)
        return Played(steady, whole.reshape(*shape, SHORT_COLUMNS, SHORT_BINS), alive, sung)

    def _notes(
        self, notes: Tensor, style: Tensor, ducked: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor | None], Tensor, Tensor]:
        """Powers of partials (F, 2, 1025), steady and meeting, of bands (F, 2, 112) and in short windows (F, 4, 28)."""
        row, since, over, velocity = notes.unbind(-1)
        layer, pitch = (row / PITCHES).floor().long().clamp(0, len(TONAL_LAYERS) - 1), row % PITCHES
        instruments = self.notes.as_played(_instruments_of_layers(style)).flatten(0, 1)
        frame = torch.arange(len(notes), device=notes.device) // SLOTS
        played = instruments[frame[:, None] * len(TONAL_LAYERS) + layer]
        long_ago = (since.clamp(min=0) * 10).log1p()
        times = [_times(since, _SINCE_S), _times(over, _OVER_S)]
        part = torch.cat([_places(pitch), *times, _touch(velocity), long_ago[..., None], _sways(since)], -1)
        out = self.notes(part, played).float()
        sounds = (velocity > 0) * ducked.gather(1, layer)
        power, aside = _powers(out[..., :-1], 8.0, sounds), _powers(out[..., -1:], 3.0)
        partials, bands, short = torch.split(power, [RATIOS, LONG_BANDS, SHORT_COLUMNS * SHORT_BANDS], -1)
        family = self.interference.families(style).repeat_interleave(SLOTS, 0).gather(1, layer)
        placed = self._placed(partials, aside, pitch, velocity > 0, family, since)
        both = torch.stack([bands.sum(1), (bands * aside).sum(1)], 1)
        return placed, both, short.sum(1).reshape(-1, SHORT_COLUMNS, SHORT_BANDS)

    def _placed(
        self, partials: Tensor, aside: Tensor, pitch: Tensor, sounds: Tensor, family: Tensor, since: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Partials (F, V, ratios) of voices at pitches (F, V), in bins of mid and side: (F, 2, 1025), as powers that
        add, as powers of waves that meet, and these waves, complex (F, 2, SUNG_BINS). In training, powers alone: they
        are what is learned."""
        frame, voice = sounds.nonzero(as_tuple=True)
        family, pitch = family[frame, voice], pitch[frame, voice]
        which = self.interference.kinds[family], pitch.long()
        bins = (self.lobe_bins[which] + (frame * 2 * LONG_BINS)[:, None, None]).flatten()
        lobes = self.lobes[which]
        powers = lobes.square()

        def in_bins(mid: Tensor, side: Tensor, lobes: Tensor) -> Tensor:
            found = torch.zeros(len(partials) * 2 * LONG_BINS, device=partials.device)
            for value, first in ((mid, 0), (side, LONG_BINS)):
                found[first:].index_add_(0, bins, (value[:, None] * lobes).flatten())
            return found.reshape(len(partials), 2, LONG_BINS)

        mid = partials[frame, voice]
        side = mid * aside[frame, voice]
        steady = in_bins(mid, side, powers)
        if self.training:
            return steady, steady, None
        of_mid, of_side = self.interference(family, pitch, since[frame, voice])
        size_mid, size_side = mid.sqrt(), side.sqrt()
        real = in_bins(size_mid * of_mid.x, size_side * of_side.x, lobes)
        imaginary = in_bins(size_mid * of_mid.y, size_side * of_side.y, lobes)
        loose = in_bins(mid * of_mid.loose, side * of_side.loose, powers)
        waves = torch.complex(real[..., :SUNG_BINS], imaginary[..., :SUNG_BINS])
        return steady, real.square() + imaginary.square() + loose, waves

    def _hits(self, hits: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Powers of bands (F, 2, 112), and in short windows (F, 4, 28)."""
        since, velocity = hits.unbind(-1)
        drum = torch.eye(len(DRUMS), device=hits.device).repeat_interleave(HIT_VOICES // len(DRUMS), 0)
        part = torch.cat([drum.expand(len(hits), -1, -1), _times(since, _SINCE_S), _touch(velocity)], -1)
        _, *drums = instrument_of(style, "drums")
        kit = self.hits.as_played(torch.cat(drums, -1)).repeat_interleave(SLOTS, 0)[:, None]
        out = self.hits(part, kit).float()
        power, aside = _powers(out[..., :-1], 8.0, (velocity > 0).float()), _powers(out[..., -1:], 3.0)
        bands, short = torch.split(power, [LONG_BANDS, SHORT_COLUMNS * SHORT_BANDS], -1)
        both = torch.stack([bands.sum(1), (bands * aside).sum(1)], 1)
        return both, short.sum(1).reshape(-1, SHORT_COLUMNS, SHORT_BANDS)


def _sung(waves: Tensor, power: Tensor) -> Tensor:
    """Waves (F, 2, SUNG_BINS) as ``Played.sung`` has them; ``power`` (F, 2, 1025) is all that sounds."""
    size = waves.abs()
    most = size.square() > _SUNG_SHARE * power[..., :SUNG_BINS]
    # Oscillators start as sines.
    return torch.where(most, waves * (-1j / size.clamp(min=1e-12)), 0.0)


def _powers(out: Tensor, loudest: float, share: Tensor | None = None) -> Tensor:
    """Outputs (..., n) as powers, whose logarithm is at most twice ``loudest``, times ``share`` (...)."""
    logarithm = out.clamp(max=(loudest - _QUIET) / _LEVEL).mul_(2 * _LEVEL)
    quiet = 2 * _QUIET if share is None else 2 * _QUIET + share.log()[..., None]
    return logarithm.add_(quiet).exp_()


def _times(since: Tensor, decays_s: tuple[float, ...]) -> Tensor:
    """(..., decays + 1): how much of the window lies behind a moment, and what has decayed since it."""
    begun = ((since + _WINDOW_S) / (2 * _WINDOW_S)).clamp(0, 1)
    gone = since.clamp(min=0)[..., None] / torch.tensor(decays_s, device=since.device)
    return torch.cat([begun[..., None], torch.exp(-gone) * (since >= 0)[..., None]], -1)


def _sways(since: Tensor) -> Tensor:
    """(..., 8): where what sways stands."""
    angle = 2 * math.pi * since[..., None] * torch.tensor(_SWAYS_HZ, device=since.device)
    return torch.cat([angle.cos(), angle.sin()], -1)


def _touch(velocity: Tensor) -> Tensor:
    """(..., 2)"""
    return torch.stack([velocity, (velocity + 1e-3).log()], -1)


def _places(pitch: Tensor) -> Tensor:
    """(..., 9): how near a pitch is to each of nine, ten semitones apart."""
    centres = torch.linspace(0, PITCHES, _PITCH_PLACES, device=pitch.device)
    return torch.exp(-0.5 * ((pitch[..., None] - centres) / 10).square())


def _instruments_of_layers(style: Tensor) -> Tensor:
    """(F, tonal layers, INSTRUMENT_CHANNELS): each layer's families in a place of their own, and its macros."""
    found = []
    for place, layer in enumerate(TONAL_LAYERS):
        _, families, macros = instrument_of(style, layer)
        before = place * _FAMILIES_MAX
        after = (len(TONAL_LAYERS) - place) * _FAMILIES_MAX - families.shape[1]
        found.append(torch.cat([F.pad(families, (before, after)), macros], -1))
    return torch.stack(found, 1)


def _lobes() -> tuple[Tensor, Tensor]:
    """Each partial of each pitch as the long window shows a sinus, the main lobe of a Hann window: sizes and bins.

    Both (kinds of instruments, PITCHES, 5, RATIOS); partials beyond the last bin have no power.
    """
    hz = 440.0 * 2 ** ((torch.arange(PITCHES, dtype=torch.float64) + PITCH_MIN - 69) / 12)
    place = (hz[:, None] * ratios_of_kinds() * LONG_FFT / SAMPLE_RATE_HZ)[..., None, :]
    bins = place.round() + torch.arange(-_LOBE, _LOBE + 1)[:, None]
    away = bins - place
    lobe = torch.sinc(away) + (torch.sinc(away - 1) + torch.sinc(away + 1)) / 2
    inside = (bins >= 0) & (bins < LONG_BINS)
    return (lobe * inside).float(), bins.clamp(0, LONG_BINS - 1).long()


def band_shapes(bands: int, bins: int, exact: int) -> Tensor:
    """(bands, bins): triangles that sum to 1 in every bin; the first ``exact`` are one bin wide, the others widen."""
    wide = torch.linspace(math.log(exact - 1), math.log(bins - 1), bands - exact + 1, dtype=torch.float64).exp()[1:]
    centres = torch.cat([torch.arange(exact, dtype=torch.float64), wide])
    places = torch.arange(bins, dtype=torch.float64)
    right = torch.searchsorted(centres, places).clamp(1, bands - 1)
    share = ((places - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)
    shapes = torch.zeros(bands, bins, dtype=torch.float64)
    shapes[right - 1, torch.arange(bins)] += 1 - share
    shapes[right, torch.arange(bins)] += share
    return shapes.float()
