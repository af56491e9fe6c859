"""Memory goes back after the work, once, and never under it."""

from __future__ import annotations

import sys
import threading

import pytest

from loopmeter_engine.processes.giving_back import GivingBack, trim_function

SOON_S, NEVER_S, WAIT_S = 0.01, 3600.0, 30.0


class Trims:
    """Counts how often memory was given back."""

    def __init__(self) -> None:
        self.count, self.came = 0, threading.Semaphore(0)

    def __call__(self) -> None:
        self.count += 1
        self.came.release()


def test_memory_goes_back_once_after_each_stretch_of_work() -> None:
    trims = Trims()
    giving = GivingBack(trims, SOON_S)
    for stretch in (1, 2):
        with giving.work(), giving.work():
            pass
        assert trims.came.acquire(timeout=WAIT_S)
        assert not trims.came.acquire(timeout=10 * SOON_S)
        assert trims.count == stretch


def test_nothing_goes_back_while_somebody_is_at_work() -> None:
    trims = Trims()
    giving = GivingBack(trims, SOON_S)
    with giving.work():
        with giving.work():
            pass
        assert not trims.came.acquire(timeout=10 * SOON_S)
    assert trims.came.acquire(timeout=WAIT_S)


def test_work_that_broke_is_over_too() -> None:
    trims = Trims()
    giving = GivingBack(trims, SOON_S)
    with pytest.raises(ValueError, match="broken"), giving.work():
        raise ValueError("broken")
    assert trims.came.acquire(timeout=WAIT_S)


def test_nobody_pays_for_it_between_two_loops() -> None:
    trims = Trims()
    giving = GivingBack(trims, NEVER_S)
    for _ in range(3):
        with giving.work():
            pass
    assert trims.count == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_the_c_library_takes_it() -> None:
    trim = trim_function()
    assert trim is None or trim() in (0, 1)
