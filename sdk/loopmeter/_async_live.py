"""Live sessions for asyncio.

What a session is and remembers stands in ``_live_core.py``, how messages travel in ``_live_transport.py``.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Unpack

from loopmeter._async_shelf import OFFLINE_OR_OUT_OF_TOKENS
from loopmeter._budget import Budget
from loopmeter._chunks import ChunkReceived
from loopmeter._core import AsyncClock
from loopmeter._exceptions import BudgetExceeded, ConnectionFailed, LoopmeterError, StreamInterrupted
from loopmeter._live_core import LiveCore, LiveEvent, LiveFallback, LiveSteering, Playout
from loopmeter._live_messages import ClientMessage, LiveEnded, LiveStart, LiveStarted, encode_live
from loopmeter._live_transport import AsyncLiveSocket, AsyncLiveTransport
from loopmeter._loop import AsyncLoop, LoopSource
from loopmeter._retry import RetryPolicy

_HEARTBEATS_MISSED = 3
_FIRST_ANSWER_S = 30.0
_PAUSED_S = 0.05
_SPENT = {"budget", "no_tokens", "lost", "failed"}  # ends that nobody asked for


class AsyncLiveSession:
    """An endless piece, steered while it plays. Made by ``client.live``; enter it, then iterate over its events.

        async with client.live("dusty lo-fi drums", tempo_bpm=92, max_tokens=2000) as session:
            async for event in session:
                match event:
                    case ChunkReceived():
                        play(event.pcm)
                        if session.tokens_charged > 500:
                            await session.steer(density=0.2)
                    case LiveApplied() | LiveWarning():
                        print(event)

    Chunks come in order, each once. A broken connection is taken up again by itself, free of charge. The gateway makes
    ``buffer_chunks`` ahead of the reader and one more: a slow reader slows the making. The session ends with
    ``LiveEnded``: stopped, out of budget (after a ``LiveWarning``), or failed. Leaving the block stops it. What came is
    charged and can be fetched again with ``client.loops.resume(session.started.job)``.

    With a ``fallback`` the music goes on where no gateway or no tokens are left: after ``LiveFallback`` the pack's loop
    plays, free, until it is stopped. It cannot be steered.

    One task iterates; others may steer, pause, play and stop meanwhile.
    """

    def __init__(
        self,
        transport: AsyncLiveTransport,
        clock: AsyncClock,
        policy: RetryPolicy,
        start: LiveStart,
        budget: Budget | None = None,
        rescue: Callable[[], Awaitable[AsyncLoop | None]] | None = None,
        spent: BudgetExceeded | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._policy = policy
        self._core = LiveCore(start)
        self._budget = budget
        self._rescue = rescue
        self._spent = spent
        self._fallback: LiveFallback | None = None
        self._playout = Playout()
        self._socket: AsyncLiveSocket | None = None
        self._owes_credit = False
        self._failures = 0
        self._broken_since_s = 0.0

    @property
    def started(self) -> LiveStarted:
        """Format, job and resolved request. Raises ``RuntimeError`` before the session is entered."""
        if self._core.started is None:
            raise RuntimeError("expected a session that has started, found a new one; enter it with 'async with' first")
        return self._core.started

    @property
    def ended(self) -> LiveEnded | None:
        """How it ended; ``None`` while it goes on."""
        return self._core.ended

    @property
    def source(self) -> LoopSource:
        """``gateway``, or ``pack`` once that stepped in."""
        return "pack" if self._core.plays_kept else "gateway"

    @property
    def session(self) -> str:
        """The session's key: the same key never starts or charges a second session."""
        return self._core.start.session

    @property
    def tokens_charged(self) -> int:
        """What the session has cost so far."""
        return self._core.tokens_charged

    @property
    def tokens_per_minute(self) -> float:
        """What a minute of sound costs, from the chunks of the last minute."""
        return self._core.tokens_per_minute

    @property
    def position_s(self) -> float:
        """Seconds of sound that were handed over."""
        return self._core.position_s

    @property
    def playout_s(self) -> float:
        """Where a player is that began with the first chunk and plays whatever it is handed."""
        return self._playout.position_s(self._clock.now())

    @property
    def buffered_s(self) -> float:
        """Seconds of sound that such a player still has."""
        return self._playout.buffered_s(self._clock.now())

    async def __aenter__(self) -> AsyncLiveSession:
        while self._core.started is None:
            await self._next()
        return self

    def __aiter__(self) -> AsyncLiveSession:
        return self

    async def __anext__(self) -> LiveEvent:
        """The next event; after ``LiveEnded`` there is none.

        Raises:
            StreamInterrupted: the connection broke and could not be taken up in time.
            APIError: the gateway refused the session.
        """
        if self._core.ended is not None:
            raise StopAsyncIteration
        if self._owes_credit:
            self._owes_credit = False
            await self._say(self._core.taken())
        while True:
            event = await self._next()
            if isinstance(event, ChunkReceived):
                self._owes_credit = True
                self._playout.give(self._core.position_s, self._clock.now())
            if event is not None:
                return event

    async def steer(self, **changes: Unpack[LiveSteering]) -> str:
        """Change what is played, at the next bar that is not made yet; the reference that ``LiveApplied`` will carry.

        Raises:
            InvalidRequest: a field is wrong; found before anything is sent. What only the engine finds wrong comes
                as a ``LiveError`` event with the reference.
        """
        message = self._core.steering(changes)
        await self._say(message)
        return message.ref

    async def pause(self) -> None:
        """Make and charge nothing until ``play``."""
        await self._say(self._core.pausing(True))

    async def play(self) -> None:
        """Go on."""
        await self._say(self._core.pausing(False))

    async def stop(self) -> None:
        """Ask for the end; it comes as ``LiveEnded``, after the chunks that are on their way."""
        await self._say(self._core.stopping())

    async def aclose(self) -> None:
        """Stop the session, if it has not ended, and close the connection."""
        if self._core.started is not None and self._core.ended is None:
            with contextlib.suppress(LoopmeterError):  # The gateway ends by itself what nobody takes up.
                await self.stop()
                while self._socket is not None and self._core.ended is None:
                    self._core.receive(await self._receive(self._socket))
        await self._hang_up()
        if self._core.plays_kept and self._core.ended is None:
            self._core.next_kept()  # the end

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, StreamInterrupted):
            await self._hang_up()  # It can still be taken up within the gateway's patience.
        else:
            await self.aclose()

    async def _next(self) -> LiveEvent | None:
        """The next event, from the gateway or, where that can give no more, from the pack."""
        if self._fallback is not None:
            fallback, self._fallback = self._fallback, None
            return fallback
        if self._core.plays_kept:
            event = self._core.next_kept()
            if event is None:
                await self._clock.sleep(_PAUSED_S)
            return event
        try:
            if self._spent is not None:
                raise self._spent
            event = await self._next_of_gateway()
        except OFFLINE_OR_OUT_OF_TOKENS as error:
            if not await self._rescued(str(error)):
                raise
            return None
        if isinstance(event, LiveEnded) and event.reason in _SPENT and await self._rescued(event.reason):
            return None
        return event

    async def _rescued(self, reason: str) -> bool:
        kept = await self._rescue() if self._rescue is not None else None
        if kept is None:
            return False
        await self._hang_up()
        if not self._core.keep_playing(kept):
            return False
        self._fallback = LiveFallback(kept.reason, reason)
        return True

    async def _next_of_gateway(self) -> LiveEvent | None:
        """One message of the gateway, over a new connection if the one before broke."""
        if self._budget is not None and self._core.started is None:
            self._budget.reserve(self.session, self._core.start.max_tokens or 0)
        try:
            if self._socket is None:
                self._socket = await self._transport.connect()
                await self._socket.send(encode_live(self._core.opening()))
                self._owes_credit = False  # The opening says anew what may come.
            event, answers = self._core.receive(await self._receive(self._socket))
            for answer in answers:
                await self._socket.send(encode_live(answer))
        except LoopmeterError as error:
            await self._hang_up()
            await self._wait_or_give_up(error)
            return None
        self._failures = 0
        return event

    async def _receive(self, socket: AsyncLiveSocket) -> str | bytes:
        started = self._core.started
        return await socket.receive(_FIRST_ANSWER_S if started is None else _HEARTBEATS_MISSED * started.heartbeat_s)

    async def _say(self, message: ClientMessage) -> None:
        """Send it now, if there is a connection; what must not be lost is said again by the next one."""
        socket = self._socket
        if socket is not None:
            with contextlib.suppress(ConnectionFailed):  # Whoever iterates finds the break, and connects again.
                await socket.send(encode_live(message))

    async def _hang_up(self) -> None:
        # What a session cost that broke off is known only to the gateway: it stays reserved.
        if self._budget is not None and self._core.ended is not None and not self._core.plays_kept:
            self._budget.settle(self.session, self._core.tokens_charged)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.aclose()

    async def _wait_or_give_up(self, error: LoopmeterError) -> None:
        now_s = self._clock.now()
        if self._failures == 0:
            self._broken_since_s = now_s
        self._failures += 1
        started = self._core.started
        policy = self._policy if started is None else replace(self._policy, retries_max=None)
        wait_s = policy.wait_s(self._failures, error, now_s - self._broken_since_s, random.random())
        if wait_s is not None:
            await self._clock.sleep(wait_s)
        elif error.retryable and started is not None:
            raise StreamInterrupted(
                started.job, self._core.next_index, error.message, idempotency_key=self.session
            ) from error
        else:
            if self._budget is not None and started is None and not error.retryable:
                self._budget.release(self.session)
            raise error
