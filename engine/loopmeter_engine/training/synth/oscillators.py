"""Sound sources without aliasing: band-limited wavetables, decaying partials, ensembles, noise of a given colour.

Reading order: ``phase_ramp``, ``wavetable``, ``scan``, ``unison``, ``modal``, ``ensemble``, ``coloured_noise``. Phases
are unsigned 32 bit integers, one turn = 2**32, so that they wrap for nothing and never lose precision. Everything is
float32 at ``SAMPLE_RATE_HZ``; stereo sources are (2, frames) as mid and side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from loopmeter_engine.partials import VIBRATO_RISE, Vibrato
from loopmeter_engine.unison import ENSEMBLE_SAMPLES, GOLDEN, ensemble_band, ensemble_turns

SAMPLE_RATE_HZ = 44_100
TOP_HZ = 18_000.0  # Nothing harmonic is made above: inaudible to most, and a margin for saturation.

Floats = NDArray[np.float32]
Phase = NDArray[np.uint32]

_TURN = 2.0**32


def seconds(frames: int) -> Floats:
    """Time in seconds of each of ``frames`` frames."""
    return np.arange(frames, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)


def midi_hz(pitch: float) -> float:
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def phase_ramp(hz: float, frames: int, start: float = 0.0) -> Phase:
    """Phase of a steady tone; ``start`` in turns."""
    step = np.uint32(round(hz / SAMPLE_RATE_HZ * _TURN) % 2**32)
    return np.arange(frames, dtype=np.uint32) * step + np.uint32(int(start % 1.0 * _TURN) % 2**32)


def bend(phase: Phase, turns: Floats) -> Phase:
    """``phase`` moved by ``turns`` (frames,): vibrato, scoops and phase modulation."""
    return phase + (turns.astype(np.float64) * _TURN).astype(np.int64).astype(np.uint32)


def radians(phase: Phase) -> Floats:
    """Phase as an angle in [-pi, pi), exact to 24 bits."""
    return phase.view(np.int32).astype(np.float32) * np.float32(2.0 * np.pi / _TURN)


def vibrato(hz: float, frames: int, kind: Vibrato) -> Floats:
    """Turns to ``bend`` by."""
    time = seconds(frames)
    depth = np.clip((time - np.float32(kind.delay_s)) * np.float32(VIBRATO_RISE), 0.0, 1.0)
    swing = hz * (2.0 ** (kind.cents / 1200.0) - 1.0) / (2.0 * np.pi * kind.rate_hz)
    turns: Floats = np.float32(swing) * depth * (1.0 - np.cos(np.float32(2.0 * np.pi * kind.rate_hz) * time))
    return turns


def harmonics(hz: float, limit: int = 1024) -> NDArray[np.float64]:
    """1, 2, 3 ... up to the last harmonic below ``TOP_HZ``; at least the fundamental."""
    return np.arange(1.0, max(1, min(limit, int(TOP_HZ / hz))) + 1.0)


def wavetable(amplitudes: NDArray[np.complex128] | NDArray[np.float64]) -> Floats:
    """One cycle of sine harmonics per row: (K, H) to (K, M + 1), the last column repeating the first."""
    rows = np.atleast_2d(amplitudes)
    count = rows.shape[1]
    size = max(1024, min(8192, 1 << int(np.ceil(np.log2(16 * count)))))
    spectrum = np.zeros((rows.shape[0], size // 2 + 1), np.complex64)
    spectrum[:, 1 : count + 1] = rows * (-0.5j * size)
    cycle = scipy.fft.irfft(spectrum, size, axis=1)
    return np.concatenate((cycle, cycle[:, :1]), axis=1)


def scan(tables: Floats, phase: Phase, position: Floats | None = None) -> Floats:
    """Read a wavetable at ``phase``; ``position`` (frames,) in [0, K - 1] crossfades between its rows."""
    size = tables.shape[1] - 1
    shift = 33 - size.bit_length()
    index = (phase >> np.uint32(shift)).astype(np.intp)
    fraction = (phase & np.uint32(2**shift - 1)).astype(np.float32) * np.float32(2.0**-shift)
    flat = tables.ravel()
    if position is None or tables.shape[0] == 1:
        low = flat[index]
        return low + fraction * (flat[index + 1] - low)
    row = np.clip(position, 0.0, tables.shape[0] - 1.001).astype(np.float32)
    whole = row.astype(np.intp)
    row -= whole
    index += whole * (size + 1)
    low = flat[index]
    low += fraction * (flat[index + 1] - low)
    index += size + 1
    high = flat[index]
    high += fraction * (flat[index + 1] - high)
    return low + row * (high - low)


def hermite(a: Floats, b: Floats, c: Floats, d: Floats, t: Floats) -> Floats:
    """Between ``b`` (t 0) and ``c`` (t 1) by the cubic whose slopes there are those of their neighbours."""
    slope, next_slope = (c - a) * np.float32(0.5), (d - b) * np.float32(0.5)
    bend = 2 * (b - c) + slope + next_slope
    return np.asarray(b + t * (slope + t * ((c - b) - slope - bend + t * bend)), np.float32)


class Swept:
    """A harmonic source behind a resonant low-pass whose cut-off moves: rows of a wavetable, one per cut-off.

    ``amplitudes`` (H,) of the open source at ``hz``; cut-offs as log2 of Hz between ``low`` and ``high``. ``q`` is the
    resonance; ``poles`` 2 or 4.
    """

    def __init__(
        self, hz: float, amplitudes: NDArray[np.float64], low: float, high: float, q: float, poles: int = 4
    ) -> None:
        self._low = low
        rows = max(2, int(np.ceil((high - low) * (6 if q > 1.5 else 3))) + 1)
        self._scale = (rows - 1) / max(high - low, 1e-6)
        cutoffs = 2.0 ** np.linspace(low, high, rows)
        ratio = hz * np.arange(1, len(amplitudes) + 1)[None, :] / cutoffs[:, None]
        response = 1.0 / (1.0 - ratio**2 + 1j * ratio / q)
        if poles == 4:
            response = response / (1.0 - ratio**2 + 1j * ratio / 0.6)
        self.tables = wavetable(amplitudes * response)

    def position(self, cutoff_log2: Floats) -> Floats:
        return (cutoff_log2 - np.float32(self._low)) * np.float32(self._scale)


def unison(
    tables: Floats,
    hz: float,
    frames: int,
    cents: Sequence[float],
    position: Floats | None = None,
    turns: Floats | None = None,
) -> Floats:
    """Detuned copies of one wavetable, (2, frames) mid and side: the first in the middle, others left and right."""
    out = np.zeros((2, frames), np.float32)
    for index, detune in enumerate(cents):
        phase = phase_ramp(hz * 2.0 ** (detune / 1200.0), frames, index * GOLDEN)
        if turns is not None:
            phase = bend(phase, turns)
        voice = scan(tables, phase, position)
        out[0] += voice
        if index:
            out[1] += voice if index % 2 else -voice
    return out / np.float32(np.sqrt(len(cents)))


def modal(
    hz: NDArray[np.float64], decay_s: NDArray[np.float64], gains: NDArray[np.float64], frames: int, turns: float = 0.0
) -> Floats:
    """Sum of exponentially decaying sines, all struck at frame 0.

    ``hz``, ``decay_s`` (time to 1/e) are (P,); ``gains`` (P,) or (channels, P). Gives (frames,) or (channels, frames).
    Time is split as block + offset, which turns the sum into one matrix product: tens of partials cost what one sine
    costs sample by sample.
    """
    keep = hz < TOP_HZ
    hz, decay_s, gains = hz[keep], decay_s[keep], gains[..., keep]
    rows = np.atleast_2d(gains)
    block = max(64, int(np.sqrt(frames * rows.shape[0])))
    blocks = -(-frames // block)
    ahead = np.arange(blocks)[:, None] * block / SAMPLE_RATE_HZ
    inside = np.arange(block)[None, :] / SAMPLE_RATE_HZ
    coarse_turn = 2.0 * np.pi * ((ahead * hz) % 1.0)
    coarse_size = np.exp(-ahead / decay_s)
    fine_turn = 2.0 * np.pi * (inside * hz[:, None] + turns)
    fine_size = np.exp(-inside / decay_s[:, None])
    # sin(a + b) = sin a cos b + cos a sin b
    coarse = np.concatenate((coarse_size * np.sin(coarse_turn), coarse_size * np.cos(coarse_turn)), axis=1)
    fine = np.concatenate((fine_size * np.cos(fine_turn), fine_size * np.sin(fine_turn)), axis=0).astype(np.float32)
    out = np.empty((rows.shape[0], frames), np.float32)
    for channel, row in enumerate(rows):
        out[channel] = ((coarse * np.tile(row, 2)).astype(np.float32) @ fine).ravel()[:frames]
    return out if gains.ndim == 2 else out[0]


def ensemble(hz: float, amplitudes: NDArray[np.float64], spread_cents: float, frames: int) -> Floats:
    """Many players in unison, (2, frames) mid and side: each harmonic is a narrow band of fixed random phase.

    One inverse transform makes it, and it repeats after 5.9 s without a seam. The phases depend on the pitch alone.
    """
    size = ENSEMBLE_SAMPLES
    magnitude = np.zeros(size // 2 + 1, np.float32)
    for harmonic, amplitude in enumerate(amplitudes, 1):
        bins, level = ensemble_band(hz, harmonic, spread_cents)
        magnitude[bins] += amplitude * level
    spectrum = magnitude * np.exp(np.complex64(2j * np.pi) * ensemble_turns(hz))
    out = scipy.fft.irfft(spectrum, size, axis=1) * np.float32(size * 0.25)
    out[1] *= 0.7
    return np.ascontiguousarray(np.tile(out, (1, -(-frames // size)))[:, :frames])


def coloured_noise(
    rng: np.random.Generator, frames: int, response: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> Floats:
    """Stationary noise of RMS 1 whose magnitude over frequency (Hz) follows ``response``. Circular over its length."""
    size = scipy.fft.next_fast_len(max(frames, 64), real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, np.float32))
    spectrum *= response(np.linspace(0.0, SAMPLE_RATE_HZ / 2.0, size // 2 + 1, dtype=np.float32))
    noise = scipy.fft.irfft(spectrum, size)
    return np.asarray(noise[:frames] / (np.sqrt(np.mean(noise * noise)) + 1e-12), np.float32)


def band(low_hz: float, high_hz: float, order: int = 2) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A smooth band-pass magnitude for ``coloured_noise``; ``order`` 1 is 6 dB per octave."""

    def response(hz: NDArray[np.float32]) -> NDArray[np.float32]:
        rise = (hz / np.float32(low_hz)) ** order
        fall = (hz / np.float32(high_hz)) ** order
        return np.asarray(rise / np.sqrt(1.0 + rise * rise) / np.sqrt(1.0 + fall * fall), np.float32)

    return response
