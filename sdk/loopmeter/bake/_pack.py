"""A baked pack on disk, opened for reading: by a game, by a client without a gateway, by the next bake."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import wave
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from loopmeter._cache import CachedLoop, request_sha256
from loopmeter._models import ChunkMeter, Job, LoopRequest
from loopmeter.bake._exceptions import PackDamaged
from loopmeter.bake._manifest import MANIFEST_NAME, Manifest, PackFile, PackLoop, StoredFile

_LOG = logging.getLogger("loopmeter")


class _Place(NamedTuple):
    loop: PackLoop
    file: PackFile


class Pack:
    """A folder made by ``loopmeter bake``. Reads nothing but the manifest until sound is asked for.

        pack = Pack("music")
        battle = pack.loop("battle")            # length, tempo, bars, stems
        drums = pack.read("battle", "drums")    # checked against its checksum

    Raises:
        PackDamaged: there is no manifest, or it is not one that this version reads.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder / MANIFEST_NAME)
        self._places = [_Place(loop, file) for loop in self.manifest.loops for file in loop.files]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the loops and stingers, in the order of the music file."""
        return tuple(loop.name for loop in self.manifest.loops)

    @property
    def file_names(self) -> tuple[str, ...]:
        """Every file that can be read: ``name``, or ``name.stem``."""
        return tuple(self.manifest.files())

    def loop(self, name: str) -> PackLoop:
        """What is known of one loop. Raises ``KeyError`` if the pack has none of this name."""
        for loop in self.manifest.loops:
            if loop.name == name:
                return loop
        raise KeyError(f"expected one of {', '.join(self.names)}, found {name!r}")

    def read(self, name: str, stem: str | None = None) -> CachedLoop:
        """The sound, the notes and the bill of one file.

        Raises:
            KeyError: no such loop, or no such stem of it.
            PackDamaged: a file is missing or is not what was baked.
        """
        loop = self.loop(name)
        for file in loop.files:
            if file.stem == stem:
                return self._read(_Place(loop, file))
        stems = ", ".join(str(file.stem) for file in loop.files)
        raise KeyError(f"expected a stem of {name!r} among {stems}, found {stem!r}")

    def find(self, request: LoopRequest) -> CachedLoop | None:
        """The loop that was baked from exactly this request; ``None`` if there is none or its file is damaged."""
        name = request_sha256(request)
        for place in self._places:
            if place.file.request_sha256 == name:
                try:
                    return self._read(place)
                except PackDamaged as error:
                    _LOG.warning("%s", error.message)
        return None

    def check(self) -> list[str]:
        """What is wrong with the files, one sentence each; reads every byte. Empty: all is as it was baked."""
        problems = []
        for place in self._places:
            for stored in (place.file.audio, place.file.midi):
                try:
                    stored_bytes(self.folder, stored)
                except PackDamaged as error:
                    problems.append(error.message)
        return problems

    def _read(self, place: _Place) -> CachedLoop:
        loop, file = place
        pcm = _pcm(stored_bytes(self.folder, file.audio), loop, self.folder / file.audio.path)
        job = Job(
            id=file.job,
            state="completed",
            frames=loop.frames,
            chunks=file.chunks,
            chunks_delivered=file.chunks,
            sample_rate_hz=loop.sample_rate_hz,
            channels=loop.channels,
            bits=loop.bits,
            tokens_quoted=file.tokens_charged,
            tokens_charged=file.tokens_charged,
            request=file.resolved,
            created_at=file.baked_at,
        )
        meter = ChunkMeter(index=0, frames=loop.frames, tokens=file.tokens_charged, tokens_total=file.tokens_charged)
        return CachedLoop(job, pcm, (meter,), stored_bytes(self.folder, file.midi), file.fingerprint)


def stored_bytes(folder: Path, stored: StoredFile) -> bytes:
    """The bytes of a file of a pack, checked. Raises ``PackDamaged``."""
    path = folder / stored.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PackDamaged(
            f"expected a path inside {folder}, found {stored.path!r} in its manifest; do not use this pack"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackDamaged(f"expected {path}, found {error.strerror or error}; bake the pack again") from error
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        raise PackDamaged(f"expected {path} as it was baked, found other bytes; bake the pack again")
    return data


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PackDamaged(
            f"expected a pack at {path.parent}, found {error.strerror or error} on {path.name}; "
            "make one with 'loopmeter bake'"
        ) from error
    except ValidationError as error:
        raise PackDamaged(f"expected a manifest of format 1 at {path}, found another; bake the pack again") from error


def _pcm(data: bytes, loop: PackLoop, path: Path) -> bytes:
    """Interleaved PCM at the pack's rate, channels and bits. WAV is read by Python itself, ogg by soundfile."""
    if path.suffix == ".wav":
        with wave.open(io.BytesIO(data), "rb") as reader:
            return reader.readframes(reader.getnframes())
    try:
        import numpy as np
        import soundfile  # Loaded late: only who plays an ogg pack from Python needs it.
    except ModuleNotFoundError as error:
        raise PackDamaged(
            f"expected the module {error.name!r} to read {path}, found none; install it with: "
            "pip install soundfile, or bake the pack as wav"
        ) from error
    samples, _ = soundfile.read(io.BytesIO(data), dtype="int32", always_2d=True)
    if samples.shape != (loop.frames, loop.channels):
        raise PackDamaged(f"expected {loop.frames} frames x {loop.channels} in {path}, found {samples.shape}")
    wide = np.ascontiguousarray(samples, dtype="<i4").view(np.uint8).reshape(-1, 4)  # little end first
    packed: bytes = wide[:, 4 - loop.bits // 8 :].tobytes()
    return packed
