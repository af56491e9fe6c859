"""From magnitudes to sound, streaming: phases guessed, then made consistent, then attacks cleaned.

Three steps per segment of spectral frames, each after a published method:

1. A first guess. Around every spectral peak the phase runs on at the peak's interpolated frequency, and the bins of
   one peak share one phase (single-pass inversion, Beauregard et al. 2015). Bins that no steady peak owns start random.
   Where a note's partials sound, the score tells their phase, since it tells when the note began: a bin is 21.5 Hz
   wide, five semitones of a bass note, so magnitudes alone leave a low note out of tune and its onset unclear.
2. Fast Griffin-Lim (Perraudin et al. 2013) on the segment, joined to what was already given out, with a few frames
   of look-ahead that are thrown away and solved again (real-time look-ahead, Zhu et al. 2007). What was told stays.
3. A long window smears an attack over 46 ms. The short-window magnitudes know better, and the score knows when hits
   come: see ``attacks``.

Segments end where blocks of latents end, however calls are cut, so any split of a stream gives equal samples.

Reading order: ``Guide``, ``PhaseState``, ``Vocoder.step``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loopmeter_engine.attacks import COLA, PAST, SHORT_TAIL, AttackCleaner, mean_around, overlap_add
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    LONG_HOP,
    SHORT_COLUMNS,
    SHORT_FFT,
    SHORT_HOP,
    SUNG_BINS,
    Change,
)

AHEAD = 4  # Spectral frames solved but not kept, at the end of a segment.
_TAIL = LONG_FFT - LONG_HOP
_LONG_START = (LONG_FFT - LONG_HOP) // 2  # Long frame i starts at sample 512 i - 768.
LEAD_SAMPLES = (SHORT_FFT - SHORT_HOP) // 2  # Short frame j at 128 j - 192, and there the output begins.
# With k long frames kept, sound is final to 512 k - 768, and cleaned to the last whole short window before that.
LAG_SAMPLES = 1024  # Output so far is 512 k minus this many samples.
_MOMENTUM = 0.97


@dataclass(frozen=True)
class Guide:
    """What the score tells of the frames handed in.

    ``sung`` (c, n, SUNG_BINS) complex of size 1: phases at a frame's middle, 0 where they are to be guessed; None where
    all are. ``hits`` (h,) int64, ascending, at least ``HITS_APART``: where drums are hit, in samples from the first
    sample that the stream gave; hits outside of what is made do no harm.
    """

    sung: Tensor | None
    hits: Tensor


def guide_of(change: Change | None, channels: int, hits: Tensor) -> Guide:
    """What a decoder of one stream was told of the players, as far as it concerns mid, or mid and side."""
    sung = None if change is None or change.sung is None else change.sung[0, :, :channels].transpose(0, 1)
    return Guide(sung, hits)


@dataclass
class PhaseState:
    """Per channel c: ``phase`` (c, bins) float64 at the last frame kept, ``tail`` (c, 1536) of its windows.

    ``long`` (c, n, bins) and ``short`` (m, 257): magnitudes not yet used, ``sung`` (c, n, SUNG_BINS, 2) the phases told
    of them, real and imaginary part. ``past`` (8, 257): the short magnitudes used last.
    ``sound`` (c, n): finished by step 2, not by step 3, whose windows overlap in ``short_tail`` (c, 384). ``kept``:
    frames so far. ``dropped``: samples still to drop, from before time 0.
    """

    phase: Tensor
    tail: Tensor
    long: Tensor
    short: Tensor
    past: Tensor
    sung: Tensor
    sound: Tensor
    short_tail: Tensor
    kept: int
    dropped: int


class Vocoder(nn.Module):
    """Turns magnitudes of ``channels`` (mid, or mid and side) into samples. No weights."""

    window: Tensor

    def __init__(self, iterations: int = 8) -> None:
        super().__init__()
        self.iterations = iterations
        self.attacks = AttackCleaner()
        self._weights: dict[int, Tensor] = {}  # Of as many lengths as there are segments: a first one, and the others.
        self.register_buffer("window", torch.hann_window(LONG_FFT), persistent=False)
        self.register_buffer("signs", 1.0 - 2.0 * (torch.arange(LONG_BINS) % 2), persistent=False)

    def init_state(self, channels: int, device: torch.device | None = None) -> PhaseState:
        def nothing(*shape: int) -> Tensor:
            return torch.zeros(*shape, device=device)

        return PhaseState(
            torch.zeros(channels, LONG_BINS, device=device, dtype=torch.float64),
            nothing(channels, _TAIL),
            nothing(channels, 0, LONG_BINS),
            nothing(0, SHORT_FFT // 2 + 1),
            nothing(PAST, SHORT_FFT // 2 + 1),
            nothing(channels, 0, SUNG_BINS, 2),
            nothing(channels, 0),
            nothing(channels, SHORT_TAIL),
            0,
            _LONG_START - LEAD_SAMPLES,
        )

    def step(
        self,
        long: Tensor,
        short: Tensor,
        guide: Guide | None,
        state: PhaseState,
        segment: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, PhaseState]:
        """Take magnitudes (c, n, 1025) and (4 n, 257), give as many samples as are final, (c, samples).

        The first sample given lies ``LEAD_SAMPLES`` before the first frame's time.

        ``guide``: None where no score is known.
        ``segment``: how many frames to keep now; ``AHEAD`` more must have been handed in. ``generator`` gives the
        random phases of this segment.
        """
        if guide is None:
            guide = Guide(None, torch.zeros(0, dtype=torch.int64, device=long.device))
        told = long.new_zeros(*long.shape[:2], SUNG_BINS, 2) if guide.sung is None else torch.view_as_real(guide.sung)
        sung = torch.cat([state.sung, told], 1)
        long, short = torch.cat([state.long, long], 1), torch.cat([state.short, short])
        assert long.shape[1] >= segment + AHEAD, (long.shape, segment)
        use, known = long[:, : segment + AHEAD], torch.view_as_complex(sung[:, : segment + AHEAD].contiguous())
        guess, phase = self._guess(use, state, segment, generator)
        signs = self.get_buffer("signs")
        kept, tail = self._consistent(use, guess * signs, known * signs[:SUNG_BINS], state.tail, segment)
        sound = torch.cat([state.sound, kept[:, state.dropped :]], 1)
        dropped = max(0, state.dropped - kept.shape[1])
        given = max(0, LONG_HOP * state.kept - LAG_SAMPLES)
        seen = SHORT_COLUMNS * (state.kept + segment + AHEAD) - given // SHORT_HOP  # However much was handed in.
        clean, short_tail = self.attacks.clean(sound, short[:seen], state.past, guide.hits - given, state.short_tail)
        used, ready = clean.shape[1] // SHORT_HOP, clean.shape[1]
        past = torch.cat([state.past, short[:used]])[-PAST:]
        rest = (long[:, segment:], short[used:], past, sung[:, segment:], sound[:, ready:], short_tail)
        return clean, PhaseState(phase, tail, *rest, state.kept + segment, dropped)

    def _guess(
        self, long: Tensor, state: PhaseState, segment: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Unit phasors (c, n, bins) at the middle of each window, and the running phase after ``segment``."""
        channels, count, _ = long.shape
        peak = torch.zeros_like(long, dtype=torch.bool)
        peak[..., 1:-1] = (long[..., 1:-1] > long[..., :-2]) & (long[..., 1:-1] >= long[..., 2:])
        # Parabola through the log of the three bins of a peak (Smith, Spectral Audio Signal Processing).
        b = long.clamp(min=1e-7).log()
        a, c = F.pad(b, (1, 0))[..., :-1], F.pad(b, (0, 1))[..., 1:]
        offset = (0.5 * (a - c) / (a - 2 * b + c).clamp(max=-1e-6)).clamp(-0.5, 0.5)
        bins = torch.arange(LONG_BINS, device=long.device)
        owner = _nearest_peak(peak, long)
        frequency = (bins + offset).double()  # In bins; one bin turns 2 pi hop / fft per frame.
        turn = 2 * math.pi * LONG_HOP / LONG_FFT * frequency.gather(-1, owner)
        before = torch.cat([turn[:, :1], turn[:, :-1]], 1)
        run = state.phase[:, None] + (0.5 * (turn + before)).cumsum(1)
        locked = run.gather(-1, owner)
        noise = torch.rand(channels, count, LONG_BINS, generator=generator).to(long.device) * 2 * math.pi
        past = torch.cat([long[:, :1], long[:, :-1]], 1)
        loud = long.gather(-1, owner) > 2 * mean_around(long, 33)  # Over the floor around.
        steady = (long < 2.0 * past + 1e-3) & loud
        angle = torch.where(steady, locked.float(), noise)
        return torch.complex(angle.cos(), angle.sin()), run[:, segment - 1] % (2 * math.pi)

    def _consistent(
        self, long: Tensor, guess: Tensor, told: Tensor, tail: Tensor, segment: int
    ) -> tuple[Tensor, Tensor]:
        """Griffin-Lim over the frames of a segment; samples (c, 512 segment) and the tail of their windows.

        ``guess`` and ``told`` count phases from a window's start, as a transform does; what is told stays.
        """
        count = long.shape[1]
        samples = LONG_HOP * (count - 1) + LONG_FFT
        weight = self._weight(count)
        sung, is_sung = long[..., :SUNG_BINS] * told, told != 0
        spectrum = _with(sung, is_sung, long * guess)
        before: Tensor | None = None
        for turn in range(self.iterations + 1):
            frames = torch.fft.irfft(spectrum, LONG_FFT).mul_(self.window)
            if turn == self.iterations:
                break
            sound = overlap_add(frames, LONG_HOP)
            sound[:, :_TAIL] += tail
            columns = sound.div_(weight)[:, :samples].unfold(1, LONG_FFT, LONG_HOP)
            found = torch.fft.rfft(columns * self.window)
            faster = found if before is None else found.sub(before, alpha=_MOMENTUM / (1 + _MOMENTUM))
            spectrum, before = _with(sung, is_sung, _with_magnitude(long, faster)), found
        ready = LONG_HOP * segment
        after = overlap_add(frames[:, :segment], LONG_HOP)
        after = torch.cat([after[:, :_TAIL] + tail, after[:, _TAIL:]], 1)
        return after[:, :ready] / COLA, after[:, ready : ready + _TAIL]

    def _weight(self, count: int) -> Tensor:
        """(1, samples): what the windows of ``count`` frames and those before add up to."""
        weight = self._weights.get(count)
        if weight is None:
            weight = overlap_add((self.window * self.window).expand(1, count, LONG_FFT), LONG_HOP).clamp(min=0.05)
            weight[:, :_TAIL] = COLA
            self._weights[count] = weight
        return weight


