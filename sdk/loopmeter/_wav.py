"""RIFF WAVE files of known length. Pure but for ``write_wav``.

The header is the plain 44-byte one also at 24 bit, where Microsoft's note asks for WAVE_FORMAT_EXTENSIBLE: Python's
own ``wave`` before 3.12 and several game engines refuse the extensible form, and every reader we know takes this one.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

WAV_HEADER_BYTES = 44
_RIFF_BYTES_MAX = 2**32 - 1
_FORMAT_PCM = 1


def wav_header(frames: int, sample_rate_hz: int, channels: int, bits: int) -> bytes:
    """The 44 bytes in front of ``frames`` frames of interleaved little-endian PCM.

    The file needs ``wav_padding`` behind its last frame.

    Raises:
        ValueError: bits other than 16 or 24, a number below its least, or more than the 4 GiB that RIFF can say.
    """
    if bits not in (16, 24):
        raise ValueError(f"expected bits 16 or 24, found {bits}")
    if frames < 0 or sample_rate_hz < 1 or channels < 1:
        raise ValueError(
            "expected frames >= 0, sample_rate_hz >= 1 and channels >= 1, "
            f"found frames={frames}, sample_rate_hz={sample_rate_hz}, channels={channels}"
        )
    frame_bytes = channels * bits // 8
    data_bytes = frames * frame_bytes
    riff_bytes = WAV_HEADER_BYTES - 8 + data_bytes + data_bytes % 2
    if riff_bytes > _RIFF_BYTES_MAX:
        raise ValueError(f"expected at most {_RIFF_BYTES_MAX} bytes in a WAV file, found {riff_bytes}")
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff_bytes,
        b"WAVE",
        b"fmt ",
        16,
        _FORMAT_PCM,
        channels,
        sample_rate_hz,
        sample_rate_hz * frame_bytes,
        frame_bytes,
        bits,
        b"data",
        data_bytes,
    )


def wav_padding(frames: int, channels: int, bits: int) -> bytes:
    """The pad byte that RIFF asks for behind an odd number of data bytes (mono, 24 bit, odd length), else nothing."""
    return b"\0" * (frames * channels * bits // 8 % 2)


def wav_bytes(pcm: bytes, sample_rate_hz: int, channels: int, bits: int) -> bytes:
    """A whole WAV file around ``pcm``.

    Raises:
        ValueError: as ``wav_header``, or ``pcm`` does not end on a frame.
    """
    frames, rest = divmod(len(pcm), channels * bits // 8)
    if rest:
        raise ValueError(f"expected whole frames of {channels * bits // 8} bytes, found {rest} bytes over")
    return wav_header(frames, sample_rate_hz, channels, bits) + pcm + wav_padding(frames, channels, bits)


def write_wav(path: str | os.PathLike[str], pcm: bytes, sample_rate_hz: int, channels: int, bits: int) -> None:
    """Write a WAV file whole or not at all. Raises ``ValueError`` as ``wav_bytes``, and ``OSError``."""
    write_atomically(path, wav_bytes(pcm, sample_rate_hz, channels, bits))


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one, never a part.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write in pieces: it takes its name when the block ends well, else it is gone. Raises ``OSError``."""
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)  # mkstemp gives 0600, which a DAW under another user could not read.
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
