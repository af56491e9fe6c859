"""A finished loop in the caller's hands: sound, bill and score. Sync and async differ in ``midi`` only."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from loopmeter._models import ChunkMeter, Job, Quote
from loopmeter._wav import wav_bytes, write_atomically


@dataclass(frozen=True, slots=True)
class FinishedLoop:
    """What ``Loop`` and ``AsyncLoop`` share.

    ``pcm`` is interleaved little-endian, ``channels`` x ``bits`` per frame, ``frames`` long to the sample.
    ``first_chunk_s`` and ``total_s`` are seconds from the call to the first chunk and to the end.
    """

    job: Job
    pcm: bytes = field(repr=False)
    meters: tuple[ChunkMeter, ...] = field(repr=False)
    first_chunk_s: float
    total_s: float
    quote: Quote | None = None
    idempotency_key: str | None = None

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def tokens_charged(self) -> int:
        return self.job.tokens_charged

    @property
    def frames(self) -> int:
        return self.job.frames

    @property
    def duration_s(self) -> float:
        return self.job.frames / self.job.sample_rate_hz

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
