"""Loops that were paid for once, kept in a folder under the hash of what was asked for.

Several processes share one folder without a lock. An entry is one file, written beside its name and moved there in
one step, so that a reader finds the whole entry or none; and it begins with a checksum, so that what a dying disk or a
power cut left behind is a miss, never a wrong loop. When the folder grows over its bound, what was read longest ago
goes first. Full disks and missing rights make a cache useless, but never fail a call.

Reading order: ``CachedLoop``, ``request_sha256``, ``LoopCache``, the file format.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from loopmeter._models import ChunkMeter, Job, LoopRequest, ResolvedRequest
from loopmeter._wav import write_atomically

CACHE_BYTES_MAX = 1 << 30
_PART_AGE_MAX_S = 60.0  # A writer needs milliseconds; what is older was left behind by a process that was killed.
_SUFFIX = ".loop"
_LOG = logging.getLogger("loopmeter")


@dataclass(frozen=True, slots=True)
class CachedLoop:
    """A completed loop as it was delivered. ``pcm`` is interleaved little-endian, as ``job`` describes it.

    ``fingerprint`` names the weights that made it, ``""`` if nobody knows; ``midi`` is ``None`` if it was not fetched.
    """

    job: Job
    pcm: bytes = field(repr=False)
    meters: tuple[ChunkMeter, ...] = field(default=(), repr=False)
    midi: bytes | None = field(default=None, repr=False)
    fingerprint: str = ""


class CacheStats(NamedTuple):
    """What a cache holds: entries, their bytes, and the bound that it keeps."""

    entries: int
    bytes: int
    bytes_max: int


def request_sha256(request: LoopRequest) -> str:
    """The name of what was asked for, in hexadecimal. Equal requests have equal names, on every machine.

    Fields at their default do not count, so a field that a later version adds leaves old names as they are.
    """
    # Made into the plain request first: an order with a quote asks for the same loop as one without.
    fields = LoopRequest.model_validate(request.model_dump(include=set(LoopRequest.model_fields)))
    text = json.dumps(fields.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def default_cache_folder() -> Path:
    """``LOOPMETER_CACHE``, else the folder for caches that the operating system gives its users."""
    if given := os.environ.get("LOOPMETER_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "loopmeter" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "loopmeter"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopmeter"


class LoopCache:
    """A folder of finished loops, bounded in size, shared by any number of threads and processes.

        cache = LoopCache(bytes_max=200_000_000)
        with Loopmeter(cache=cache) as client:
            client.loops.create("dusty lo-fi drums", bars=4)  # paid
            client.loops.create("dusty lo-fi drums", bars=4)  # from the cache, free

    ``folder`` defaults to ``LOOPMETER_CACHE``, else the user's folder for caches; it is made when first needed.
    ``bytes_max`` bounds the entries. It is kept at the end of every ``put``; while one runs, it may be exceeded by
    what is being written.

    Raises:
        ValueError: ``bytes_max`` is below 1.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, bytes_max: int = CACHE_BYTES_MAX) -> None:
        if bytes_max < 1:
            raise ValueError(f"expected bytes_max of at least 1, found {bytes_max}; to keep nothing, use no cache")
        self.folder = Path(folder) if folder is not None else default_cache_folder()
        self.bytes_max = bytes_max

    def get(self, request: LoopRequest, *, fingerprint: str | None = None) -> CachedLoop | None:
        """The loop that was kept for this request, or ``None``. Reads and checks the whole entry.

        With ``fingerprint``, a loop from other weights is a miss. A damaged entry is a miss and is removed.
        """
        path = self._path(request)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        found = _decode(data, request)
        if found is None:
            _LOG.warning("removing the cache entry %s: its checksum does not fit its content", path)
            _remove(path)
            return None
        if fingerprint is not None and found.fingerprint != fingerprint:
            return None
        with contextlib.suppress(OSError):  # Gone in the meantime, or a folder that may only be read: both are fine.
            os.utime(path)
        return found

    def put(self, request: LoopRequest, loop: CachedLoop) -> bool:
        """Keep a loop, and drop those read longest ago until the bound holds. Whether it was kept.

        ``False``, and one warning in the log, if it is larger than the bound or cannot be written. Never raises
        ``OSError``: a full disk must not cost a loop that is paid for.

        Raises:
            ValueError: the job has not completed, or ``pcm`` is not its length.
        """
        _check_whole(loop)
        data = _encode(request, loop)
        if len(data) > self.bytes_max:
            _LOG.warning("a loop of %d bytes is not cached: the bound is %d bytes", len(data), self.bytes_max)
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(request), data)
        except OSError as error:
            _LOG.warning("a loop is not cached in %s: %s", self.folder, error)
            return False
        finally:
            self._sweep()
        return True

    def clear(self) -> int:
        """Remove every entry. How many there were."""
        entries = list(self._entries())
        for entry in entries:
            _remove(entry.path)
        return len(entries)

    def stats(self) -> CacheStats:
        entries = list(self._entries())
        return CacheStats(len(entries), sum(entry.size for entry in entries), self.bytes_max)

    def _path(self, request: LoopRequest) -> Path:
        return self.folder / f"{request_sha256(request)}{_SUFFIX}"

    def _sweep(self) -> None:
        """Bring the folder under its bound. Whoever moves an entry in last also sweeps last, so it holds in the end."""
        entries = sorted(self._entries(), key=lambda entry: entry.used_ns)
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self.bytes_max:
                break
            _remove(entry.path)
            total -= entry.size
        dead_before_s = time.time() - _PART_AGE_MAX_S
        for part in self._files(".part"):
            with contextlib.suppress(OSError):
                if part.stat().st_mtime < dead_before_s:
                    _remove(part)

    def _entries(self) -> Iterator[_Entry]:
        for path in self._files(_SUFFIX):
            with contextlib.suppress(OSError):  # Removed by another process since it was listed.
                status = path.stat()
                yield _Entry(path, status.st_size, status.st_mtime_ns)

    def _files(self, suffix: str) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.name.endswith(suffix)]
        except OSError:
            return []


