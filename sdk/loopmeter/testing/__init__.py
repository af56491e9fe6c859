"""Test a game or a tool without a server: a gateway in memory, scripted faults, a clock that does not wait, builders.

    from loopmeter.testing import Cut, FakeGateway

    gateway = FakeGateway(faults=[Cut(5_000)])
    loop = gateway.client().loops.create("dusty lo-fi drums", bars=4)

Nothing in the library imports this package.
"""

from loopmeter.testing._builders import make_chunk, make_error, make_loop, make_quote
from loopmeter.testing._clock import EPOCH, AsyncManualClock, ManualClock
from loopmeter.testing._faults import Corrupt, Cut, Delay, End, Fault, Lose, Refuse, Repeat, Unreachable
from loopmeter.testing._gateway import FakeGateway

__all__ = [
    "EPOCH",
    "AsyncManualClock",
    "Corrupt",
    "Cut",
    "Delay",
    "End",
    "FakeGateway",
    "Fault",
    "Lose",
    "ManualClock",
    "Refuse",
    "Repeat",
    "Unreachable",
    "make_chunk",
    "make_error",
    "make_loop",
    "make_quote",
]
