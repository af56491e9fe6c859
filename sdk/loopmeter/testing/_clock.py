"""Time that moves only when somebody sleeps or says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, 12, tzinfo=UTC)


class ManualClock:
    """Seconds since ``EPOCH``. ``sleeps`` has every wait that was asked for; none takes real time."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self._time_s = 0.0

    def now(self) -> float:
        return self._time_s

    def date(self) -> datetime:
        """Now, as a date with a time zone."""
        return EPOCH + timedelta(seconds=self._time_s)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ``ValueError`` for a negative time."""
        if seconds < 0:
            raise ValueError(f"expected 0 seconds or more, found {seconds}")
        self._time_s += seconds


class AsyncManualClock:
    """A ``ManualClock`` for ``AsyncLoopmeter``. ``time`` may be shared with others."""

    def __init__(self, time: ManualClock | None = None) -> None:
        self.time = time or ManualClock()

    def now(self) -> float:
        return self.time.now()

    async def sleep(self, seconds: float) -> None:
        self.time.sleep(seconds)
