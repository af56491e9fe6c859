"""Ableton Link, over aalink: the tempo and the bar of everybody in the local network who speaks it."""

from __future__ import annotations

import time
from collections.abc import Callable

from loopmeter_integrations.clocks._clock import ClockError, Timeline, checked_tempo

_TRIES = 4
_SPREAD_S = 0.0001


class LinkClock:
    """A peer of the Link session of this network. Make it inside the event loop that aalink may use.

    Link counts its own microseconds, so beat and ``now`` are read side by side, and the closest pair counts.

    Raises:
        ClockError: aalink is not installed.
    """

    source = "link"

    def __init__(self, tempo_bpm: float, beats_per_bar: int, now: Callable[[], float] = time.monotonic) -> None:
        try:
            from aalink import Link
        except ImportError as error:
            raise ClockError(
                "expected aalink for Ableton Link, found none; install it with: pip install 'loopmeter[link]'"
            ) from error
        self._link = Link(checked_tempo(tempo_bpm))
        self._link.quantum = float(beats_per_bar)
        self._link.enabled = True
        self._now = now

    @property
    def peers(self) -> int:
        return int(self._link.num_peers)

    def timeline(self, now_s: float) -> Timeline:
        spread_s, time_s, beat = float("inf"), now_s, 0.0
        for _ in range(_TRIES):
            before_s = self._now()
            found = self._link.beat
            after_s = self._now()
            if after_s - before_s < spread_s:
                spread_s, time_s, beat = after_s - before_s, (before_s + after_s) / 2, found
            if spread_s < _SPREAD_S:
                break
        return Timeline(time_s, beat, self._link.tempo)

    def set_tempo(self, tempo_bpm: float, now_s: float) -> None:
        """For the whole session."""
        self._link.tempo = checked_tempo(tempo_bpm)

    def close(self) -> None:
        self._link.enabled = False
