"""What the clients do, written once for the sync and the async one: generators that ask for effects. No I/O.

A ``Flow`` yields an effect and is resumed with its outcome, or with the ``LoopmeterError`` that it met. The runners
in ``_client.py`` and ``_async_client.py`` perform the effects. Reading order: the effects, the plain calls,
``StreamSession``.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from loopmeter._chunks import ChunkDecoder, ChunkEvent, ChunkReceived, KeepAlive, StreamEnded, StreamStarted
from loopmeter._core import (
    HttpRequest,
    HttpResponse,
    delete_loop,
    get_chunks,
    get_json,
    get_loop,
    parse,
    post_loop,
    post_quote,
)
from loopmeter._exceptions import (
    APIError,
    BudgetExceeded,
    ChunkProtocolError,
    Conflict,
    LoopmeterError,
    LoopNotCompleted,
    StreamInterrupted,
)
from loopmeter._loop import Bill
from loopmeter._models import ENDED_STATES, ChunkMeter, Job, LoopRequest, ModelInfo, ModelPage, Quote
from loopmeter._orders import Order
from loopmeter._preview import Preview, PreviewItem
from loopmeter._retry import RetryPolicy

_T = TypeVar("_T")
_KEPT_CHUNK_FRAMES = 32_768  # as the gateway's chunks


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request, retry it by policy, read the answer whole. Outcome: ``HttpResponse`` below status 400."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request once and keep its body open in place of the one before. No outcome."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in the open body, until ``bytes_min`` more are here. Outcome: ``list[bytes]``; less at the end only."""

    bytes_min: int = 1


@dataclass(frozen=True, slots=True)
class Close:
    """Close the open body, if there is one. No outcome."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, because of ``reason``, which goes into the log. No outcome."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Now:
    """Read the clock. Outcome: monotonic seconds as ``float``."""


@dataclass(frozen=True, slots=True)
class TakesCaps:
    """Ask whether the gateway's last answer said that an order may carry a cap. Outcome: ``bool``."""


Effect = Send | Open | Read | Close | Sleep | Now | TakesCaps
Flow = Generator[Effect, object, _T]


def send(request: HttpRequest) -> Flow[HttpResponse]:
    outcome = yield Send(request)
    assert isinstance(outcome, HttpResponse)
    return outcome


def read(bytes_min: int = 1) -> Flow[list[bytes]]:
    outcome = yield Read(bytes_min)
    assert isinstance(outcome, list)
    return outcome


def now() -> Flow[float]:
    outcome = yield Now()
    assert isinstance(outcome, float)
    return outcome


def body(request: HttpRequest) -> Flow[bytes]:
    return (yield from send(request)).body


def quote(request: LoopRequest) -> Flow[Quote]:
    return parse(Quote, (yield from send(post_quote(request))))


def job(job_id: str) -> Flow[Job]:
    return parse(Job, (yield from send(get_loop(job_id))))


def cancel(job_id: str) -> Flow[Job]:
    """Stop a job. One that has ended already, perhaps by a cancel whose answer was lost, is left as it is."""
    try:
        return parse(Job, (yield from send(delete_loop(job_id))))
    except Conflict as error:
        if error.code != "job_ended":
            raise
    return (yield from job(job_id))


def preview(requests: Sequence[LoopRequest]) -> Flow[Preview]:
    """A quote for each request. The first error ends it, with a note that says which request it was."""
    items: list[PreviewItem] = []
    for number, request in enumerate(requests, 1):
        try:
            items.append(PreviewItem(request, (yield from quote(request))))
        except LoopmeterError as error:
            error.add_note(f"This was request {number} of {len(requests)}: {request.prompt!r}")
            raise
    return Preview(tuple(items))


def models() -> Flow[tuple[ModelInfo, ...]]:
    return parse(ModelPage, (yield from send(get_json("/v1/models")))).models


def within_budget(order: Order) -> Flow[Order]:
    """The order with a quote that keeps to ``max_tokens`` and is reserved in the budget; asks for one if there is none.

    Where ``max_tokens`` is all that there is to keep to, it goes with the order to a gateway that heeds it: one call.

    Raises:
        BudgetExceeded: the price is above ``max_tokens`` or what is left of the budget; nothing was held.
    """
    if order.max_tokens is None and order.budget is None:
        return order
    if order.quote is None and order.budget is None and (yield TakesCaps()):
        return order
    priced = order.quote if order.quote is not None else (yield from quote(order.request))
    if order.max_tokens is not None and priced.tokens > order.max_tokens:
        raise BudgetExceeded(priced.tokens, order.max_tokens, idempotency_key=order.idempotency_key)
    if order.budget is not None:
        order.budget.reserve(order.idempotency_key, priced.tokens)
    return replace(order, quote=priced)


