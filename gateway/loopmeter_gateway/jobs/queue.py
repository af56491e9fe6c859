"""Whose lease is next: priority by plan, and whoever waits grows in priority.

One level of priority is worth ``ageing_s`` seconds of waiting, so nobody starves: a job of priority 0 that has waited
``2 * ageing_s`` goes before one of priority 2 that has just come. Equals take turns. Decided anew before every lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from loopmeter_gateway.clock import Clock
from loopmeter_gateway.jobs.live import LiveJob

_NEWEST = 0.2  # the weight of the last lease in the mean of their times


class Place(NamedTuple):
    """Where a job stands before its first lease: 1 is next."""

    queue_position: int
    expected_start_at: datetime


class LeaseQueue:
    """The jobs of ``live_jobs`` that wait for a lease of up to ``lease_chunks`` chunks."""

    def __init__(self, live_jobs: Mapping[str, LiveJob], lease_chunks: int, ageing_s: float, clock: Clock) -> None:
        self.lease_chunks = lease_chunks
        self._live_jobs = live_jobs
        self._ageing_s = ageing_s
        self._clock = clock
        self._leases = 0
        self._lease_s = 0.0  # how long a lease takes, on average
        self._in_hand: LiveJob | None = None

    def take(self) -> LiveJob | None:
        """The job whose lease is next, or ``None``: nobody waits. Its lease has begun; ``done`` says when it ends."""
        waiting = self._waiting()
        if not waiting:
            return None
        live = waiting[0]
        self._leases += 1
        live.lease_number, live.waiting_since = self._leases, None
        self._in_hand = live
        return live

    def done(self, seconds: float) -> None:
        """A lease has ended, after so long."""
        self._in_hand = None
        self._lease_s = seconds if self._leases <= 1 else (1 - _NEWEST) * self._lease_s + _NEWEST * seconds

    def place(self, live: LiveJob) -> Place | None:
        """Where a job stands; ``None`` once its first lease has begun, and while nobody reads it."""
        if live.lease_number:
            return None
        for position, waiting in enumerate(self._waiting(), 1):
            if waiting is live:
                ahead_s = (position - 1 + (self._in_hand is not None)) * self._lease_s
                return Place(position, self._clock.now() + timedelta(seconds=ahead_s))
        return None

    @property
    def length(self) -> int:
        """How many jobs wait."""
        return len(self._waiting())

    @property
    def wait_s(self) -> float:
        """About how long a newcomer of the lowest priority waits for its first lease."""
        return (self.length + (self._in_hand is not None)) * self._lease_s

    def _waiting(self) -> list[LiveJob]:
        """Who waits, first come first. Waiting is counted from when it is first seen."""
        now = self._clock.now()
        others = (live for live in self._live_jobs.values() if live is not self._in_hand)
        waiting = [live for live in others if live.lease_count(self.lease_chunks) > 0]
        for live in waiting:
            live.waiting_since = live.waiting_since or now
        return sorted(waiting, key=lambda live: (-self._rank(live, now), live.lease_number))

    def _rank(self, live: LiveJob, now: datetime) -> float:
        waited_s = (now - live.waiting_since).total_seconds() if live.waiting_since is not None else 0.0
        return live.priority + waited_s / self._ageing_s
