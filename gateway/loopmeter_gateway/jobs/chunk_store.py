"""Where the sound of delivered chunks is kept: in files by default, in an S3-compatible store by address.

A chunk is put before it is charged, so whatever was charged is there. A crash in between leaves bytes that nobody was
charged for; the same chunk, made again, is the same bytes in the same place. Meters and charges are in the database.
All calls block: run them in a thread.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from obstore.store import S3Store

_ID = re.compile(r"[A-Za-z0-9_]+")


class ChunkGone(Exception):
    """The chunk is not kept any more."""


class ChunkStore(Protocol):
    """Chunks by job and number. ``offset`` counts the bytes of the job's sound before the chunk."""

    def put(self, job_id: str, index: int, offset: int, pcm: bytes) -> None:
        """Keep a chunk; it survives a power cut once this returns. Putting it again changes nothing."""
        ...

    def get(self, job_id: str, index: int, offset: int, size: int) -> bytes:
        """A chunk that was put. Raises ``ChunkGone``: it was forgotten."""
        ...

    def forget(self, before: datetime) -> int:
        """Forget the jobs to which nothing was added since ``before``: how many files or objects."""
        ...


def open_chunk_store(address: str, data: Path) -> ChunkStore:
    """The store of an address: empty for files under ``data``, a folder, or ``s3://bucket/prefix?endpoint=URL``.

    Credentials of S3 come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``).

    Raises:
        ValueError: not such an address, or the extra ``s3`` is missing.
    """
    if address.startswith("s3://"):
        return S3ChunkStore(address)
    if "://" in address:
        raise ValueError(f"expected a folder or an address such as s3://bucket/prefix, found {address!r}")
    return FileChunkStore(Path(address) if address else data / "chunks")


class FileChunkStore:
    """One file per job, chunks one behind the other. The data are synced at each put, the folder when a file is new."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, job_id: str, index: int, offset: int, pcm: bytes) -> None:
        path = self._path(job_id)
        new = offset == 0 and not path.exists()
        if new:
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            written = 0
            while written < len(pcm):
                written += os.pwrite(descriptor, pcm[written:], offset + written)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            _sync_folder(path.parent)
            _sync_folder(self._folder)

    def get(self, job_id: str, index: int, offset: int, size: int) -> bytes:
        try:
            with self._path(job_id).open("rb") as file:
                file.seek(offset)
                pcm = file.read(size)
        except FileNotFoundError:
            pcm = b""
        if len(pcm) < size:
            raise ChunkGone(f"expected {size} bytes of chunk {index} of {job_id}, found {len(pcm)}")
        return pcm

    def forget(self, before: datetime) -> int:
        old = [path for path in self._folder.glob("*/*.pcm") if path.stat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, job_id: str) -> Path:
        # Ids are random at their end, so the folders fill evenly.
        assert _ID.fullmatch(job_id)
        return self._folder / job_id[-2:] / f"{job_id}.pcm"


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class S3ChunkStore:
    """One object per chunk. An object is durable when the store has answered, and is seen whole or not at all."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        options = dict(parse_qsl(parts.query))
        endpoint = options.pop("endpoint", None)
        if not parts.netloc or options:
            raise ValueError(f"expected an address such as s3://bucket/prefix?endpoint=https://host, found {address!r}")
        try:
            from obstore.store import S3Store
        except ModuleNotFoundError as error:
            raise ValueError("expected the package 'obstore'; install it with: pip install 'loopmeter[s3]'") from error
        prefix = parts.path.strip("/") or None
        self._store: S3Store = S3Store(
            parts.netloc,
            prefix=prefix,
            endpoint=endpoint,
            virtual_hosted_style_request=False,
            client_options={"allow_http": endpoint is not None and endpoint.startswith("http://")},
        )

    def put(self, job_id: str, index: int, offset: int, pcm: bytes) -> None:
        import obstore

        obstore.put(self._store, _key(job_id, index), pcm)

    def get(self, job_id: str, index: int, offset: int, size: int) -> bytes:
        import obstore

        try:
            return bytes(obstore.get(self._store, _key(job_id, index)).bytes())
        except FileNotFoundError as error:
            raise ChunkGone(f"expected chunk {index} of {job_id}, found none") from error

    def forget(self, before: datetime) -> int:
        import obstore

        count = 0
        for page in obstore.list(self._store):
            old = [entry["path"] for entry in page if entry["last_modified"] < before]
            if old:
                obstore.delete(self._store, old)
            count += len(old)
        return count


def _key(job_id: str, index: int) -> str:
    assert _ID.fullmatch(job_id)
    return f"{job_id}/{index:08d}.pcm"