class StreamSession:
    """One loop's chunks in order, each once, over as many connections as it takes.

    The first connection orders the loop (``POST``) or resumes it; after a break, the next one asks for the first
    chunk that is missing, as often as patience allows, counted from the first failure since the last chunk. As long
    as the job's id is unknown, the order itself is sent again, under its one key and by the policy of plain calls.
    """

    def __init__(
        self, policy: RetryPolicy, *, order: Order | None = None, job_id: str | None = None, from_index: int = 0
    ) -> None:
        self._policy = policy
        self._job_id = job_id
        self._decoder: ChunkDecoder | None = None
        self._failures = 0
        self._broken_since_s = 0.0
        self.order = order
        self.started: StreamStarted | None = None
        self.ended: StreamEnded | None = None
        self.bill: Bill | None = None
        self.next_index = from_index
        self._kept: Iterator[ChunkReceived] | None = None

    @property
    def job_id(self) -> str | None:
        return self._job_id

    def play(self, job: Job, pcm: bytes) -> None:
        """Give a loop that is at hand in place of the gateway's, from its first frame, free."""
        sizes = [min(_KEPT_CHUNK_FRAMES, job.frames - start) for start in range(0, job.frames, _KEPT_CHUNK_FRAMES)]
        self._job_id = job.id
        self._kept = _cut(pcm, sizes, job.channels * job.bits // 8)
        self.started = StreamStarted(
            job=job.id,
            chunks=len(sizes),
            frames=job.frames,
            sample_rate_hz=job.sample_rate_hz,
            channels=job.channels,
            bits=job.bits,
            tokens_quoted=0,
        )

    def start(self) -> Flow[StreamStarted]:
        """Wait until the stream has said what it will bring. Raises as ``advance``."""
        if self.order is not None and self.started is None:
            self.order = yield from within_budget(self.order)
        while self.started is None:
            yield from self._event()
        return self.started

    def advance(self) -> Flow[ChunkReceived | None]:
        """The next chunk, or ``None`` when the loop is complete.

        Raises:
            StreamInterrupted: it broke and patience ran out.
            LoopNotCompleted: the job was cancelled or failed.
            BudgetExceeded, APIError, ConnectionFailed: the loop could not be ordered.
        """
        yield from self.start()
        if self._kept is not None:
            return self._next_kept(self._kept)
        while self.ended is None:
            event = yield from self._event()
            if isinstance(event, ChunkReceived):
                return event
        return None

    def _next_kept(self, kept: Iterator[ChunkReceived]) -> ChunkReceived | None:
        chunk = next(kept, None)
        if chunk is not None:
            self.next_index = chunk.index + 1
        elif self.ended is None:
            self.ended = StreamEnded(state="completed", tokens_charged=0)
            self.bill = Bill(self._job_id or "", "completed", 0, self.next_index, 0)
        return chunk

    def _event(self) -> Flow[ChunkEvent]:
        while True:
            try:
                event = yield from self._event_of_connection()
                self._take(event)
            except LoopmeterError as error:
                self._decoder = None
                yield Close()
                yield from self._wait_or_give_up(error)
            else:
                if self.ended is not None:
                    yield from self._leave_body()
                return event

    def _leave_body(self) -> Flow[None]:
        """Read to the end of a body that has said its last word, so that its connection can be used again."""
        with contextlib.suppress(LoopmeterError):
            yield from read()
        yield Close()

    def _event_of_connection(self) -> Flow[ChunkEvent]:
        if self._decoder is None:
            yield Open(self._request())
            self._decoder = ChunkDecoder()
        while (event := self._decoder.next_event()) is None:
            pieces = yield from read(self._decoder.bytes_missing)  # At once: an effect costs as much as a small read.
            for piece in pieces:
                self._decoder.receive(piece)
            if not pieces:
                self._decoder.receive_end()
        return event

    def _request(self) -> HttpRequest:
        if self._job_id is not None:
            return get_chunks(self._job_id, self.next_index)
        assert self.order is not None
        if self.order.quote is not None:  # Its price was held against the cap.
            return post_loop(self.order.request, self.order.quote.quote_id, self.order.idempotency_key)
        order = self.order
        return post_loop(order.request, order.quote_id, order.idempotency_key, order.max_tokens)

    def _take(self, event: ChunkEvent) -> None:
        match event:
            case StreamStarted():
                self._take_started(event)
            case ChunkReceived():
                self.next_index = event.index + 1
                self._failures = 0
            case StreamEnded(state=state):
                if state == "completed":
                    self._end(event)
                elif state in ENDED_STATES:
                    self._end(event)
                    raise LoopNotCompleted(
                        self.started.job if self.started else "",
                        state,
                        event.tokens_charged,
                        event.problem,
                        idempotency_key=self._key,
                    )
                else:
                    raise ChunkProtocolError("truncated", f"the gateway left the stream while the job is {state}")
            case KeepAlive():
                pass

    def _end(self, event: StreamEnded) -> None:
        self.ended = event
        if self.order is not None:
            self.order.settle(event.tokens_charged)
        self.bill = Bill(
            job=self._job_id or "",
            state=event.state,
            tokens_charged=event.tokens_charged,
            chunks=self.next_index,
            tokens_quoted=event.tokens_charged if event.state == "completed" else self._tokens_quoted,
        )

    def cancelled(self, job: Job) -> None:
        """Take the bill of a job that was cancelled because its reader left."""
        if self.order is not None and job.ended:
            self.order.settle(job.tokens_charged)
        self.bill = Bill(job.id, job.state, job.tokens_charged, job.chunks_delivered, job.tokens_quoted)

    @property
    def _tokens_quoted(self) -> int | None:
        return self.started.tokens_quoted if self.started is not None else None

    def _take_started(self, event: StreamStarted) -> None:
        expected = self.started.model_copy(update={"first_index": self.next_index}) if self.started else None
        if event.first_index != self.next_index or (expected is not None and event != expected):
            raise ChunkProtocolError("order", f"expected {expected or self.next_index}, found {event} on resuming")
        if self._job_id is None:
            self._require_within_cap(event)
        if self.started is None:
            self.started = event
        self._job_id = event.job

    def _require_within_cap(self, event: StreamStarted) -> None:
        """A job of before, under the same key, may have another price. It is left as it is."""
        order, tokens = self.order, event.tokens_quoted
        if order is None or order.quote is not None or order.max_tokens is None or tokens is None:
            return
        if tokens > order.max_tokens:
            raise BudgetExceeded(tokens, order.max_tokens, idempotency_key=order.idempotency_key)

    def _wait_or_give_up(self, error: LoopmeterError) -> Flow[None]:
        time_s = yield from now()
        if self._failures == 0:
            self._broken_since_s = time_s
        self._failures += 1
        if error.idempotency_key is None:
            error.idempotency_key = self._key
        policy = self._policy if self._job_id is None else replace(self._policy, retries_max=None)
        # Bytes that break the protocol in any way may have been harmed on their way: they are asked for again.
        again = error.retryable or isinstance(error, ChunkProtocolError)
        wait_s = policy.wait_s(self._failures, error, time_s - self._broken_since_s, random.random(), again=again)
        if wait_s is not None:
            yield Sleep(wait_s, error.what)
        elif again and self._job_id is not None:
            raise StreamInterrupted(self._job_id, self.next_index, error.message, idempotency_key=self._key) from error
        else:
            if self.order is not None and not error.retryable and self._job_id is None:
                self.order.refused()
            if isinstance(error, APIError) and error.code == "over_max_tokens":
                found, limit = error.problem.tokens or 0, error.problem.max_tokens or 0
                raise BudgetExceeded(found, limit, idempotency_key=self._key) from error
            raise error

    @property
    def _key(self) -> str | None:
        return self.order.idempotency_key if self.order is not None else None


def _cut(pcm: bytes, sizes: Sequence[int], frame_bytes: int) -> Iterator[ChunkReceived]:
    """The chunks of a loop that costs nothing; ``sizes`` in frames."""
    start = 0
    for index, frames in enumerate(sizes):
        end = start + frames * frame_bytes
        yield ChunkReceived(pcm[start:end], ChunkMeter(index=index, frames=frames, tokens=0, tokens_total=0))
        start = end
