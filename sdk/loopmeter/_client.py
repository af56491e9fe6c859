"""The client, blocking.

Made from ``_async_client.py`` by ``python -m tests.sdk.twins``; change that file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Unpack

from loopmeter import _core, _flows, _orders
from loopmeter._budget import Budget
from loopmeter._chunks import ChunkReceived
from loopmeter._core import (
    AudioFormat,
    Clock,
    LoopOptions,
    Transport,
)
from loopmeter._exceptions import BudgetExceeded, LoopmeterError
from loopmeter._loop import Loop
from loopmeter._models import Balance, ClientToken, Job, LoopRequest, ModelInfo, PriceBook, Quote, UsagePage
from loopmeter._preview import Preview
from loopmeter._quota import Quota
from loopmeter._runner import Runner
from loopmeter._settings import Timeout, api_key_or_environment, masked, url_or_environment
from loopmeter._shelf import Shelf
from loopmeter._stream import LoopStream
from loopmeter._transport import HttpxTransport, SystemClock

if TYPE_CHECKING:
    from loopmeter._cache import LoopCache
    from loopmeter._live import LiveSession
    from loopmeter._live_core import LiveOptions
    from loopmeter._live_transport import LiveTransport
    from loopmeter.bake import Pack


class Loopmeter:
    """A client of one gateway. Safe to share between threads; close it, or use it as a context manager.

        with Loopmeter() as client:
            quote = client.quote("dusty lo-fi drums", tempo_bpm=92, bars=4)
            loop = client.loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4, quote=quote)
            loop.save("loop.wav")

    ``url`` and ``api_key`` default to ``LOOPMETER_URL`` (else ``http://127.0.0.1:8130``) and ``LOOPMETER_API_KEY``.
    ``max_retries`` bounds the retries of one call, ``patience_s`` the seconds it may spend waiting, and the seconds
    without a chunk after which a broken stream is given up. ``max_tokens`` guards every loop: one that costs more
    raises ``BudgetExceeded`` before anything is held; a ``budget`` does so for all of them together. ``cache`` keeps
    what ``loops.create`` made; ``pack`` is played from where there is no connection or no tokens. ``proxy`` is the
    address of one; ``transport`` and ``clock`` replace sockets and time.

    What it does is logged to ``loopmeter`` by the module ``logging``: calls at ``DEBUG``, retries at ``INFO``,
    never a key.

    Every call raises ``ConnectionFailed``, or the ``APIError`` that fits the gateway's answer.

    Raises:
        ValueError: an argument that cannot work; the message says which and what was expected.
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
        budget: Budget | None = None,
        cache: LoopCache | None = None,
        pack: Pack | None = None,
        proxy: str | None = None,
        transport: Transport | None = None,
        live_transport: LiveTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        if proxy is not None and transport is not None:
            raise ValueError("expected proxy or transport, found both; give the proxy to the transport")
        self.url = url_or_environment(url)
        key = api_key_or_environment(api_key)
        self._shown = f"{type(self).__name__}({self.url!r}, api_key={masked(key)!r})"
        self._transport: Transport = transport or HttpxTransport(self.url, key, timeout or Timeout(), proxy=proxy)
        self._live_transport = live_transport
        self._live_settings = (self.url, key, timeout or Timeout())
        self._clock: Clock = clock or SystemClock()
        self._shelf = Shelf(cache, pack)
        self._owner = True
        self._use(
            _orders.CallOptions().changed(
                timeout=timeout if transport is not None else None,
                max_retries=max_retries,
                patience_s=patience_s,
                max_tokens=max_tokens,
                budget=budget,
            )
        )

    def _use(self, options: _orders.CallOptions) -> None:
        self._options = options
        self._seen = _orders.Seen()
        self.loops = Loops(self._runner, self._clock, options, self._shelf)

    def with_options(
        self,
        *,
        timeout: Timeout | None = None,
        max_retries: int | None = None,
        patience_s: float | None = None,
        max_tokens: int | None = None,
        budget: Budget | None = None,
    ) -> Loopmeter:
        """This client with some options replaced; ``None`` leaves one as it is. It shares the connections.

        Closing it closes nothing: they are the first client's.
        """
        twin = copy(self)
        twin._owner = False
        twin._use(
            self._options.changed(
                timeout=timeout,
                max_retries=max_retries,
                patience_s=patience_s,
                max_tokens=max_tokens,
                budget=budget,
            )
        )
        return twin

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """The gateway's limits as its last answer to this client named them; empty if it names none."""
        return self._seen.quotas

    def quote(self, prompt: str | LoopRequest, **options: Unpack[LoopOptions]) -> Quote:
        """The exact price, length and chunk count of a loop. Holds and charges nothing.

        Raises:
            InvalidRequest: a field is wrong; ``errors`` names it.
        """
        return self._runner().run(_flows.quote(_core.loop_request(prompt, options)))

    def preview(
        self, requests: str | LoopRequest | Iterable[str | LoopRequest], **options: Unpack[LoopOptions]
    ) -> Preview:
        """The prices of one loop or of a list, with totals; ``options`` are those of each. Holds and charges nothing.

        Raises:
            InvalidRequest: a field of one of them is wrong; the error's note says of which.
        """
        if isinstance(requests, str | LoopRequest):
            requests = [requests]
        asked = [_core.loop_request(request, options) for request in requests]
        return self._runner().run(_flows.preview(asked))

    def live(
        self,
        prompt: str | None = None,
        *,
        max_tokens: int | None = None,
        buffer_chunks: int = 4,
        session: str | None = None,
        fallback: str | None = None,
        **options: Unpack[LiveOptions],
    ) -> LiveSession:
        """An endless piece that is steered while it plays. Nothing is sent before the session is entered or iterated.

        ``prompts`` (texts with weights) may stand in place of ``prompt``. ``max_tokens`` (default: the client's) ends
        the session before it costs more, as does what is left of the client's budget. ``buffer_chunks`` chunks may be
        on their way: fewer make changes heard sooner. ``session`` names the intent, as an idempotency key does.
        ``fallback`` names a loop of the client's pack (``name`` or ``name.stem``) that plays on, round and round, where
        no gateway or no tokens are left; a ``LiveFallback`` event says so. Needs ``pip install 'loopmeter[live]'``.

        Raises:
            InvalidRequest: a field is wrong, found before anything is sent.
            ValueError: ``prompt`` beside ``prompts``, or a ``fallback`` that the pack has not.
            BudgetExceeded: nothing is left of the budget, and there is no ``fallback``.
        """
        from loopmeter._live import LiveSession  # Loaded late, for the import time, as all of live is.
        from loopmeter._live_core import live_start
        from loopmeter._live_transport import WebsocketTransport

        limit = max_tokens if max_tokens is not None else self._options.max_tokens
        budget = self._options.budget
        self._shelf.check(fallback)
        spent = None
        if budget is not None:
            limit = min(budget.left, budget.left if limit is None else limit)
            if limit == 0:
                spent = BudgetExceeded(1, 0, budget=budget.tokens)
                if fallback is None:
                    raise spent
        start = live_start(prompt, options, limit or None if spent is not None else limit, buffer_chunks, session)
        transport = self._live_transport or WebsocketTransport(*self._live_settings)
        rescue = partial(self._shelf.spare, fallback) if fallback is not None else None
        return LiveSession(transport, self._clock, self._options.policy, start, budget, rescue, spent)

    def balance(self) -> Balance:
        """The tokens of this key's customer."""
        return _core.parse(Balance, self._runner().send(_core.get_json("/v1/balance")))

    def usage(self, *, limit: int = 50, cursor: str | None = None) -> UsagePage:
        """The bill, job by job, newest first. ``cursor`` is the ``next`` of the page before."""
        return _core.parse(UsagePage, self._runner().send(_core.get_usage(limit, cursor)))

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that this key may use."""
        return self._runner().run(_flows.models())

    def client_token(self, tokens_max: int, *, expires_in_s: int = 3600) -> ClientToken:
        """A short-lived key for a player's machine: it makes loops, for at most ``tokens_max`` tokens, and no more.

            token = server.client_token(5000)
            player = Loopmeter(url, token.token)

        Raises:
            InvalidRequest: the budget or the time (10 s to a day) is out of range.
        """
        request = _core.post_client_token(tokens_max, expires_in_s)
        return _core.parse(ClientToken, self._runner().send(request))

    def price_book(self) -> PriceBook:
        """The prices in force."""
        return _core.parse(PriceBook, self._runner().send(_core.get_json("/v1/price-book")))

    def close(self) -> None:
        """Close the connections. Open streams break. What ``with_options`` gave closes nothing."""
        if self._owner:
            self._transport.close()

    def __enter__(self) -> Loopmeter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return self._shown

    def _runner(self) -> Runner:
        return Runner(self._transport, self._clock, self._options, self._seen)


class Loops:
    """Make loops and fetch them again: ``client.loops``."""

    def __init__(
        self,
        runner: Callable[[], Runner],
        clock: Clock,
        options: _orders.CallOptions,
        shelf: Shelf,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._options = options
        self._shelf = shelf

    def create(
        self,
        prompt: str | LoopRequest,
        *,
        quote: Quote | None = None,
        quote_id: str | None = None,
        idempotency_key: str | None = None,
        max_tokens: int | None = None,
        on_chunk: Callable[[ChunkReceived], None] | None = None,
        fallback: str | None = None,
        **options: Unpack[LoopOptions],
    ) -> Loop:
        """Make a loop and wait for its end. Arguments and errors are those of ``stream``.

        ``on_chunk`` is called with each chunk as it comes. If it raises, the job is cancelled. Called again with the
        ``idempotency_key`` of a call that broke, even by another process, it gives the same loop and charges it once.

        With a cache, a loop that was paid for before comes from there, at once and free. With a pack, a call that
        finds no gateway or no tokens gives the pack's loop for the same request, else the one named ``fallback``
        (``name`` or ``name.stem``), instead of the error. ``loop.source`` says which it was, ``loop.reason`` why.
        """
        self._shelf.check(fallback)
        request = _core.loop_request(prompt, options)
        kept = self._shelf.find(request, self._runner())
        if kept is not None:
            return kept
        try:
            with self._ordered(request, quote, quote_id, idempotency_key, max_tokens, False) as stream:
                loop = stream.collect(on_chunk)
        except LoopmeterError as error:
            rescued = self._shelf.rescue(request, error, fallback)
            if rescued is None:
                raise
            return rescued
        self._shelf.keep(request, loop, self._runner())
        return loop

    def stream(
        self,
        prompt: str | LoopRequest,
        *,
        quote: Quote | None = None,
        quote_id: str | None = None,
        idempotency_key: str | None = None,
        max_tokens: int | None = None,
        detach: bool = False,
        fallback: str | None = None,
        **options: Unpack[LoopOptions],
    ) -> LoopStream:
        """Make a loop and take its chunks as they come. Nothing is sent before the stream is entered or iterated.

        ``quote`` (or its ``quote_id``) fixes the price. ``idempotency_key`` names this intent: the same key never
        makes or charges a second loop; by default one is made per call. ``max_tokens`` (default: the client's)
        raises ``BudgetExceeded`` before anything is held: it goes along with the order, to a gateway that is not known
        to heed it behind a quote of its own. ``detach`` leaves the job running when the stream is left.

        With a pack, a stream that finds no gateway or no tokens before its first chunk gives the chunks of the pack's
        loop for the same request, else of the one named ``fallback`` (``name`` or ``name.stem``), instead of the
        error. ``stream.source`` says which it was, ``stream.reason`` why.

        Raises:
            InvalidRequest: a field is wrong, found before anything is sent.
            ValueError: ``quote`` and ``quote_id`` together, or ``quote_id`` with ``max_tokens``, or a ``fallback`` that
                the pack has not.
        """
        self._shelf.check(fallback)
        request = _core.loop_request(prompt, options)
        rescue = partial(self._shelf.rescue, request, fallback=fallback)
        return self._ordered(request, quote, quote_id, idempotency_key, max_tokens, detach, rescue)

    def _ordered(
        self,
        request: LoopRequest,
        quote: Quote | None,
        quote_id: str | None,
        idempotency_key: str | None,
        max_tokens: int | None,
        detach: bool,
        rescue: Callable[[LoopmeterError], Loop | None] | None = None,
    ) -> LoopStream:
        limits = self._options if max_tokens is None else replace(self._options, max_tokens=max_tokens)
        order = _orders.Order.new(request, quote, quote_id, idempotency_key, limits)
        session = _flows.StreamSession(self._options.policy, order=order)
        return LoopStream(self, self._runner(), self._clock, session, detach, rescue)

    def resume(self, job_id: str, *, from_index: int = 0, detach: bool = False) -> LoopStream:
        """Take the chunks of a job from ``from_index`` on; free for those that are charged already."""
        session = _flows.StreamSession(self._options.policy, job_id=job_id, from_index=from_index)
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
