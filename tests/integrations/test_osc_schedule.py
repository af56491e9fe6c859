from __future__ import annotations

import asyncio

import pytest

from loopmeter_integrations.osc._codec import IMMEDIATELY
from loopmeter_integrations.osc._schedule import Schedule, TooFarAhead, TooManyHeld

UNIX_S = 1_700_000_000.0


def tag(unix_s: float) -> int:
    return int((unix_s + 2_208_988_800) * 2**32)


class Clocks(asyncio.SelectorEventLoop):
    """An event loop whose timers run on a clock that the test moves, together with the wall clock."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def time(self) -> float:
        return 1000.0 + self.ahead_s

    def wall_clock(self) -> float:
        return UNIX_S + self.ahead_s

    def advance(self, seconds: float) -> None:
        self.ahead_s += seconds
        self.run_until_complete(asyncio.sleep(0))
        self.run_until_complete(asyncio.sleep(0))


@pytest.fixture
def clocks():  # type: ignore[no-untyped-def]
    loop = Clocks()
    yield loop
    loop.close()


@pytest.mark.parametrize("time_tag", [IMMEDIATELY, 0, tag(UNIX_S - 3600), tag(UNIX_S)])
def test_immediate_and_late_messages_run_at_once(clocks: Clocks, time_tag: int) -> None:
    ran: list[str] = []
    Schedule(clocks, clocks.wall_clock).run_at(time_tag, lambda: ran.append("x"))
    assert ran == ["x"]


def test_messages_run_on_time_and_in_order(clocks: Clocks) -> None:
    ran: list[str] = []
    schedule = Schedule(clocks, clocks.wall_clock)
    for name, ahead_s in [("third", 2.0), ("first", 1.0), ("second", 1.0)]:
        schedule.run_at(tag(UNIX_S + ahead_s), lambda name=name: ran.append(name))
    clocks.advance(0.9)
    assert (ran, schedule.held) == ([], 3)
    clocks.advance(0.2)
    assert ran == ["first", "second"]
    clocks.advance(1.0)
    assert (ran, schedule.held) == (["first", "second", "third"], 0)


def test_too_far_ahead_is_refused(clocks: Clocks) -> None:
    schedule = Schedule(clocks, clocks.wall_clock, horizon_s=60)
    with pytest.raises(TooFarAhead, match=r"at most 60 s ahead, found 61\.0 s"):
        schedule.run_at(tag(UNIX_S + 61), lambda: None)
    assert schedule.held == 0


def test_only_so_many_are_held(clocks: Clocks) -> None:
    schedule = Schedule(clocks, clocks.wall_clock, held_max=2)
    for _ in range(2):
        schedule.run_at(tag(UNIX_S + 1), lambda: None)
    with pytest.raises(TooManyHeld, match="at most 2"):
        schedule.run_at(tag(UNIX_S + 1), lambda: None)


def test_closing_drops_what_waits(clocks: Clocks) -> None:
    ran: list[str] = []
    schedule = Schedule(clocks, clocks.wall_clock)
    schedule.run_at(tag(UNIX_S + 1), lambda: ran.append("x"))
    schedule.close()
    clocks.advance(2)
    assert ran == []
