"""When a message runs: at once, or at the time tag of its bundle. Nothing ever blocks.

OSC 1.0 has no clock synchronisation, so the wall clock of this machine decides. Late means now; a tag further ahead
than ``horizon_s`` is a clock that is wrong and is refused, and so is more than ``held_max`` waiting.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from loopmeter_integrations.osc._codec import IMMEDIATELY

HELD_MAX = 256
HORIZON_S = 60.0
_LOOK_S = 1.0

_NTP_TO_UNIX_S = 2_208_988_800  # 1900 to 1970


class TooFarAhead(Exception):
    """The time tag is beyond the horizon."""


class TooManyHeld(Exception):
    """As many messages wait as may wait."""


class Schedule:
    """Run actions at NTP time tags, in order of time, then of arrival.

    ``wall_clock`` gives seconds since 1970; ``loop`` provides the timer. Use and close inside that loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wall_clock: Callable[[], float],
        *,
        held_max: int = HELD_MAX,
        horizon_s: float = HORIZON_S,
    ) -> None:
        self._loop = loop
        self._wall_clock = wall_clock
        self._held_max = held_max
        self._horizon_s = horizon_s
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._arrival = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """How many actions wait."""
        return len(self._heap)

    def run_at(self, time_tag: int, action: Callable[[], None]) -> float:
        """Run ``action`` now if the tag is immediate or past, else at its time. Gives by how many seconds it is late.

        Raises:
            TooFarAhead, TooManyHeld: it will not run.
        """
        due_s = time_tag / 2**32 - _NTP_TO_UNIX_S
        ahead_s = due_s - self._wall_clock()
        if time_tag == IMMEDIATELY or ahead_s <= 0:
            action()
            return 0.0 if time_tag == IMMEDIATELY else -ahead_s
        if ahead_s > self._horizon_s:
            raise TooFarAhead(f"expected a time tag at most {self._horizon_s:g} s ahead, found {ahead_s:.1f} s")
        if len(self._heap) >= self._held_max:
            raise TooManyHeld(f"expected at most {self._held_max} messages waiting for their time tags")
        heapq.heappush(self._heap, (due_s, next(self._arrival), action))
        self._arm()
        return 0.0

    def close(self) -> None:
        """Drop what waits."""
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            # Looked at again every second: a machine that slept, or set its clock, has a timer that is wrong by then.
            ahead_s = min(max(0.0, self._heap[0][0] - self._wall_clock()), _LOOK_S)
            self._timer = self._loop.call_later(ahead_s, self._run_due)

    def _run_due(self) -> None:
        self._timer = None
        now_s = self._wall_clock()
        while self._heap and self._heap[0][0] <= now_s:
            heapq.heappop(self._heap)[2]()
        self._arm()
