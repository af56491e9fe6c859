"""Cue points in WAV files: one on every bar, with its name. Both middlewares show them as markers when importing.

Layout: ``cue `` and ``LIST adtl`` with ``labl``, of Microsoft's "Multimedia Programming Interface and Data
Specifications 1.0" (1991).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence


def bar_frames(frames: int, bars: int) -> list[int]:
    """The frame at which each bar of a loop begins, rounded to the nearest one: bars need not be whole frames."""
    return [round(bar * frames / bars) for bar in range(bars)]


def with_markers(wav: bytes, at: Sequence[int], names: Sequence[str]) -> bytes:
    """The WAV file with a named marker at each of the frames ``at``. What it had stays as it was, markers excepted.

    Raises:
        ValueError: it is not a WAV file, or a name is missing.
    """
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise ValueError(f"expected a WAV file, found {wav[:12]!r}")
    kept = b"".join(chunk for chunk in _chunks(wav) if not _is_marker(chunk))
    points = b"".join(
        struct.pack("<II4sIII", number, frame, b"data", 0, 0, frame) for number, frame in enumerate(at, start=1)
    )
    labels = b"".join(
        _chunk(b"labl", struct.pack("<I", number) + name.encode() + b"\0")
        for number, (_, name) in enumerate(zip(at, names, strict=True), start=1)
    )
    body = b"WAVE" + kept + _chunk(b"cue ", struct.pack("<I", len(at)) + points) + _chunk(b"LIST", b"adtl" + labels)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(wav: bytes) -> list[bytes]:
    found, at = [], 12
    while at + 8 <= len(wav):
        end = at + 8 + int.from_bytes(wav[at + 4 : at + 8], "little")
        found.append(wav[at : end + end % 2])
        at = end + end % 2
    return found


def _is_marker(chunk: bytes) -> bool:
    return chunk[:4] == b"cue " or (chunk[:4] == b"LIST" and chunk[8:12] == b"adtl")


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
