"""What lies in a pack, and where it comes from: ``manifest.json``. Types and pure functions; ``Pack`` reads files.

Game code in any language may read it; ``docs/bake.md`` describes the fields. Unknown fields are ignored, so that an
older reader takes a newer pack of the same ``format``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from loopmeter._models import Layer, ResolvedRequest
from loopmeter.bake._music import Kind, PackFormat

MANIFEST_NAME = "manifest.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StoredFile(_Record):
    """A file of the pack: its path inside, its size, and the checksum of its bytes."""

    path: str
    bytes: int
    sha256: str


class PackFile(_Record):
    """The sound of one stem (``None``: of the whole loop), what was asked for, what made it, and what it cost.

    ``request`` is what was asked, ``resolved`` what the engine made of it. ``enters`` is the stem's intensity.
    """

    stem: Layer | None
    enters: float
    audio: StoredFile
    midi: StoredFile
    prompt: str
    seed: int
    model: str
    model_version: str
    fingerprint: str
    licence: str
    job: str
    chunks: int
    tokens_charged: int
    baked_at: AwareDatetime
    request_sha256: str
    request: ResolvedRequest
    resolved: ResolvedRequest


class PackLoop(_Record):
    """One loop or stinger. It repeats from frame 0 up to, not including, ``frames``."""

    name: str
    kind: Kind
    frames: int
    sample_rate_hz: int
    channels: int
    bits: int
    tempo_bpm: float | None
    bars: int | None
    beats_per_bar: int
    key: str | None
    phrase_bars: int
    files: tuple[PackFile, ...]


class Manifest(_Record):
    """The whole pack. ``complete`` is false while a bake has not come to its end."""

    format: Literal[1] = 1
    name: str
    audio_format: PackFormat
    complete: bool
    live: bool = False
    tokens_charged: int
    loops: tuple[PackLoop, ...]

    def files(self) -> dict[str, PackFile]:
        """Every file by ``name`` or ``name.stem``."""
        return {
            loop.name if file.stem is None else f"{loop.name}.{file.stem}": file
            for loop in self.loops
            for file in loop.files
        }

    def paths(self) -> set[str]:
        """The path of everything that belongs to the pack but the manifest and the disclosure."""
        return {stored.path for file in self.files().values() for stored in (file.audio, file.midi)}
