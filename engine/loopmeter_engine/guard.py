"""Somebody else's engine, kept from taking its host down: it may raise, hang or miscount, and is named for it.

Every call runs in a thread of the guard's, so that a call which does not return can be given up. Such a thread cannot
be ended from outside: it is left behind, and after ``HUNG_MAX`` of them the engine is refused until one comes back.
As many leases run side by side as the engine allows; further ones wait for each other, chunk by chunk.
Who wants a hung engine gone runs it in a process of its own (``loopmeter engine serve``).
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from loopmeter import LiveRequest, LoopRequest
from loopmeter_engine.contract import (
    Chunk,
    Engine,
    EngineError,
    EngineFailed,
    EngineInfo,
    LiveChange,
    LiveChunk,
    LiveEngine,
    LivePlan,
    Plan,
    ScoreSheet,
)
from loopmeter_engine.pace import Pace, Speedometer

DEADLINE_S = 120.0  # For one call, or one chunk. A first chunk may load gigabytes of weights.
HUNG_MAX = 3
STREAMS_AT_ONCE_MAX = 256

_Result = TypeVar("_Result")
_Piece = TypeVar("_Piece", bound=Chunk)


def guard(engine: Engine, name: str, owner: str, deadline_s: float = DEADLINE_S) -> GuardedEngine:
    """``engine`` behind a guard, which plays endless sessions exactly if the engine does."""
    if isinstance(engine, LiveEngine):
        return GuardedLiveEngine(engine, name, owner, deadline_s)
    return GuardedEngine(engine, name, owner, deadline_s)


class GuardedEngine:
    """``engine``, which belongs to ``owner`` (a distribution and its version), behind the same contract.

    What it raises against its contract, what it does not finish within ``deadline_s`` per call or chunk, and what it
    makes in another size than planned, becomes an ``EngineFailed`` that names engine and owner. Its own ``EngineError``
    and ``ValueError`` pass through; of the first, only ``EngineFailed`` gets the name put in front.
    """

    def __init__(self, engine: Engine, name: str, owner: str, deadline_s: float = DEADLINE_S) -> None:
        self._engine = engine
        self._label = f"engine {name!r} of {owner}"
        self._deadline_s = deadline_s
        self._planning = _Lanes(f"loopmeter-guard-plan-{name}", 1)
        self._info = self._call(self._planning, "info", engine.info)
        lanes = self._info.streams_at_once
        if not isinstance(lanes, int) or not 1 <= lanes <= STREAMS_AT_ONCE_MAX:
            raise EngineFailed(
                f"{self._label}: expected info with streams_at_once of 1 to {STREAMS_AT_ONCE_MAX}, found {lanes!r}"
            )
        self._making = _Lanes(f"loopmeter-guard-{name}", lanes)
        self._speed = Speedometer()

    def info(self) -> EngineInfo:
        """What the engine said of itself when it was loaded."""
        return self._info

    def plan(self, request: LoopRequest) -> Plan:
        plan = self._call(self._planning, "plan", lambda: self._engine.plan(request))
        self._check_plan(plan)
        return plan

    def pace(self, plan: Plan) -> Pace | None:
        """When its first sound will come and how fast the rest, from what the engine has made here; None at first."""
        return self._speed.pace(plan)

    def score(self, request: LoopRequest) -> ScoreSheet:
        return self._call(self._planning, "score", lambda: self._engine.score(request))

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        chunks = self._call(self._making, "lease", lambda: iter(self._engine.lease(request, start_chunk, count, state)))
        return self._pull(chunks, lambda index: _chunk_size(plan, index), start_chunk)

    def _pull(
        self, chunks: Iterator[_Piece], size: Callable[[int], tuple[int, int]], start_chunk: int
    ) -> Iterator[_Piece]:
        """The chunks, each checked against ``size`` of its index, in (frames, bytes)."""
        index = start_chunk
        try:
            while True:
                chunk = self._call(self._making, f"lease at chunk {index}", lambda: next(chunks, None))
                if chunk is None:
                    return
                expected = (index, *size(index))
                found = (chunk.index, chunk.frames, len(chunk.pcm))
                if found != expected:
                    raise EngineFailed(
                        f"{self._label}: expected a chunk of (index, frames, bytes) {expected} as planned, "
                        f"found {found}"
                    )
                self._speed.count(chunk)
                yield chunk
                index += 1
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                # What goes wrong in closing costs nobody a chunk.
                with contextlib.suppress(EngineError, ValueError):
                    self._call(self._making, "close of a lease", close)

    def _call(self, lanes: _Lanes, what: str, function: Callable[[], _Result]) -> _Result:
        try:
            return lanes.call(function, self._deadline_s)
        except EngineFailed as error:
            raise EngineFailed(f"{self._label}: {error}") from error
        # A wrong request, or wrong arguments: the caller's fault, which the engine has said well enough.
        except (EngineError, ValueError):
            raise
        except _Hung as error:
            raise EngineFailed(f"{self._label}: {what}: {error}") from error
        # An engine is a plug-in: whatever it raises is its failure, not its host's.
        except Exception as error:
            raise EngineFailed(
                f"{self._label}: {what}: expected what the contract allows, found {type(error).__name__}: {error}"
            ) from error

    def _check_plan(self, plan: Plan) -> None:
        asked = plan.request
        if asked.tempo_bpm is None or asked.bars is None:
            raise EngineFailed(f"{self._label}: expected a plan with tempo and bars, found one that leaves them open")
        frames = round(asked.bars * asked.beats_per_bar * 60 / asked.tempo_bpm * plan.sample_rate_hz)
        found = (plan.frames, sum(plan.chunk_frames))
        if found != (frames, frames) or min(plan.chunk_frames, default=0) < 1:
            raise EngineFailed(
                f"{self._label}: expected a plan of {frames} frames in all its chunks together, found {found[0]} "
                f"frames planned and {found[1]} in {len(plan.chunk_frames)} chunks"
            )


class GuardedLiveEngine(GuardedEngine):
    """As ``GuardedEngine``, for one that also plays without an end."""

    def __init__(self, engine: Engine, name: str, owner: str, deadline_s: float = DEADLINE_S) -> None:
        assert isinstance(engine, LiveEngine)
        super().__init__(engine, name, owner, deadline_s)
        self._live = engine

    def plan_live(self, request: LiveRequest) -> LivePlan:
        return self._call(self._planning, "plan_live", lambda: self._live.plan_live(request))

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        plan = self.plan_live(request)
        size = (plan.chunk_frames, plan.chunk_frames * plan.channels * plan.bits // 8)
        chunks = self._call(
            self._making,
            "lease_live",
            lambda: iter(self._live.lease_live(request, changes, start_chunk, count, state)),
        )
        return self._pull(chunks, lambda _: size, start_chunk)


def _chunk_size(plan: Plan, index: int) -> tuple[int, int]:
    """(frames, bytes) of a planned chunk; nothing behind the last one."""
    frames = plan.chunk_frames[index] if index < len(plan.chunk_frames) else 0
    return frames, frames * plan.channels * plan.bits // 8


class _Hung(Exception):
    """A call did not return in time."""


class _LeftBehind:
    """The threads of calls that did not return, of all lanes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def add(self, thread: threading.Thread) -> None:
        with self._lock:
            self._threads.append(thread)

    def count(self) -> int:
        """How many still hang."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads)


class _Lanes:
    """``count`` lanes. A call takes a free one, or waits for one: not longer than the calls before it may take."""

    def __init__(self, name: str, count: int) -> None:
        hung = _LeftBehind()
        self._free: queue.LifoQueue[_Lane] = queue.LifoQueue()  # The last one used has its thread already.
        for _ in range(count):
            self._free.put(_Lane(name, hung))

    def call(self, function: Callable[[], _Result], deadline_s: float) -> _Result:
        """Raises what ``function`` raises, or ``_Hung``."""
        lane = self._free.get()
        try:
            return lane.call(function, deadline_s)
        finally:
            self._free.put(lane)


class _Lane:
    """A thread that does one call after the other, each in its caller's context. One that hangs is left behind and a
    fresh one takes its place. Used by one caller at a time."""

    def __init__(self, name: str, hung: _LeftBehind) -> None:
        self._name = name
        self._hung = hung
        self._calls: queue.SimpleQueue[Callable[[], None] | None] | None = None
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], _Result], deadline_s: float) -> _Result:
        """Raises what ``function`` raises, or ``_Hung``."""
        answer: queue.SimpleQueue[tuple[bool, _Result | BaseException]] = queue.SimpleQueue()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                answer.put((True, context.run(function)))
            except BaseException as error:  # Carried to the caller, whatever it is.
                answer.put((False, error))

        self._submit(work)
        try:
            done, result = answer.get(timeout=deadline_s)
        except queue.Empty:
            self._leave_behind()
            raise _Hung(f"expected an answer within {deadline_s:g} s, found none; the call was given up") from None
        if not done:
            assert isinstance(result, BaseException)
            raise result
        return result  # type: ignore[return-value]  # Of a call that is done, it is the result.

    def _submit(self, work: Callable[[], None]) -> None:
        if self._calls is None:
            if self._hung.count() >= HUNG_MAX:
                raise _Hung(f"expected an engine that returns, found {HUNG_MAX} calls still hanging; restart it")
            self._calls = queue.SimpleQueue()
            self._thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
        self._calls.put(work)

    def _leave_behind(self) -> None:
        assert self._calls is not None and self._thread is not None
        self._calls.put(None)  # Should it ever come back, it finds its end.
        self._hung.add(self._thread)
        self._calls = self._thread = None


def _serve(calls: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (work := calls.get()) is not None:
        work()
