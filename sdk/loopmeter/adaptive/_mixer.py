"""Spans and sounds into samples. The only part of adaptive music that needs numpy: ``pip install 'loopmeter[play]'``.

A gain is computed from the number of the frame, so the samples come out bit-equal however time is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from loopmeter.adaptive._arrangement import Take
from loopmeter.adaptive._events import Span
from loopmeter.adaptive._grid import Ramp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sound:
    """The layers of one take: each float32, (frames, channels), -1 to 1, all of one length.

    Raises:
        ValueError: there is no layer, or their lengths differ.
    """

    layers: Mapping[str, Samples]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        lengths = {name: len(samples) for name, samples in self.layers.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"expected layers of one length, found {lengths}")

    @property
    def frames(self) -> int:
        return len(next(iter(self.layers.values())))


def mix(spans: Iterable[Span], sounds: Mapping[Take, Sound], channels: int) -> Samples:
    """The samples of some spans, float32 (frames, ``channels``), held inside -1 to 1. Mono goes to every channel."""
    blocks = [_mix_span(span, sounds, channels) for span in spans]
    out = np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32)
    return np.clip(out, -1.0, 1.0, out=out)


def _mix_span(span: Span, sounds: Mapping[Take, Sound], channels: int) -> Samples:
    out = np.zeros((span.frames, channels), np.float32)
    for voice in span.voices:
        samples = sounds[voice.take].layers[voice.layer][voice.offset : voice.offset + span.frames]
        gains = [_gains(ramp, span) for ramp in voice.ramps]
        out += samples * reduce(np.multiply, gains)
    return out


def _gains(ramp: Ramp, span: Span) -> Samples | np.float32:
    """One gain for the whole span, or (frames, 1) while it moves."""
    if span.start >= ramp.end or ramp.before == ramp.after:
        return np.float32(ramp.after)
    steps = np.arange(span.start - ramp.start, span.start - ramp.start + span.frames, dtype=np.float64)
    moving = ramp.before + (ramp.after - ramp.before) * np.clip(steps / ramp.frames, 0.0, 1.0)
    return moving.astype(np.float32)[:, None]
