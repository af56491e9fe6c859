"""The engine contract, kept by several processes together. Torch-free.

A lease goes to the process that makes the fewest, so streams spread; inside, each process shares its core among its
streams as one process would. A lease whose process dies is taken up by another one, from the next chunk with the last
good state: the same bytes, as they are everywhere. What does not depend on time is remembered here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

from loopmeter import LiveRequest, LoopRequest
from loopmeter_engine.contract import (
    Chunk,
    EngineFailed,
    EngineInfo,
    LiveChange,
    LiveChunk,
    LivePlan,
    Plan,
    ScoreSheet,
)
from loopmeter_engine.exact import check_lease, check_live_lease
from loopmeter_engine.guard import DEADLINE_S, STREAMS_AT_ONCE_MAX
from loopmeter_engine.processes.crew import Crew
from loopmeter_engine.taking_up import Lost, take_up

LOSSES_MAX = 3
_ANSWERS_MAX = 64
_Piece = TypeVar("_Piece", bound=Chunk)


def engine_in_processes(name: str, count: int, cores: int, deadline_s: float = DEADLINE_S) -> ProcessEngine:
    """Engine ``name`` in ``count`` processes with ``cores`` each; it plays endless sessions exactly if the engine does.

    ``deadline_s`` is what one answer, or one chunk, may take; a process that takes longer is ended.

    Raises:
        EngineUnavailable: as ``Crew``.
    """
    crew = Crew(name, count, cores)
    kind = LiveProcessEngine if "live" in crew.info.capabilities else ProcessEngine
    return kind(crew, count, deadline_s)


class ProcessEngine:
    """The engine of a crew. ``close`` ends its processes, as does the end of this one, however it comes."""

    def __init__(self, crew: Crew, count: int, deadline_s: float) -> None:
        self.crew = crew
        self._deadline_s = deadline_s
        streams = min(count * crew.info.streams_at_once, STREAMS_AT_ONCE_MAX)
        self._info = dataclasses.replace(crew.info, streams_at_once=streams, processes=count)
        self._known = functools.lru_cache(_ANSWERS_MAX)(self._ask)

    def info(self) -> EngineInfo:
        return self._info

    def plan(self, request: LoopRequest) -> Plan:
        plan = self._known("plan", request)
        assert isinstance(plan, Plan)
        return plan

    def score(self, request: LoopRequest) -> ScoreSheet:
        sheet = self._known("score", request)
        assert isinstance(sheet, ScoreSheet)
        return sheet

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        check_lease(self.plan(request), start_chunk, count)

        def make(index: int, left: int, known: bytes | None) -> Generator[Chunk, None, None]:
            return self._stream(Chunk, "lease", request, index, left, known)

        return take_up(make, start_chunk, start_chunk + count, state, _Tries())

    def close(self) -> None:
        """End the processes. Leases that still run end with ``EngineFailed``."""
        self.crew.close()

    def _ask(self, method: str, request: LoopRequest | LiveRequest) -> object:
        """What ``method`` gives for a request, which is the same every time."""
        tries = _Tries()
        while True:
            try:
                with self.crew.line(request, lease=False) as line:
                    line.ask(method, request)
                    return line.answer(self._deadline_s)
            except Lost as lost:
                tries.lost(f"the answer to {method}", lost)

    def _stream(
        self, kind: type[_Piece], method: str, request: LoopRequest | LiveRequest, *arguments: object
    ) -> Generator[_Piece, None, None]:
        """A lease by one process, whole. Raises ``Lost`` when that ends."""
        with self.crew.line(request, lease=True) as line:
            line.ask(method, request, *arguments)
            while (chunk := line.answer(self._deadline_s)) is not None:
                assert isinstance(chunk, kind)
                yield chunk


class LiveProcessEngine(ProcessEngine):
    """As ``ProcessEngine``, for one that also plays without an end."""

    def plan_live(self, request: LiveRequest) -> LivePlan:
        plan = self._known("plan_live", request)
        assert isinstance(plan, LivePlan)
        return plan

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        check_live_lease(start_chunk, count)
        log = tuple(changes)

        def make(index: int, left: int, known: bytes | None) -> Generator[LiveChunk, None, None]:
            return self._stream(LiveChunk, "lease_live", request, log, index, left, known)

        return take_up(make, start_chunk, start_chunk + count, state, _Tries())


class _Tries:
    """``LOSSES_MAX`` losses without anything in between; for a process to come back the crew waits."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._losses = 0

    def lost(self, what: str, cause: Lost) -> None:
        self._losses += 1
        if self._losses >= LOSSES_MAX:
            raise EngineFailed(f"lost {what}, {LOSSES_MAX} times in a row: {cause}") from cause
