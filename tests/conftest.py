"""What holds for all tests: how many threads compute, and which tests may run side by side (``pytest -n 2``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

# Before torch is loaded, and for every program that a test starts: a team of threads that waits for a busy core turns
# round and round meanwhile, and with other work on the machine a test of the engine took five times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A width that nobody chose: readline writes it into the environment which a worker of pytest-xdist inherits.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COLUMNS", None)

# Audio hardware, clocks and the network there are once: JACK, Link, DNS-SD, Ardour's port. These run one after another.
_ALONE = "tests/integrations/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest in one piece, so that at the end no worker waits for it."""
    items.sort(key=lambda item: not item.nodeid.startswith(_ALONE))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Give each file to one worker, so that what it shares is made once, and all that must run alone to one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _ALONE if nodeid.startswith(_ALONE) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # It would begin with the many short tests.
    return Scheduler(config, log)  # type: ignore[arg-type]