class _Entry(NamedTuple):
    path: Path
    size: int
    used_ns: int


def _remove(path: Path) -> None:
    """Windows refuses while somebody reads; then the next sweep takes it."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


# An entry: magic, SHA-256 of all that follows, size of the head in 4 bytes, head (JSON), MIDI, PCM.
_MAGIC = b"LMCACHE1"
_PREFIX_BYTES = len(_MAGIC) + 32 + 4


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    request: ResolvedRequest
    job: Job
    meters: tuple[ChunkMeter, ...]
    midi_bytes: int | None
    fingerprint: str


def _check_whole(loop: CachedLoop) -> None:
    job = loop.job
    expected_bytes = job.frames * job.channels * job.bits // 8
    if job.state != "completed" or len(loop.pcm) != expected_bytes:
        raise ValueError(
            f"expected a completed job with {expected_bytes} bytes of sound, found {job.state} with {len(loop.pcm)}; "
            "keep whole loops only"
        )


def _encode(request: LoopRequest, loop: CachedLoop) -> bytes:
    head = _Head(
        request=ResolvedRequest.model_validate(request.model_dump(include=set(LoopRequest.model_fields))),
        job=loop.job,
        meters=loop.meters,
        midi_bytes=None if loop.midi is None else len(loop.midi),
        fingerprint=loop.fingerprint,
    )
    text = head.model_dump_json(exclude_none=True).encode()
    content = len(text).to_bytes(4, "little") + text + (loop.midi or b"") + loop.pcm
    return _MAGIC + hashlib.sha256(content).digest() + content


def _decode(data: bytes, request: LoopRequest) -> CachedLoop | None:
    """The loop, or ``None`` for anything but a whole, undamaged entry of this request."""
    content = memoryview(data)[_PREFIX_BYTES - 4 :]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(content).digest() != data[len(_MAGIC) : _PREFIX_BYTES - 4]:
        return None
    head_end = 4 + int.from_bytes(content[:4], "little")
    try:
        head = _Head.model_validate_json(bytes(content[4:head_end]))
    except ValidationError:  # Written by a version that knew other fields.
        return None
    if request_sha256(head.request) != request_sha256(request):
        return None
    pcm_start = head_end + (head.midi_bytes or 0)
    loop = CachedLoop(
        job=head.job,
        pcm=bytes(content[pcm_start:]),
        meters=head.meters,
        midi=None if head.midi_bytes is None else bytes(content[head_end:pcm_start]),
        fingerprint=head.fingerprint,
    )
    try:
        _check_whole(loop)
    except ValueError:
        return None
    return loop