def _with(sung: Tensor, is_sung: Tensor, spectrum: Tensor) -> Tensor:
    """``spectrum`` with what is sung in its low bins, in place."""
    spectrum[..., :SUNG_BINS] = torch.where(is_sung, sung, spectrum[..., :SUNG_BINS])
    return spectrum


def _with_magnitude(magnitude: Tensor, spectrum: Tensor) -> Tensor:
    """The phases of a spectrum with other magnitudes. By hand, since ``abs`` of complex numbers takes twice as long."""
    real, imaginary = spectrum.real.contiguous(), spectrum.imag.contiguous()
    scale = (real * real).addcmul_(imaginary, imaginary).clamp_(min=1e-18).rsqrt_().mul_(magnitude)
    return torch.complex(real.mul_(scale), imaginary.mul_(scale))


def _nearest_peak(peak: Tensor, long: Tensor) -> Tensor:
    """For every bin the index of the peak that owns it: the nearer one of its two neighbours. Bins without one: own."""
    bins = torch.arange(LONG_BINS, device=peak.device).expand(peak.shape)
    below = torch.where(peak, bins, -10_000).cummax(-1).values
    above = -(torch.where(peak, -bins, -20_000).flip(-1).cummax(-1).values.flip(-1))
    nearest = torch.where(bins - below <= above - bins, below, above)
    return torch.where((nearest >= 0) & (nearest < LONG_BINS), nearest, bins)
