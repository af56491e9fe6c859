"""How whoever runs a lease has it stop in the middle of a chunk.

A generator that is making a chunk cannot be closed from another thread. So the host says, around the lease, when it is
not wanted any more, and an engine that can stop within a chunk asks between its steps::

    with stop_when(lambda: job.cancelled):
        for chunk in engine.lease(request, 0, 8, None): ...

It travels in a context variable: through threads only where they are handed the context, as the guard's and the engine
server's are. An engine that never asks stops at the next chunk, when its host closes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from loopmeter_engine.contract import EngineError

_unwanted: ContextVar[Callable[[], bool] | None] = ContextVar("loopmeter_lease_unwanted", default=None)


class LeaseStopped(EngineError):
    """The lease is not wanted any more. Nothing is wrong, and nothing is charged for the chunk in hand."""


@contextlib.contextmanager
def stop_when(unwanted: Callable[[], bool]) -> Iterator[None]:
    """Leases that run inside end with ``LeaseStopped`` at their next step once ``unwanted()`` is true.

    It is called often and from the engine's threads: let it be quick.
    """
    token = _unwanted.set(unwanted)
    try:
        yield
    finally:
        _unwanted.reset(token)


def check_wanted() -> None:
    """Raise ``LeaseStopped`` if nobody wants this lease any more. Engines call it between two steps."""
    unwanted = _unwanted.get()
    if unwanted is not None and unwanted():
        raise LeaseStopped("expected a lease that is wanted, found one that its host has stopped")
