"""The contract between whoever sells loops and whatever makes them. Torch-free; every engine stands behind it.

Reading order: ``EngineInfo``, ``Plan``, ``Chunk``, ``Engine``; then ``LiveEngine``, for engines that can also play
without an end (``live_grid.py`` says where their settings take effect). An engine is found by name under the
entry-point group ``loopmeter.engines`` (see ``registry.py``); the entry point names a callable without arguments that
returns an ``Engine``. Calls are synchronous and may take seconds: run them in worker threads, as many leases at once
as ``EngineInfo.streams_at_once`` says, and one lease of a stream after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from loopmeter import LiveRequest, LiveSettings, LoopRequest

LEASE_CHUNKS_MAX = 8


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is. ``fingerprint`` covers weights, number format, library and device.

    Two leases with equal request, state and fingerprint give equal bytes. ``weights`` says where they are, ``notes``
    what an operator should know (a part that is missing, a mode that was chosen). ``commercial`` is whether anybody
    may sell the sound, ``output_rights`` says in words whose it is and what may be done with it. ``streams_at_once``:
    how many leases may run at the same time, each in a thread of its own; an engine that shares anything between calls
    without a lock leaves it at 1. ``processes``: how many of their own do the work; 0 if the caller's does.
    """

    name: str
    version: str
    fingerprint: str
    sample_rate_hz: int
    capabilities: frozenset[str]
    duration_s_max: float
    licence: str
    weights: str = ""
    notes: tuple[str, ...] = ()
    commercial: bool = True
    streams_at_once: int = 1
    output_rights: str = ""
    processes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What making a request will take: exact, and the same at every call, so that a quote is a price.

    ``request`` is the request with nothing left open (tempo, bars and key filled in). ``chunk_frames[k]`` is the
    length of chunk k; the sum is ``frames``. PCM is interleaved little-endian, ``channels`` x ``bits`` per frame.
    ``first_chunk_flops`` is the part of ``flops`` that the first sound waits for; 0 where the engine does not tell.
    Over what the device computes in a second, it is the wait; the rest of ``flops`` gives the rate (``pace.py``).
    """

    request: LoopRequest
    frames: int
    sample_rate_hz: int
    channels: int
    bits: int
    chunk_frames: tuple[int, ...]
    flops: int
    peak_memory_bytes: int
    first_chunk_flops: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one chunk took. Counted once, when the chunk is made; a replay of stored bytes counts nothing."""

    frames: int
    steps: int
    flops: int
    device_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of sound. ``state_after`` continues the stream at ``index + 1``, in this process or another."""

    index: int
    pcm: bytes
    frames: int
    usage: Usage
    state_after: bytes


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """The score behind a request: a Standard MIDI File, and a summary of plain JSON values."""

    midi: bytes
    summary: dict[str, object]


class EngineError(Exception):
    """Base of what an engine raises on purpose."""


class InvalidRequest(EngineError):
    """The request cannot be made. ``field`` names the culprit; the message says expected, found, and what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class EngineFailed(EngineError):
    """The engine broke while making a chunk. The same lease may be tried again."""


class Engine(Protocol):
    """Make loops. All methods are pure functions of their arguments and the engine's weights."""

    def info(self) -> EngineInfo: ...

    def plan(self, request: LoopRequest) -> Plan:
        """Resolve and measure a request without making it. Cheap (a few milliseconds).

        Raises:
            InvalidRequest: the request asks for what this engine cannot make.
        """
        ...

    def score(self, request: LoopRequest) -> ScoreSheet:
        """The score that ``lease`` will play. Raises as ``plan``."""
        ...

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        """Make chunks ``start_chunk .. start_chunk + count - 1`` in order, at most ``LEASE_CHUNKS_MAX``.

        ``state`` is the ``state_after`` of chunk ``start_chunk - 1``; ``None`` at chunk 0, or to have the engine
        work its way there again. Any split into leases gives the same bytes, also beside other leases. Closing the
        iterator stops the work; to stop within a chunk, ask ``stopping.check_wanted`` between steps. Raises as
        ``plan``; ``EngineFailed`` when the work broke.
        """
        ...


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What an endless session takes, per chunk: every chunk is ``chunk_frames`` frames long.

    ``request`` is the request with nothing left open (tempo, key and layers filled in).
    """

    request: LiveRequest
    sample_rate_hz: int
    channels: int
    bits: int
    chunk_frames: int
    flops_per_chunk: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class LiveChange:
    """Settings that came when chunk ``from_chunk`` was the next to be made."""

    from_chunk: int
    settings: LiveSettings


@dataclass(frozen=True, slots=True)
class Applied:
    """Where change number ``change`` of the log took effect: at ``frame``, counted from the session's start.

    That is where bar ``bar`` begins, counted from 0.
    """

    change: int
    frame: int
    bar: int


@dataclass(frozen=True, slots=True)
class LiveChunk(Chunk):
    """A chunk of an endless session; ``applied`` are the changes that take effect inside it, in order."""

    applied: tuple[Applied, ...] = ()


@runtime_checkable
class LiveEngine(Protocol):
    """Play without an end, steered. The same rules as for ``Engine``: pure functions, the state is a value."""

    def plan_live(self, request: LiveRequest) -> LivePlan:
        """Resolve and measure a session. Cheap: it also checks each change, as ``request.with_settings(...)``.

        Raises:
            InvalidRequest: the request asks for what this engine cannot make.
        """
        ...

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        """Make chunks ``start_chunk .. start_chunk + count - 1`` in order, at most ``LEASE_CHUNKS_MAX``.

        ``changes`` is the whole log since the start, ``from_chunk`` never falling. A change takes effect at the first
        bar line at or after the first frame of its ``from_chunk`` (see ``live_grid.py``). Sound may blend up to 0.25 s
        ahead of that, and phases settle otherwise up to 0.65 s ahead, but never before ``from_chunk``, so a log that
        grows at or behind the next chunk changes nothing that was made. The same log gives the same bytes, however it
        is split into leases. Otherwise as ``Engine.lease``.
        """
        ...
