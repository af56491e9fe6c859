"""The blocking client. Made from ``_async_client.py`` by ``python -m tests.sdk.twins``; change that file.

What the clients do stands in ``_flows.py``.

Reading order: ``Loopmeter``, ``Loops``, ``LoopStream``, the runner.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TypeVar, Unpack

from loopmeter import _core, _flows
from loopmeter._chunks import ChunkReceived, StreamEnded, StreamStarted
from loopmeter._core import (
    AudioFormat,
    Clock,
    HttpRequest,
    HttpResponse,
    LoopOptions,
    OpenResponse,
    Transport,
)
from loopmeter._exceptions import LoopmeterError, StreamInterrupted
from loopmeter._loop import Loop
from loopmeter._models import Balance, ChunkMeter, Job, LoopRequest, ModelInfo, PriceBook, Quote, UsagePage
from loopmeter._retry import RetryPolicy, tenacity_stop, tenacity_wait
from loopmeter._settings import Timeout, api_key_or_environment, url_or_environment
from loopmeter._transport import HttpxTransport, SystemClock

_T = TypeVar("_T")


class Loopmeter:
    """A client of one gateway. Safe to share between threads; close it, or use it as a context manager.

        with Loopmeter() as client:
            quote = client.quote("dusty lo-fi drums", tempo_bpm=92, bars=4)
            loop = client.loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4, quote=quote)
            loop.save("loop.wav")

    ``url`` and ``api_key`` default to ``LOOPMETER_URL`` (else ``http://127.0.0.1:8130``) and ``LOOPMETER_API_KEY``.
    ``max_retries`` bounds the retries of one call, ``patience_s`` the seconds it may spend waiting, and the seconds
    without a chunk after which a broken stream is given up. ``max_tokens`` guards every loop: one that costs more
    raises ``BudgetExceeded`` before anything is held.

    Every call raises ``ConnectionFailed``, or the ``APIError`` that fits the gateway's answer.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: Timeout | None = None,
        max_retries: int = 4,
        patience_s: float = 30.0,
        max_tokens: int | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.url = url_or_environment(url)
        self._transport: Transport = transport or HttpxTransport(
            self.url, api_key_or_environment(api_key), timeout or Timeout()
        )
        self._clock: Clock = clock or SystemClock()
        self._policy = RetryPolicy(retries_max=max_retries, patience_s=patience_s)
        self._max_tokens = max_tokens
        self.loops = Loops(self._runner, self._clock, self._policy, max_tokens)

    def quote(self, prompt: str | LoopRequest, **options: Unpack[LoopOptions]) -> Quote:
        """The exact price, length and chunk count of a loop. Holds and charges nothing.

        Raises:
            InvalidRequest: a field is wrong; ``errors`` names it.
        """
        return self._runner().run(_flows.quote(_core.loop_request(prompt, options)))

    def balance(self) -> Balance:
        """The tokens of this key's customer."""
        return _core.parse(Balance, self._runner().send(_core.get_json("/v1/balance")))

    def usage(self, *, limit: int = 50, cursor: str | None = None) -> UsagePage:
        """The bill, job by job, newest first. ``cursor`` is the ``next`` of the page before."""
        return _core.parse(UsagePage, self._runner().send(_core.get_usage(limit, cursor)))

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that this key may use."""
        return self._runner().run(_flows.models())

    def price_book(self) -> PriceBook:
        """The prices in force."""
        return _core.parse(PriceBook, self._runner().send(_core.get_json("/v1/price-book")))

    def close(self) -> None:
        """Close the connections. Open streams break."""
        self._transport.close()

    def __enter__(self) -> Loopmeter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _runner(self) -> _Runner:
        return _Runner(self._transport, self._clock, self._policy)


class Loops:
    """Make loops and fetch them again: ``client.loops``."""

    def __init__(
        self, runner: Callable[[], _Runner], clock: Clock, policy: RetryPolicy, max_tokens: int | None
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._policy = policy
        self._max_tokens = max_tokens

    def create(
        self,
        prompt: str | LoopRequest,
        *,
        quote: Quote | None = None,
        quote_id: str | None = None,
        idempotency_key: str | None = None,
        max_tokens: int | None = None,
        on_chunk: Callable[[ChunkReceived], None] | None = None,
        **options: Unpack[LoopOptions],
    ) -> Loop:
        """Make a loop and wait for its end. Arguments and errors are those of ``stream``.

        ``on_chunk`` is called with each chunk as it comes. If it raises, the job is cancelled.
        """
        with self.stream(
            prompt,
            quote=quote,
            quote_id=quote_id,
            idempotency_key=idempotency_key,
            max_tokens=max_tokens,
            **options,
        ) as stream:
            return stream.collect(on_chunk)

    def stream(
        self,
        prompt: str | LoopRequest,
        *,
        quote: Quote | None = None,
        quote_id: str | None = None,
        idempotency_key: str | None = None,
        max_tokens: int | None = None,
        detach: bool = False,
        **options: Unpack[LoopOptions],
    ) -> LoopStream:
        """Make a loop and take its chunks as they come. Nothing is sent before the stream is entered or iterated.

        ``quote`` (or its ``quote_id``) fixes the price. ``idempotency_key`` names this intent: the same key never
        makes or charges a second loop; by default one is made per call. ``max_tokens`` (default: the client's)
        raises ``BudgetExceeded`` before anything is held. ``detach`` leaves the job running when the stream is left.

        Raises:
            InvalidRequest: a field is wrong, found before anything is sent.
            ValueError: ``quote`` and ``quote_id`` together, or ``quote_id`` with ``max_tokens``.
        """
        limit = max_tokens if max_tokens is not None else self._max_tokens
        request = _core.loop_request(prompt, options)
        order = _flows.Order.new(request, quote, quote_id, idempotency_key, limit)
        return LoopStream(self, self._runner(), self._clock, _flows.StreamSession(self._policy, order=order), detach)

    def resume(self, job_id: str, *, from_index: int = 0, detach: bool = False) -> LoopStream:
        """Take the chunks of a job from ``from_index`` on; free for those that are charged already."""
        session = _flows.StreamSession(self._policy, job_id=job_id, from_index=from_index)
        return LoopStream(self, self._runner(), self._clock, session, detach)

    def get(self, job_id: str) -> Job:
        """State, bill and score summary of a job."""
        return self._runner().run(_flows.job(job_id))

    def cancel(self, job_id: str) -> Job:
        """Stop a job; what was delivered stays charged, the rest of the hold is released. No-op on an ended job."""
        return self._runner().run(_flows.cancel(job_id))

    def audio(self, job_id: str, audio_format: AudioFormat = "wav") -> bytes:
        """The whole file of a completed job."""
        return self._runner().run(_flows.body(_core.get_audio(job_id, audio_format)))

    def midi(self, job_id: str) -> bytes:
        """The score of a job as a Standard MIDI File."""
        return self._runner().run(_flows.body(_core.get_midi(job_id)))


class LoopStream:
    """The chunks of one loop, in order, each once, resumed by chunk number when a connection breaks.

        with client.loops.stream("dusty lo-fi drums", bars=4) as stream:
            for chunk in stream:
                play(chunk.pcm)

    ``started`` says what comes, once entered; ``tokens_charged`` is what the chunks so far cost. Leaving the block
    before the end cancels the job, unless ``detach`` or by ``StreamInterrupted``; what was delivered stays charged.
    Not safe to share between threads. A chunk is fetched when it is asked for: a slow reader slows the making.
    """

    def __init__(
        self, loops: Loops, runner: _Runner, clock: Clock, session: _flows.StreamSession, detach: bool
    ) -> None:
        self._loops = loops
        self._runner = runner
        self._clock = clock
        self._session = session
        self._detach = detach
        self._started_at_s = clock.now()
        self._first_chunk_s: float | None = None
        self._closed = False
        self.tokens_charged = 0

    @property
    def job_id(self) -> str | None:
        """``None`` until the gateway has accepted the loop."""
        return self._session.job_id

    @property
    def ended(self) -> StreamEnded | None:
        """How the job ended; ``None`` while it goes on."""
        return self._session.ended

    @property
    def started(self) -> StreamStarted:
        """Length and format of the loop. Raises ``RuntimeError`` before the stream is entered or iterated."""
        if self._session.started is None:
            raise RuntimeError("expected a stream that has started, found a new one; enter it with 'with' first")
        return self._session.started

    @property
    def idempotency_key(self) -> str | None:
        return self._session.order.idempotency_key if self._session.order is not None else None

    @property
    def quote(self) -> Quote | None:
        """The quote whose price holds; ``None`` if none was given and there is no ``max_tokens``."""
        return self._session.order.quote if self._session.order is not None else None

    def __enter__(self) -> LoopStream:
        self._runner.run(self._session.start())
        return self

    def __iter__(self) -> LoopStream:
        return self

    def __next__(self) -> ChunkReceived:
        """The next chunk.

        Raises:
            StreamInterrupted: the stream broke and could not be resumed.
            LoopNotCompleted: the job failed, or was cancelled by someone else.
            BudgetExceeded: the price is above ``max_tokens``.
        """
        if self._closed:
            raise StopIteration
        chunk = self._runner.run(self._session.advance())
        if chunk is None:
            raise StopIteration
        if self._first_chunk_s is None:
            self._first_chunk_s = self._clock.now() - self._started_at_s
        self.tokens_charged = chunk.meter.tokens_total
        return chunk

    def collect(self, on_chunk: Callable[[ChunkReceived], None] | None = None) -> Loop:
        """Take all chunks that are left and give the loop. Raises as ``__next__``."""
        pcm: list[bytes] = []
        meters: list[ChunkMeter] = []
        for chunk in self:
            pcm.append(chunk.pcm)
            meters.append(chunk.meter)
            if on_chunk is not None:
                on_chunk(chunk)
        total_s = self._clock.now() - self._started_at_s
        job_id = self.started.job
        return Loop(
            job=self._loops.get(job_id),
            pcm=b"".join(pcm),
            meters=tuple(meters),
            first_chunk_s=self._first_chunk_s if self._first_chunk_s is not None else total_s,
            total_s=total_s,
            quote=self.quote,
            idempotency_key=self.idempotency_key,
            fetch_midi=partial(self._loops.midi, job_id),
        )

    def close(self) -> None:
        """Leave the stream; cancels the job if it has not ended and ``detach`` was not asked."""
        if self._closed:
            return
        self._closed = True
        self._runner.close()
        if self.job_id is not None and self.ended is None and not self._detach:
            self._loops.cancel(self.job_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, StreamInterrupted):
            self._detach = True  # It can still be taken up again; the gateway cancels it if nobody does.
        try:
            self.close()
        except LoopmeterError as failure:
            if error is None:
                raise
            error.add_note(f"The job {self.job_id} could not be cancelled either: {failure}")


class _Runner:
    """Performs the effects of flows, one at a time, with at most one body open."""

    def __init__(self, transport: Transport, clock: Clock, policy: RetryPolicy) -> None:
        self._transport = transport
        self._clock = clock
        self._policy = policy
        self._body: OpenResponse | None = None

    def run(self, flow: _flows.Flow[_T]) -> _T:
        try:
            effect = next(flow)
            while True:
                try:
                    outcome = self._perform(effect)
                except LoopmeterError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(outcome)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    def _perform(self, effect: _flows.Effect) -> object:
        match effect:
            case _flows.Send(request):
                return self.send(request)
            case _flows.Open(request):
                self.close()
                self._body = self._open(request)
            case _flows.Read():
                assert self._body is not None
                return self._body.read()
            case _flows.Close():
                self.close()
            case _flows.Sleep(seconds):
                self._clock.sleep(seconds)
            case _flows.Now():
                return self._clock.now()
        return None

    def send(self, request: HttpRequest) -> HttpResponse:
        from tenacity import Retrying  # Loaded late: it brings asyncio, which costs import time.

        return Retrying(
            stop=tenacity_stop(self._policy),
            wait=tenacity_wait(self._policy),
            sleep=self._clock.sleep,
            reraise=True,
        )(self._send_once, request)

    def _send_once(self, request: HttpRequest) -> HttpResponse:
        response = self._open(request)
        try:
            return _core.require_whole(request, _read_whole(response))
        finally:
            response.close()

    def _open(self, request: HttpRequest) -> OpenResponse:
        response = self._transport.send(request)
        if response.status < 400:
            return response
        try:
            answer = _read_whole(response)
        finally:
            response.close()
        raise _core.error_of(answer, request.idempotency_key)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _read_whole(response: OpenResponse) -> HttpResponse:
    pieces: list[bytes] = []
    while piece := response.read():
        pieces.append(piece)
    return HttpResponse(response.status, response.headers, b"".join(pieces))
