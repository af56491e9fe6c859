"""Other people's engines, laid out as their installed distributions would be."""

from __future__ import annotations

from pathlib import Path

_ILL_BEHAVED = '''
import threading
from dataclasses import replace

from loopmeter_engine.fake import FakeEngine


class Hangs(FakeEngine):
    """Stands still in its second chunk."""

    def lease(self, request, start_chunk, count, state):
        for chunk in super().lease(request, start_chunk, count, state):
            if chunk.index == 1:
                threading.Event().wait()
            yield chunk


class Miscounts(FakeEngine):
    """Gives fewer frames than it planned, from its third chunk on."""

    def lease(self, request, start_chunk, count, state):
        for chunk in super().lease(request, start_chunk, count, state):
            yield chunk if chunk.index < 2 else replace(chunk, frames=chunk.frames - 1, pcm=chunk.pcm[:-2])


class Raises(FakeEngine):
    """Breaks its contract in its second chunk."""

    def lease(self, request, start_chunk, count, state):
        for chunk in super().lease(request, start_chunk, count, state):
            if chunk.index == 1:
                raise KeyError("a part of mine")
            yield chunk


class Overplans(FakeEngine):
    """Plans other frames than its chunks have."""

    def plan(self, request):
        return replace(super().plan(request), chunk_frames=(1, 2, 3))


class Exits(FakeEngine):
    """Takes its process along when it is asked who it is."""

    def info(self):
        import os

        os._exit(7)
'''


def install(folder: Path, distribution: str, entry: str) -> None:
    """Lay out an installed distribution that names one engine."""
    info = folder / f"{distribution}-3.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 3.2\n")
    (info / "entry_points.txt").write_text(f"[loopmeter.engines]\n{entry}\n")


def install_ill_behaved(folder: Path) -> None:
    """Distribution ``ill``: engines ``hangs``, ``miscounts``, ``raises``, ``overplans``, ``exits``; and ``absent``,
    whose module raises when it is imported."""
    (folder / "ill_behaved.py").write_text(_ILL_BEHAVED)
    (folder / "ill_import.py").write_text("raise RuntimeError('no licence key found')\n")
    names = ("Hangs", "Miscounts", "Raises", "Overplans", "Exits")
    entries = [f"{name.lower()} = ill_behaved:{name}" for name in names]
    install(folder, "ill", "\n".join([*entries, "absent = ill_import:Engine"]))
