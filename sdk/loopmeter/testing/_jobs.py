"""One job of a fake gateway: its chunks, its charges, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from loopmeter._chunks import CHUNKS_MEDIA_TYPE, ChunkReceived, StreamEnded, StreamStarted, encode_chunk_event
from loopmeter._models import ENDED_STATES, ChunkMeter, Job, JobState, LoopRequest, Problem, UsageEntry
from loopmeter._wav import wav_bytes
from loopmeter.testing import _sound
from loopmeter.testing._clock import ManualClock
from loopmeter.testing._faults import End, Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and a body that is made while it is read."""

    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]


@dataclass
class FakeJob:
    """One job: what is delivered is charged, through ``post``, before it is given out."""

    id: str
    request: LoopRequest
    plan: _sound.Plan
    clock: ManualClock
    post: Callable[[int], None]
    quote_id: str | None
    state: JobState = "running"
    chunks_delivered: int = 0
    tokens_charged: int = 0
    problem: Problem | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.created_at = self.clock.date()
        self._pcm: bytes | None = None

    @property
    def held(self) -> int:
        return 0 if self.state in ENDED_STATES else self.plan.tokens - self.tokens_charged

    def stream(self, first: int, fault: Fault | None) -> Answer:
        end = fault if isinstance(fault, End) else None
        headers = {"content-type": CHUNKS_MEDIA_TYPE, "loopmeter-job-id": self.id}
        return Answer(200, headers, self._events(first, end))

    def _events(self, first: int, end: End | None) -> Iterator[bytes]:
        started = StreamStarted(
            job=self.id,
            chunks=len(self.plan.chunk_frames),
            frames=self.plan.frames,
            sample_rate_hz=_sound.SAMPLE_RATE_HZ,
            channels=self.plan.channels,
            bits=self.plan.bits,
            first_index=first,
            tokens_quoted=self.plan.tokens,
        )
        yield encode_chunk_event(started)
        index = first
        while (chunk := self._chunk(index, end)) is not None:
            yield encode_chunk_event(chunk)
            index += 1
        ended = StreamEnded(state=self.state, tokens_charged=self.tokens_charged, problem=self.problem)
        yield encode_chunk_event(ended)

    def _chunk(self, index: int, end: End | None) -> ChunkReceived | None:
        with self._lock:
            if end is not None and index >= end.chunks and self.state == "running":
                self._end(end.state)
                return None
            if index == self.chunks_delivered and self.state == "running":
                self._deliver()
            if index >= self.chunks_delivered:
                return None
            return ChunkReceived(self._pcm_of(index), self._meter(index))

    def _end(self, state: JobState) -> None:
        self.state = state
        if state == "failed":
            self.problem = Problem(status=502, code="engine_failed", title="The engine broke", detail="scripted")

    def _deliver(self) -> None:
        self.chunks_delivered += 1
        due = self.plan.due(self.chunks_delivered)
        self.post(due - self.tokens_charged)
        self.tokens_charged = due
        if self.chunks_delivered == len(self.plan.chunk_frames):
            self.state = "completed"

    def deliver_all(self) -> None:
        with self._lock:
            while self.state == "running":
                self._deliver()

    def _meter(self, index: int) -> ChunkMeter:
        total = self.plan.due(index + 1)
        frames = self.plan.chunk_frames[index]
        return ChunkMeter(index=index, frames=frames, tokens=total - self.plan.due(index), tokens_total=total)

    def _pcm_of(self, index: int) -> bytes:
        frame_bytes = self.plan.channels * self.plan.bits // 8
        start = sum(self.plan.chunk_frames[:index]) * frame_bytes
        return self._sound()[start : start + self.plan.chunk_frames[index] * frame_bytes]

    def _sound(self) -> bytes:
        if self._pcm is None:
            self._pcm = _sound.sound(self.plan)
        return self._pcm

    def wav(self) -> bytes:
        return wav_bytes(self._sound(), _sound.SAMPLE_RATE_HZ, self.plan.channels, self.plan.bits)

    def shown(self) -> Job:
        return Job(
            id=self.id,
            state=self.state,
            frames=self.plan.frames,
            chunks=len(self.plan.chunk_frames),
            chunks_delivered=self.chunks_delivered,
            sample_rate_hz=_sound.SAMPLE_RATE_HZ,
            channels=self.plan.channels,
            bits=self.plan.bits,
            tokens_quoted=self.plan.tokens,
            tokens_charged=self.tokens_charged,
            request=self.plan.request,
            created_at=self.created_at,
            quote_id=self.quote_id,
            finished_at=self.clock.date() if self.state in ENDED_STATES else None,
            error=self.problem,
        )

    def entry(self) -> UsageEntry:
        return UsageEntry(
            job=self.id,
            state=self.state,
            tokens_quoted=self.plan.tokens,
            tokens_charged=self.tokens_charged,
            chunks_delivered=self.chunks_delivered,
            created_at=self.created_at,
            prompt=self.request.prompt,
            model=self.request.model,
            quality=self.request.quality,
            frames_delivered=sum(self.plan.chunk_frames[: self.chunks_delivered]),
        )
