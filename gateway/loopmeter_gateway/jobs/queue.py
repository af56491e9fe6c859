"""Whose lease is next: the stream whose playback will run dry first, by plan, and whoever waits gets nearer.

A stream that has been handed sound for some seconds to come can wait for them. One level of priority is worth
``ageing_s`` of those seconds, and so is as much waiting; what lies further ahead than ``HANDED_S_MAX`` does not count,
so that nobody waits longer for having been served well. So nobody starves: a job of priority 0 that has waited
``2 * ageing_s`` goes before one of priority 2 that has just come. Equals take turns. Decided anew before every lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from loopmeter_gateway.clock import Clock
from loopmeter_gateway.jobs.live import LiveJob

HANDED_S_MAX = 30.0
_NEWEST = 0.2  # the weight of the last lease in the mean of their times


class Place(NamedTuple):
    """Where a job stands before its first lease: 1 is next."""

    queue_position: int
    expected_start_at: datetime


class LeaseQueue:
    """The jobs of ``live_jobs`` that wait for a lease of up to ``lease_chunks`` chunks. ``slots`` run at once."""

    def __init__(
        self, live_jobs: Mapping[str, LiveJob], lease_chunks: int, ageing_s: float, clock: Clock, slots: int = 1
    ) -> None:
        self.lease_chunks = lease_chunks
        self.slots = slots
        self._live_jobs = live_jobs
        self._ageing_s = ageing_s
        self._clock = clock
        self._begun = self._ended = 0
        self._lease_s = 0.0  # how long a lease takes beside others, on average
        self._in_hand: set[LiveJob] = set()

    def take(self) -> LiveJob | None:
        """The job whose lease is next, or ``None``: no slot is free, or nobody waits.

        Its lease has begun; ``done`` says when it ends.
        """
        if len(self._in_hand) >= self.slots:
            return None
        waiting = self._waiting()
        if not waiting:
            return None
        live = waiting[0]
        self._begun += 1
        live.lease_number, live.waiting_since = self._begun, None
        self._in_hand.add(live)
        return live

    def done(self, live: LiveJob, seconds: float) -> None:
        """A lease has ended, after so long."""
        self._in_hand.remove(live)
        self._ended += 1
        self._lease_s = seconds if self._ended == 1 else (1 - _NEWEST) * self._lease_s + _NEWEST * seconds

    def place(self, live: LiveJob) -> Place | None:
        """Where a job stands; ``None`` once its first lease has begun, and while nobody reads it."""
        if live.lease_number:
            return None
        for position, waiting in enumerate(self._waiting(), 1):
            if waiting is live:
                return Place(position, self._clock.now() + timedelta(seconds=self._wait_s(position - 1)))
        return None

    @property
    def running(self) -> int:
        """How many leases run."""
        return len(self._in_hand)

    @property
    def length(self) -> int:
        """How many jobs wait."""
        return len(self._waiting())

    @property
    def wait_s(self) -> float:
        """About how long a newcomer of the lowest priority waits for its first lease."""
        return self._wait_s(self.length)

    def _wait_s(self, before: int) -> float:
        """How long whoever has ``before`` jobs before it waits: so many leases must end, and ``slots`` end per time."""
        return max(0, before + self.running - (self.slots - 1)) * self._lease_s / self.slots

    def _waiting(self) -> list[LiveJob]:
        """Who waits, first come first. Waiting is counted from when it is first seen."""
        now = self._clock.now()
        others = (live for live in self._live_jobs.values() if live not in self._in_hand)
        waiting = [live for live in others if live.lease_count(self.lease_chunks) > 0]
        for live in waiting:
            if live.waiting_since is None:
                live.waiting_since, live.handed_s = now, min(live.sound_ahead_s(now), HANDED_S_MAX)
        return sorted(waiting, key=lambda live: (-self._urgency_s(live, now), live.lease_number))

    def _urgency_s(self, live: LiveJob, now: datetime) -> float:
        waited_s = (now - live.waiting_since).total_seconds() if live.waiting_since is not None else 0.0
        return live.priority * self._ageing_s + waited_s - live.handed_s
