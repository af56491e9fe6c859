"""The loops that this bridge has made, found by who asked for them under which id, or by the name of their file."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from loopmeter_integrations.osc._clients import Client

LOOPS_KEPT_MAX = 1024


@dataclass(frozen=True, slots=True)
class MadeLoop:
    """A loop on the disk, and how many beats it lasts."""

    path: Path
    beats: float


class Library:
    """Remembers the last ``kept_max`` loops; the files of older ones stay where they are."""

    def __init__(self, kept_max: int = LOOPS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._by_name: OrderedDict[str, MadeLoop] = OrderedDict()
        self._by_id: OrderedDict[tuple[Client, str], MadeLoop] = OrderedDict()

    def add(self, client: Client, own_id: str, made: MadeLoop) -> None:
        """An id that is used again means its last loop."""
        self._by_name[made.path.name] = made
        self._by_id[client, own_id] = made
        self._by_id.move_to_end((client, own_id))
        while len(self._by_name) > self._kept_max:
            self._by_name.popitem(last=False)
        while len(self._by_id) > self._kept_max:
            self._by_id.popitem(last=False)

    def find(self, client: Client, name: str) -> MadeLoop | None:
        """The client's loop of this id, or anybody's whose WAV file has this name, with or without its folder."""
        return self._by_id.get((client, name)) or self._by_name.get(Path(name).name)
