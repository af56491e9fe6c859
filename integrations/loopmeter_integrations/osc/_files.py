"""Loops as files: whole or not there, and never outside the folder. Blocking; call it from a worker thread."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import BinaryIO

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_CHARACTERS_MAX = 60


def safe_name(*parts: str) -> str:
    """A file name without its ending, from anything: letters, digits, ``-`` and ``_`` of each part, at most 60."""
    cleaned = [_UNSAFE.sub("-", part)[:_NAME_CHARACTERS_MAX].strip("-") for part in parts]
    return "-".join(part for part in cleaned if part) or "loop"


def open_files(folder: Path, count: int) -> list[AtomicFile]:
    """``count`` files, or none: those that could be opened are removed again when one cannot. Raises ``OSError``."""
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(AtomicFile(folder)) for _ in range(count)]
        opened.pop_all()
        return files


class AtomicFile:
    """A file that appears whole under its name, or not at all.

    The bytes are on the disk before the name is: written to a hidden file in ``folder``, synced, renamed. Without a
    ``commit``, leaving the ``with`` block removes them.

    >>> with AtomicFile(folder) as file:      # doctest: +SKIP
    ...     file.write(header)
    ...     path = file.commit("loop.wav")
    """

    def __init__(self, folder: Path) -> None:
        descriptor, self._temporary = tempfile.mkstemp(dir=folder, prefix=".loopmeter-", suffix=".part")
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._folder = folder

    def is_there(self) -> bool:
        """Whether it can still be given a name: nobody has moved its folder or taken the right to write there."""
        return os.access(self._folder, os.W_OK | os.X_OK) and os.path.exists(self._temporary)

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)

    def commit(self, name: str) -> Path:
        """Make it durable, give it its name, in place of a file that has it already. Raises ``OSError``."""
        path = self._folder / name
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.chmod(self._temporary, 0o644)  # mkstemp gives 0600; the DAW may run as another user.
        os.replace(self._temporary, path)
        return path

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        Path(self._temporary).unlink(missing_ok=True)
