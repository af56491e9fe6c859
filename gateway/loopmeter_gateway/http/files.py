"""Whole files with ``Range`` (RFC 9110, section 14): one range, of bytes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
from litestar.response import Stream

from loopmeter_gateway.problems import Refused

ReadRange = Callable[[int, int], AsyncIterator[bytes]]
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK_BYTES = 65_536


def ranged(size: int, wanted: str | None, read: ReadRange, media_type: str) -> Stream:
    """Answer with bytes of a file of ``size`` bytes: all of them, or the range that was asked for.

    A range that is not understood is ignored, as the standard asks.

    Raises:
        Refused: range_not_satisfiable (it begins behind the end).
    """
    headers = {"Accept-Ranges": "bytes"}
    start, stop, status = 0, size, 200
    match = _RANGE.fullmatch(wanted or "")
    if match is not None and match.group(0) != "bytes=-":
        first, last = match.groups()
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        if start >= size or (first and last and int(last) < int(first)):
            raise Refused("range_not_satisfiable", f"Range: expected bytes within 0-{size - 1}, found {wanted}")
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    return Stream(read(start, stop), status_code=status, headers=headers, media_type=media_type)


def file_reader(path: Path) -> ReadRange:
    """Read ranges of a file on disk."""

    async def read(start: int, stop: int) -> AsyncIterator[bytes]:
        async with await anyio.open_file(path, "rb") as file:
            await file.seek(start)
            while start < stop:
                data = await file.read(min(_BLOCK_BYTES, stop - start))
                start += len(data)
                yield data

    return read
