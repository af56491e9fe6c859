"""A live session as its client sees it: what to send, what has come, how far it is. No sockets, no clock.

The clients in ``_async_live.py`` and ``_live.py`` carry the messages. What must survive a broken connection is kept
here: the next chunk, settings that were not heard yet, whether it should be paused.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from pydantic import ValidationError

from loopmeter._chunks import ChunkReceived, decode_chunk_record
from loopmeter._core import new_idempotency_key, problem_of_validation
from loopmeter._exceptions import ChunkProtocolError, InvalidRequest, api_error_type
from loopmeter._live_messages import (
    ClientMessage,
    LiveApplied,
    LiveCredit,
    LiveEnded,
    LiveError,
    LiveHeartbeat,
    LivePause,
    LivePaused,
    LivePlay,
    LiveResume,
    LiveResumed,
    LiveSet,
    LiveStart,
    LiveStarted,
    LiveStop,
    LiveWarning,
    ResolvedLive,
    ServerMessage,
    parse_server_message,
)
from loopmeter._loop import FinishedLoop
from loopmeter._models import ChunkMeter, Layer, Quality, Solver

_SPEND_WINDOW_S = 60.0
_KEPT_CHUNK_FRAMES = 32_768  # as the gateway's chunks


@dataclass(frozen=True, slots=True)
class LiveFallback:
    """From the next chunk on, a loop of the client's pack plays, round and round, free; ``reason`` says why."""

    name: str
    reason: str


LiveEvent = ChunkReceived | LiveApplied | LiveWarning | LivePaused | LiveResumed | LiveError | LiveEnded | LiveFallback


class LiveSteering(TypedDict, total=False):
    """What ``steer`` changes. ``prompts`` maps texts to weights."""

    prompts: Mapping[str, float]
    tempo_bpm: float
    density: float
    intensity: float
    layers: Sequence[Layer]


class LiveOptions(LiveSteering, total=False):
    """The fields of ``LiveRequest`` as keyword arguments."""

    beats_per_bar: int
    key: str | None
    quality: Quality
    seed: int
    model: str
    solver: Solver | None
    steps: int | None
    guidance: float | None


def live_start(
    prompt: str | None, options: Mapping[str, Any], max_tokens: int | None, credit: int, session: str | None
) -> LiveStart:
    """The first message of a new session.

    Raises:
        InvalidRequest: a field is wrong.
        ValueError: ``prompt`` beside ``prompts``.
    """
    fields = _wire(options)
    if prompt is not None:
        if fields.get("prompts") is not None:
            raise ValueError("expected prompt or prompts, found both; pass one of them")
        fields["prompts"] = [{"text": prompt}]
    terms = {"session": session or new_idempotency_key(), "max_tokens": max_tokens, "credit": credit}
    try:
        return LiveStart.model_validate(fields | terms)
    except ValidationError as error:
        raise InvalidRequest(problem_of_validation(error)) from error


