"""The keys of the orders of a bake under way, on disk before an order is sent, so that no order is paid twice."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from loopmeter._wav import write_atomically
from loopmeter.bake._music import BakeItem

JOURNAL_NAME = ".bake.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    request_sha256: str
    key: str


class _Entries(RootModel[dict[str, _Entry]]):
    pass


class Journal:
    """Keys by file of the pack. Safe to use from several threads; one bake at a time per folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_NAME
        self._lock = threading.Lock()
        try:
            self._entries = _Entries.model_validate_json(self._path.read_bytes()).root
        except (OSError, ValidationError):  # The first bake, or a journal that nobody can read: begin anew.
            self._entries = {}
        self._before = dict(self._entries)

    def key(self, item: BakeItem, *, anew: bool = False) -> str:
        """The idempotency key for this item: that of a bake that broke off, if it asked for the same, else a new one.

        Raises:
            OSError: the key cannot be written; then the order must not be sent.
        """
        with self._lock:
            entry = self._entries.get(item.file_stem)
            if entry is None or entry.request_sha256 != item.request_sha256 or anew:
                entry = _Entry(request_sha256=item.request_sha256, key=f"bake-{uuid.uuid4().hex}")
                self._entries[item.file_stem] = entry
                write_atomically(self._path, _Entries(self._entries).model_dump_json().encode())
            return entry.key

    def is_from_before(self, item: BakeItem) -> bool:
        """Whether the item's key was made by an earlier bake, which may have left a job that cannot complete."""
        entry = self._entries.get(item.file_stem)
        return entry is not None and self._before.get(item.file_stem) == entry

    def clear(self) -> None:
        """Forget all keys: the bake is complete, and the next one means new loops."""
        with self._lock:
            self._entries = {}
            if self._path.exists():
                os.unlink(self._path)
