"""When the first sound of a plan will come and how fast the rest: its operations, at the speed that was seen.

A plan is pure and knows no clock; speed is what a host has seen of an engine. Waiting for other jobs is not in it.
Reading order: ``Pace``, ``Speedometer``.
"""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import dataclass

from loopmeter_engine.contract import Chunk, Plan

_KEPT = 15


@dataclass(frozen=True, slots=True)
class Pace:
    """A prediction. ``rate`` is seconds of sound per second of work behind the first chunk; above 1 it keeps up.

    For a loop of one chunk the rate is that chunk's; where all the work is done before the first sound, it is huge.
    """

    first_sound_s: float
    rate: float


class Speedometer:
    """Operations per second that an engine has shown lately: for first chunks, and for the others. Thread-safe.

    The two differ: a first chunk is all denoising in one engine, and a small window of a decoder in another. Both are
    medians of the last 15 chunks. The very first chunk may have loaded gigabytes of weights and is not counted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: deque[float] = deque(maxlen=_KEPT)
        self._later: deque[float] = deque(maxlen=_KEPT)
        self._warm = False

    def count(self, chunk: Chunk) -> None:
        """A chunk was made."""
        with self._lock:
            warm, self._warm = self._warm, True
            if warm and chunk.usage.device_seconds > 0 and chunk.usage.flops > 1:
                speeds = self._later if chunk.index else self._first
                speeds.append(chunk.usage.flops / chunk.usage.device_seconds)

    def pace(self, plan: Plan) -> Pace | None:
        """What to expect of a plan; None where the plan does not tell, or too little was seen."""
        with self._lock:
            first, later = tuple(self._first or self._later), tuple(self._later or self._first)
        if not first or plan.first_chunk_flops <= 0:
            return None
        first_s = plan.first_chunk_flops / statistics.median(first)
        rest_s = (plan.flops - plan.first_chunk_flops) / statistics.median(later)
        head, frames = plan.chunk_frames[0], plan.frames
        sounding, work_s = (frames - head, rest_s) if frames > head else (frames, first_s)
        return Pace(first_s, sounding / plan.sample_rate_hz / max(work_s, 1e-6))
