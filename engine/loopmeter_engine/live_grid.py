"""Where the bars of a steered session lie, and where each change of its log takes effect. Pure, torch-free.

Every engine takes this one grid, so that ``applied`` means the same frame everywhere. Bars are counted from 0 and
begin ``round(bars * beats_per_bar * 60 / tempo_bpm * sample_rate_hz)`` frames after the bar line at which their tempo
began, so that no error grows. A change waits for the first bar line at or after the first frame of its ``from_chunk``;
changes that wait for the same bar line take effect in the order of the log.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from loopmeter import LiveRequest
from loopmeter_engine.contract import Applied, LiveChange


@dataclass(frozen=True, slots=True)
class Span:
    """From ``frame``, where bar ``bar`` begins, the session plays ``request``. ``applied``: what changed there."""

    frame: int
    bar: int
    request: LiveRequest
    applied: tuple[Applied, ...] = ()

    def bar_frame(self, bar: int, sample_rate_hz: int) -> int:
        """Where a bar of this span begins, in frames since the session's start."""
        tempo_bpm = self.request.tempo_bpm
        assert tempo_bpm is not None and bar >= self.bar
        return self.frame + round((bar - self.bar) * self.request.beats_per_bar * 60 / tempo_bpm * sample_rate_hz)

    def first_bar_at(self, frame: int, sample_rate_hz: int) -> int:
        """The first bar of this span that begins at or after ``frame``."""
        tempo_bpm = self.request.tempo_bpm
        assert tempo_bpm is not None
        bar_frames = self.request.beats_per_bar * 60 / tempo_bpm * sample_rate_hz
        bar = self.bar + max(0, math.floor((frame - self.frame) / bar_frames) - 1)
        while self.bar_frame(bar, sample_rate_hz) < frame:
            bar += 1
        return bar


def spans(request: LiveRequest, changes: Sequence[LiveChange], chunk_frames: int, sample_rate_hz: int) -> list[Span]:
    """The session as spans of equal settings, in order. ``request`` is resolved: its tempo is filled in.

    Raises:
        ValueError: ``from_chunk`` falls within the log.
    """
    found = [Span(frame=0, bar=0, request=request)]
    before = 0
    for number, change in enumerate(changes):
        if change.from_chunk < before:
            raise ValueError(f"expected changes in order, found from_chunk {change.from_chunk} after {before}")
        before = change.from_chunk
        last = found[-1]
        bar = last.first_bar_at(change.from_chunk * chunk_frames, sample_rate_hz)
        frame = last.bar_frame(bar, sample_rate_hz)
        applied: tuple[Applied, ...] = (Applied(change=number, frame=frame, bar=bar),)
        if frame == last.frame:
            found.pop()
            applied = last.applied + applied
        found.append(Span(frame, bar, last.request.with_settings(change.settings), applied))
    return found


def spans_within(found: Sequence[Span], start_frame: int, stop_frame: int) -> list[Span]:
    """The spans that frames ``start_frame .. stop_frame - 1`` belong to; the first may begin before them."""
    ends = [span.frame for span in found[1:]]
    first = bisect.bisect_right(ends, start_frame)
    stop = bisect.bisect_left([span.frame for span in found], stop_frame)
    return list(found[first:stop])
