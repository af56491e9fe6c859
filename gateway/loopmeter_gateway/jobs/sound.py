"""The sound of a job that has ended, as a file: WAV from the stored chunks, flac and ogg encoded once and kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from loopmeter._wav import WAV_HEADER_BYTES, wav_header, wav_padding
from loopmeter_gateway.jobs.records import JobRecord

ReadPcm = Callable[[int], bytes]
ENCODINGS = {"flac": "audio/flac", "ogg": "audio/ogg"}


def wav_bytes_count(record: JobRecord) -> int:
    """The size of the WAV file of what was delivered."""
    offer = record.offer
    padding = wav_padding(record.frames_delivered, offer.channels, offer.bits)
    return WAV_HEADER_BYTES + record.frames_delivered * offer.channels * offer.bits // 8 + len(padding)


def wav_parts(record: JobRecord, start: int, stop: int) -> Iterator[tuple[int | bytes, slice]]:
    """Bytes ``start .. stop - 1`` of the WAV file as parts: bytes or a chunk index, and what to take of it."""
    offer = record.offer
    frame_bytes = offer.channels * offer.bits // 8
    frames = record.frames_delivered
    parts: list[tuple[int | bytes, int]] = [
        (wav_header(frames, offer.sample_rate_hz, offer.channels, offer.bits), WAV_HEADER_BYTES)
    ]
    parts += [(index, offer.chunk_frames[index] * frame_bytes) for index in range(record.chunks_delivered)]
    padding = wav_padding(frames, offer.channels, offer.bits)
    parts.append((padding, len(padding)))
    offset = 0
    for part, size in parts:
        wanted = slice(max(start - offset, 0), min(stop - offset, size))
        if wanted.start < wanted.stop:
            yield part, wanted
        offset += size


def encoded_file(record: JobRecord, encoding: str, folder: Path, cache_bytes_max: int, read_pcm: ReadPcm) -> Path:
    """The flac or ogg file of a job, made at the first call. Blocks: run it in a thread.

    Kept, because every ogg encoding gets another serial number, and a client that asks for ranges must not get
    parts of two different files.
    """
    path = folder / f"{record.id}.{encoding}"
    if path.exists():
        os.utime(path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(descriptor)
    try:
        _encode(record, encoding, temporary, read_pcm)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _drop_oldest(folder, cache_bytes_max, keep=path)
    return path


def _encode(record: JobRecord, encoding: str, path: str, read_pcm: ReadPcm) -> None:
    offer = record.offer
    subtype = "VORBIS" if encoding == "ogg" else f"PCM_{offer.bits}"
    with soundfile.SoundFile(path, "w", offer.sample_rate_hz, offer.channels, subtype, format=encoding.upper()) as file:
        for index in range(record.chunks_delivered):
            file.write(_samples(read_pcm(index), offer.channels, offer.bits))


def _samples(pcm: bytes, channels: int, bits: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Interleaved little-endian PCM of 16 or 24 bits -> (frames, channels), 32 bits, full scale."""
    size = bits // 8
    wide = np.zeros((len(pcm) // size, 4), np.uint8)
    wide[:, 4 - size :] = np.frombuffer(pcm, np.uint8).reshape(-1, size)
    return wide.view("<i4").reshape(-1, channels)


def _drop_oldest(folder: Path, bytes_max: int, keep: Path) -> None:
    """Hold the folder below its size. Files in use stay readable until they are closed."""
    files = sorted(((path.stat().st_mtime, path.stat().st_size, path) for path in folder.iterdir()), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > bytes_max and path != keep and path.suffix != ".part":
            path.unlink(missing_ok=True)
