"""How a lease goes on when whoever made it is lost: from the next chunk, with the last good state. Torch-free.

What was handed out is never asked for again, so nothing is made or charged twice. Engines over HTTP
(``remote/client.py``) and engine processes (``processes/``) share it. Reading order: ``Lost``, ``Patience``,
``take_up``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Protocol, TypeVar

from loopmeter_engine.contract import Chunk

_Piece = TypeVar("_Piece", bound=Chunk)
MakeLease = Callable[[int, int, bytes | None], Generator[_Piece, None, None]]


class Lost(Exception):
    """Whoever made it is gone, in a way that may pass. The message says how."""


class Patience(Protocol):
    """How often, or how long, it is tried again."""

    def restart(self) -> None:
        """Things went well: count anew."""
        ...

    def lost(self, what: str, cause: Lost) -> None:
        """``what`` was lost: wait until it may be tried again.

        Raises:
            EngineFailed: patience is at its end.
        """
        ...


def take_up(make: MakeLease[_Piece], index: int, end: int, state: bytes | None, patience: Patience) -> Iterator[_Piece]:
    """Chunks ``index .. end - 1``, from as many leases as it takes.

    ``make`` gives a lease by its first chunk, the number of chunks and the state; it raises ``Lost`` when it breaks.
    """
    while index < end:
        try:
            with contextlib.closing(make(index, end - index, state)) as chunks:
                for chunk in chunks:
                    yield chunk
                    index, state = index + 1, chunk.state_after
                    patience.restart()
        except Lost as lost:
            patience.lost(f"the stream before chunk {index}", lost)
