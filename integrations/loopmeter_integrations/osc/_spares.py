"""Open files before anybody asks for them: opening takes a worker thread, and an order should not wait for one."""

from __future__ import annotations

import asyncio
import contextlib
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
        spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(OSError):
                files = await _result(spare)
                if all(file.is_there() for file in files):
                    return files
                _close(files)
        return await _result(self._open())

    async def close(self) -> None:
        """Remove the spare pair. What was taken is its taker's."""
        self._closed = True
        opening, self._spare = self._spare, None
        if opening is not None:
            await asyncio.wait([opening])
            _close_result(opening)

    def _open(self) -> _Opening:
        return asyncio.create_task(asyncio.to_thread(open_files, self._folder, FILES_OF_A_LOOP))


async def _result(opening: _Opening) -> list[AtomicFile]:
    """The files. A thread cannot be cancelled: what it opens for nobody is closed."""
    if opening.done():
        return opening.result()
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_result)
        raise


def _close_result(opening: _Opening) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())


def _close(files: list[AtomicFile]) -> None:
    for file in files:
        file.__exit__()