def _wire(options: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(options)
    if fields.get("prompts") is not None:
        fields["prompts"] = [{"text": text, "weight": weight} for text, weight in fields["prompts"].items()]
    return fields


class LiveCore:
    """The state of one session, over as many connections as it takes."""

    def __init__(self, start: LiveStart) -> None:
        self.start = start
        self.started: LiveStarted | None = None
        self.ended: LiveEnded | None = None
        self.next_index = 0
        self.frames = 0
        self.tokens_charged = 0
        self._pending: dict[str, LiveSet] = {}
        self._paused = False
        self._stopped = False
        self._opened = False  # whether this connection has been answered with ``started``
        self._kept: Iterator[bytes] | None = None
        self._kept_paused = False
        self._bill: deque[tuple[float, int]] = deque()  # (seconds of sound, tokens) per chunk, of the last minute

    def opening(self) -> ClientMessage:
        """The first message of the next connection."""
        self._opened = False
        if self.started is None:
            return self.start
        return LiveResume(session=self.start.session, from_chunk=self.next_index, credit=self.start.credit)

    def steering(self, options: Mapping[str, Any]) -> LiveSet:
        """A change, kept until it is heard. Raises ``InvalidRequest``."""
        try:
            message = LiveSet.model_validate(_wire(options) | {"ref": os.urandom(8).hex()})
        except ValidationError as error:
            raise InvalidRequest(problem_of_validation(error)) from error
        self._pending[message.ref] = message
        return message

    def pausing(self, paused: bool) -> ClientMessage:
        """Pause or play, also over the next connections."""
        self._paused = paused
        return LivePause() if paused else LivePlay()

    def stopping(self) -> ClientMessage:
        """Stop, also over the next connections."""
        self._stopped = True
        return LiveStop()

    def taken(self) -> ClientMessage:
        """What to send once a chunk has been taken."""
        return LiveCredit(chunks=1)

    def receive(self, data: str | bytes) -> tuple[LiveEvent | None, list[ClientMessage]]:
        """What came, if the caller should know of it, and what to send in answer.

        Raises:
            APIError: the gateway refused the session.
            ChunkProtocolError: the data break the protocol; connect again.
        """
        if isinstance(data, bytes):
            return self._chunk(data), []
        try:
            message = parse_server_message(data)
        except ValidationError as error:
            if any(detail["type"].startswith("union_tag") for detail in error.errors()):
                return None, []  # A type of a newer gateway.
            raise ChunkProtocolError("malformed", f"expected a message of the live protocol: {error}") from error
        return self._message(message)

    def _message(self, message: ServerMessage) -> tuple[LiveEvent | None, list[ClientMessage]]:
        match message:
            case LiveStarted():
                return None, self._take_started(message)
            case LiveHeartbeat():
                return None, []
            case LiveError() if not self._opened:
                refused = api_error_type(message.problem.status, message.problem.code)
                raise refused(message.problem, retry_after_s=message.retry_after_s)
            case LiveError(ref=ref):
                self._pending.pop(ref or "", None)
                return message, []
            case LiveApplied(ref=ref):
                # After a resume, what was heard before may be said again.
                return (message if self._pending.pop(ref, None) is not None else None), []
            case LiveEnded():
                self.ended = message
                self.tokens_charged = message.tokens_charged
        return message, []

    def _take_started(self, started: LiveStarted) -> list[ClientMessage]:
        if self.started is None:
            self.next_index = started.from_chunk
            self.tokens_charged = started.tokens_charged
        elif started.from_chunk != self.next_index or started.job != self.started.job:
            found = f"chunk {started.from_chunk} of {started.job}"
            raise ChunkProtocolError("order", f"expected chunk {self.next_index} of {self.started.job}, found {found}")
        self.started = started
        self._opened = True
        answers: list[ClientMessage] = [
            message for ref, message in self._pending.items() if ref not in started.known_refs
        ]
        if started.paused != self._paused:
            answers.append(LivePause() if self._paused else LivePlay())
        if self._stopped:
            answers.append(LiveStop())
        return answers

    def keep_playing(self, kept: FinishedLoop) -> bool:
        """Go on with a loop that is at hand. ``False``: what was played so far has another format."""
        job = kept.job
        if self.started is None:
            self.started = LiveStarted(
                job=job.id,
                session=self.start.session,
                request=ResolvedLive.model_validate(self.start.model_dump()),
                sample_rate_hz=job.sample_rate_hz,
                channels=job.channels,
                bits=job.bits,
                chunk_frames=_KEPT_CHUNK_FRAMES,
            )
        has = self.started
        if (has.sample_rate_hz, has.channels, has.bits) != (job.sample_rate_hz, job.channels, job.bits):
            return False
        self.ended = None
        self._kept = _rounds(kept.pcm, _KEPT_CHUNK_FRAMES * job.channels * job.bits // 8)
        return True

    @property
    def plays_kept(self) -> bool:
        """Whether ``next_kept`` gives the events."""
        return self._kept is not None

    def next_kept(self) -> LiveEvent | None:
        """The next event of a loop that is at hand; ``None`` while paused."""
        assert self._kept is not None
        if self._stopped:
            self.ended = LiveEnded(reason="stopped", chunks=self.next_index, tokens_charged=self.tokens_charged)
            return self.ended
        if self._paused != self._kept_paused:
            self._kept_paused = self._paused
            return LivePaused(chunk=self.next_index) if self._paused else LiveResumed(chunk=self.next_index)
        if self._paused:
            return None
        meter = ChunkMeter(index=self.next_index, frames=_KEPT_CHUNK_FRAMES, tokens=0, tokens_total=self.tokens_charged)
        return self._counted(ChunkReceived(next(self._kept), meter))

    def _chunk(self, data: bytes) -> ChunkReceived:
        if self.started is None:
            raise ChunkProtocolError("order", "expected 'started' before the first chunk, found a chunk")
        chunk = decode_chunk_record(data, self.started.channels, self.started.bits)
        if chunk.index != self.next_index:
            raise ChunkProtocolError("order", f"expected chunk {self.next_index}, found chunk {chunk.index}")
        return self._counted(chunk)

    def _counted(self, chunk: ChunkReceived) -> ChunkReceived:
        assert self.started is not None
        self.next_index += 1
        self.frames += chunk.meter.frames
        self.tokens_charged = chunk.meter.tokens_total
        self._bill.append((chunk.meter.frames / self.started.sample_rate_hz, chunk.meter.tokens))
        while sum(seconds for seconds, _ in self._bill) > _SPEND_WINDOW_S + self._bill[0][0]:
            self._bill.popleft()
        return chunk

    @property
    def position_s(self) -> float:
        """Seconds of sound that were taken."""
        return 0.0 if self.started is None else self.frames / self.started.sample_rate_hz

    @property
    def tokens_per_minute(self) -> float:
        """What a minute of sound costs, from the chunks of the last minute; 0 before the first."""
        seconds = sum(second for second, _ in self._bill)
        return 60 * sum(tokens for _, tokens in self._bill) / seconds if seconds else 0.0


def _rounds(pcm: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """Pieces of equal size of a loop that repeats without end."""
    start = 0
    while True:
        piece = pcm[start : start + chunk_bytes]
        while len(piece) < chunk_bytes:
            piece += pcm[: chunk_bytes - len(piece)]
        yield piece
        start = (start + chunk_bytes) % len(pcm)


class Playout:
    """Where a player is that began with the first chunk and plays on as long as it has sound. Times in seconds."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._given_s = 0.0

    def give(self, position_s: float, now_s: float) -> None:
        """The player has been given sound up to ``position_s``."""
        if self._began_s is None or now_s - self._began_s > self._given_s:
            self._began_s = now_s - self._given_s  # It stood still until now.
        self._given_s = position_s

    def position_s(self, now_s: float) -> float:
        """How much has been played."""
        return 0.0 if self._began_s is None else min(self._given_s, now_s - self._began_s)

    def buffered_s(self, now_s: float) -> float:
        """How much is left to play."""
        return self._given_s - self.position_s(now_s)
