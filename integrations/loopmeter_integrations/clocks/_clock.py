"""What a clock is, and the clock that follows nobody. Pure: time comes in as an argument.

Beats are counted from the start of a bar: a bar begins where the beat is a multiple of the beats in a bar. All times
are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from loopmeter import LoopmeterError

TEMPO_BPM_MIN, TEMPO_BPM_MAX = 20.0, 999.0  # As Link's.


class ClockError(LoopmeterError):
    """The clock cannot do what was asked. The message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A straight line through time: ``beat`` at ``time_s``, going on at ``tempo_bpm``; 0 stands still."""

    time_s: float
    beat: float
    tempo_bpm: float

    def beat_at(self, time_s: float) -> float:
        return self.beat + (time_s - self.time_s) * self.tempo_bpm / 60

    def time_at(self, beat: float) -> float:
        """When ``beat`` comes; infinite while the clock stands still."""
        return self.time_s + (beat - self.beat) * 60 / self.tempo_bpm if self.tempo_bpm else math.inf


class Clock(Protocol):
    """Tells which beat it is. ``timeline`` may be called from the audio thread, many times a second."""

    @property
    def source(self) -> str:
        """``own``, ``link``, ``midi`` or ``jack``."""
        ...

    @property
    def peers(self) -> int:
        """How many others keep this time, as far as they can be counted."""
        ...

    def timeline(self, now_s: float) -> Timeline:
        """The line that holds now. It may be another one a moment later."""
        ...

    def set_tempo(self, tempo_bpm: float, now_s: float) -> None:
        """Change the tempo, if it is ours to change. Raises ``ClockError``."""
        ...

    def close(self) -> None: ...


class OwnClock:
    """Begins with beat 0 at ``now_s`` and keeps its tempo."""

    source = "own"
    peers = 0

    def __init__(self, tempo_bpm: float, now_s: float) -> None:
        self._line = Timeline(now_s, 0.0, checked_tempo(tempo_bpm))

    def timeline(self, now_s: float) -> Timeline:
        return self._line

    def set_tempo(self, tempo_bpm: float, now_s: float) -> None:
        """The beat goes on from where it is."""
        self._line = Timeline(now_s, self._line.beat_at(now_s), checked_tempo(tempo_bpm))

    def close(self) -> None:
        return None


def checked_tempo(tempo_bpm: float) -> float:
    """The tempo itself. Raises ``ClockError`` when no clock can keep it."""
    if not TEMPO_BPM_MIN <= tempo_bpm <= TEMPO_BPM_MAX:
        raise ClockError(f"bpm: expected {TEMPO_BPM_MIN:g} to {TEMPO_BPM_MAX:g}, found {tempo_bpm:g}")
    return tempo_bpm


def next_boundary(beat: float, quantum_beats: float) -> float:
    """The first multiple of the quantum that is not before ``beat``, give or take a millionth of a beat."""
    return math.ceil((beat - 1e-6) / quantum_beats) * quantum_beats
