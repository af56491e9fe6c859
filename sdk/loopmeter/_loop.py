"""A finished loop in the caller's hands: sound, bill and score. Sync and async differ in ``midi`` only."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from loopmeter._models import ChunkMeter, Job, JobState, Quote
from loopmeter._pcm import pcm_array, pcm_floats
from loopmeter._wav import wav_bytes, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LoopSource = Literal["gateway", "cache", "pack"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a job was charged, in the gateway's words. ``chunks`` are charged, and can be fetched again, free.

    A chunk that was on its way when its reader left is charged too. ``tokens_quoted`` is ``None`` if it was not said.
    """

    job: str
    state: JobState
    tokens_charged: int
    chunks: int
    tokens_quoted: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is. ``frames`` of ``frames_total`` are here, ``tokens_charged`` is their price."""

    chunks: int
    chunks_total: int
    frames: int
    frames_total: int
    tokens_charged: int

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return self.frames / self.frames_total if self.frames_total else 1.0


@dataclass(frozen=True, slots=True)
class FinishedLoop:
    """What ``Loop`` and ``AsyncLoop`` share.

    ``pcm`` is interleaved little-endian, ``channels`` x ``bits`` per frame, ``frames`` long to the sample.
    ``first_chunk_s`` and ``total_s`` are seconds from the call to the first chunk and to the end.
    ``source`` says where it came from; if that is the pack, ``reason`` says why the gateway did not make it.
    """

    job: Job
    pcm: bytes = field(repr=False)
    meters: tuple[ChunkMeter, ...] = field(repr=False)
    first_chunk_s: float
    total_s: float
    quote: Quote | None = None
    idempotency_key: str | None = None
    source: LoopSource = "gateway"
    reason: str = ""

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def tokens_charged(self) -> int:
        """What this call cost: nothing for what came from the cache or a pack, whatever it cost when it was made."""
        return self.job.tokens_charged if self.source == "gateway" else 0

    @property
    def frames(self) -> int:
        return self.job.frames

    @property
    def duration_s(self) -> float:
        return self.job.frames / self.job.sample_rate_hz

    @property
    def sha256(self) -> str:
        """The checksum of ``pcm``, in hex: the same request gives the same one."""
        return hashlib.sha256(self.pcm).hexdigest()

    def floats(self) -> array[float]:
        """The samples from -1 to 1 as C floats, interleaved."""
        return pcm_floats(self.pcm, self.job.bits)

    def ndarray(self) -> NDArray[np.float32]:
        """The samples from -1 to 1 as a float32 array of shape (frames, channels). Needs numpy."""
        return pcm_array(self.pcm, self.job.channels, self.job.bits)

    @property
    def wav(self) -> bytes:
        """The whole loop as a WAV file."""
        return wav_bytes(self.pcm, self.job.sample_rate_hz, self.job.channels, self.job.bits)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the WAV file, whole or not at all. Raises ``OSError``."""
        write_atomically(path, self.wav)


@dataclass(frozen=True, slots=True)
class Loop(FinishedLoop):
    """A finished loop.

    loop = Loopmeter().loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4)
    loop.save("loop.wav")
    loop.save_midi("loop.mid")
    """

    fetch_midi: Callable[[], bytes] = field(kw_only=True, repr=False, compare=False)

    def midi(self) -> bytes:
        """The score as a Standard MIDI File, fetched from the gateway. Raises as every call."""
        return self.fetch_midi()

    def save_midi(self, path: str | os.PathLike[str]) -> None:
        """Write the score, whole or not at all. Raises ``OSError``, and as every call."""
        write_atomically(path, self.fetch_midi())


@dataclass(frozen=True, slots=True)
class AsyncLoop(FinishedLoop):
    """A finished loop; as ``Loop``, with awaitable ``midi`` and ``save_midi``."""

    fetch_midi: Callable[[], Awaitable[bytes]] = field(kw_only=True, repr=False, compare=False)

    async def midi(self) -> bytes:
        """The score as a Standard MIDI File, fetched from the gateway. Raises as every call."""
        return await self.fetch_midi()

    async def save_midi(self, path: str | os.PathLike[str]) -> None:
        """Write the score, whole or not at all. Raises ``OSError``, and as every call."""
        write_atomically(path, await self.fetch_midi())
