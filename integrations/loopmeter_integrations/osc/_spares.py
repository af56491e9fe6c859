"""Open files before anybody asks for them: opening takes a worker thread, and an order should not wait for one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from loopmeter_integrations.osc._files import AtomicFile, open_files

FILES_OF_A_LOOP = 2  # Its sound and its notes.

_Opening = asyncio.Task[list[AtomicFile]]


class SpareFiles:
    """Files in ``folder``, and a pair of them that is open for the next loop. For one event loop; ``close`` it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spare: _Opening | None = None
        self._closed = False

    def prepare(self) -> None:
        """Open the next pair, unless it is there."""
        if self._spare is None and not self._closed:
            self._spare = self._open()

    @property
    def ready(self) -> bool:
        """Whether a pair can be taken without waiting."""
        return self._spare is not None and self._spare.done()

    async def take(self) -> list[AtomicFile]:
        """A pair of files, for the caller to close. A spare one whose folder has changed since is not given.

        Raises:
            OSError: the folder cannot be written.
        """
        ready = self.ready
        opening, self._spare = self._spare, None
        if opening is not None and ready:
            if _is_good(opening):
                return opening.result()
            _close_again(opening)
            opening = None
        opening = opening or self._open()
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # A thread cannot be cancelled: what it opens for nobody is closed.
            opening.add_done_callback(_close_again)
            raise

    async def close(self) -> None:
        """Remove the spare pair. What was taken is its taker's."""
        self._closed = True
        opening, self._spare = self._spare, None
        if opening is not None:
            await asyncio.wait([opening])
            _close_again(opening)

    def _open(self) -> _Opening:
        return asyncio.create_task(asyncio.to_thread(open_files, self._folder, FILES_OF_A_LOOP))


def _is_good(opening: _Opening) -> bool:
    return opening.exception() is None and all(file.is_there() for file in opening.result())


def _close_again(opening: _Opening) -> None:
    if not opening.cancelled() and opening.exception() is None:
        for file in opening.result():
            file.__exit__()
