"""An engine over HTTP, which may break at any time: ``RemoteEngine`` keeps the contract across its deaths.

Every wait has an end: connecting ``CONNECT_S``, the next chunk ``deadline_s``. A lease that breaks (connection lost,
deadline, 5xx, a stream that ends too soon, damaged bytes) is taken up again from the last chunk with the last good
state, after 50 ms, doubling to 500 ms, for as long as ``patience_s`` without any chunk. What was handed out is never
asked for again, so nothing is made or charged twice.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

import httpx
from pydantic import ValidationError

from loopmeter import LiveRequest, LoopRequest
from loopmeter_engine.contract import (
    Chunk,
    EngineFailed,
    EngineInfo,
    InvalidRequest,
    LiveChange,
    LiveChunk,
    LivePlan,
    Plan,
    ScoreSheet,
)
from loopmeter_engine.exact import check_lease
from loopmeter_engine.guard import DEADLINE_S
from loopmeter_engine.registry import EngineUnavailable
from loopmeter_engine.remote import wire
from loopmeter_engine.remote.wire import (
    LeaseCall,
    LeaseDecoder,
    LeaseDone,
    LeaseFailed,
    LiveLeaseCall,
    PlanAnswer,
    Refusal,
    state_field,
)
from loopmeter_engine.stopping import check_wanted
from loopmeter_engine.taking_up import Lost, take_up

CONNECT_S = 2.0
PATIENCE_S = 60.0  # A process that loads gigabytes of weights takes as long to come back.
PLAN_PATIENCE_S = 5.0  # Somebody waits for a price.
WAIT_FIRST_S = 0.05
WAIT_MAX_S = 0.5
_PLANS_MAX = 64
_Value = TypeVar("_Value")


class RemoteEngine:
    """The engine that ``loopmeter engine serve`` offers at ``url``.

    ``transport`` replaces the sockets, ``sleep`` and ``now`` the clock, for tests.

    Raises:
        EngineUnavailable: nobody answers at ``url``, or it is no engine.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        deadline_s: float = DEADLINE_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(deadline_s, connect=CONNECT_S),
            transport=transport,
        )
        self._patience_s = patience_s
        self._sleep = sleep
        self._now = now
        self._lock = threading.Lock()
        self._plan = functools.lru_cache(_PLANS_MAX)(self._ask_plan)
        try:
            self._info = self._ask_info(patience_s)
        except EngineFailed as error:
            self.close()
            raise EngineUnavailable(f"{error}; start it with: loopmeter engine serve") from error

    def info(self) -> EngineInfo:
        """What the engine was when it last said so. It is asked again when it turns out to be another one."""
        return self._info

    def plan(self, request: LoopRequest) -> Plan:
        return self._plan(request)

    def score(self, request: LoopRequest) -> ScoreSheet:
        body = self._ask("POST", "/score", request.model_dump_json(), PLAN_PATIENCE_S)
        return self._read(wire.decode_score, body)

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        check_lease(self.plan(request), start_chunk, count)
        fingerprint = self._info.fingerprint

        def call(index: int, left: int, known: bytes | None) -> str:
            return LeaseCall(
                request=request,
                start_chunk=index,
                count=left,
                state_base64=state_field(known),
                fingerprint=fingerprint,
            ).model_dump_json()

        return self._stream("/lease", call, start_chunk, start_chunk + count, state)

    def close(self) -> None:
        """Close the connections. Leases that still run end with ``EngineFailed``."""
        self._http.close()

    def _stream(self, path: str, call: _MakeCall, index: int, end: int, state: bytes | None) -> Iterator[Chunk]:
        def make(index: int, left: int, known: bytes | None) -> Generator[Chunk, None, None]:
            return self._lease_once(path, call(index, left, known), index, end)

        return take_up(make, index, end, state, self._waits(self._patience_s))

    def _lease_once(self, path: str, body: str, index: int, end: int) -> Generator[Chunk, None, None]:
        """One lease, whole. Raises ``Lost`` when it breaks."""
        decoder = LeaseDecoder()
        try:
            with self._http.stream("POST", path, content=body, headers=_JSON) as response:
                if response.status_code != 200:
                    response.read()
                    self._refused(response)
                for data in response.iter_raw():
                    check_wanted()
                    decoder.receive(data)
                    for event in decoder.events():
                        if isinstance(event, LeaseFailed):
                            raise self._failed(event.message)
                        if isinstance(event, LeaseDone):
                            break
                        if event.index != index or index >= end:
                            raise self._failed(f"expected chunk {index} of a lease to {end - 1}, found {event.index}")
                        yield event
                        index += 1
        except httpx.TransportError as error:
            raise Lost(f"{type(error).__name__}: {error}") from error
        except (ValueError, KeyError) as error:
            raise Lost(str(error)) from error
        if index < end:
            raise Lost(f"expected chunks up to {end - 1}, found the end of the stream before chunk {index}")

    def _ask_info(self, patience_s: float) -> EngineInfo:
        return self._read(wire.INFO.validate_json, self._ask("GET", "/info", None, patience_s))

    def _ask_plan(self, request: LoopRequest) -> Plan:
        body = self._ask("POST", "/plan", request.model_dump_json(), PLAN_PATIENCE_S)
        answer = self._read(PlanAnswer.model_validate_json, body)
        if answer.fingerprint != self._info.fingerprint:
            self._meet_anew()
        return answer.plan

    def _meet_anew(self) -> None:
        """Another engine answers at the old address: forget what the former one said."""
        with self._lock:
            self._info = self._ask_info(PLAN_PATIENCE_S)
        self._plan.cache_clear()

    def _ask(self, method: str, path: str, body: str | None, patience_s: float) -> bytes:
        waits = self._waits(patience_s)
        while True:
            try:
                try:
                    response = self._http.request(method, path, content=body, headers=_JSON)
                except httpx.TransportError as error:
                    raise Lost(f"{type(error).__name__}: {error}") from error
                if response.status_code == 200:
                    return response.content
                self._refused(response)
            except Lost as lost:
                waits.lost("the answer", lost)

    def _waits(self, patience_s: float) -> _Waits:
        return _Waits(patience_s, self._failed, self._sleep, self._now)

    def _refused(self, response: httpx.Response) -> None:
        """Raise what the engine raised over there; ``Lost`` for what may pass."""
        try:
            refusal = Refusal.model_validate_json(response.content)
        except ValidationError as error:
            if response.status_code >= 500:
                raise Lost(f"status {response.status_code}") from error
            raise self._failed(f"expected an engine, found an answer of status {response.status_code}") from error
        if refusal.kind == "invalid_request":
            raise InvalidRequest(refusal.field, refusal.message)
        if refusal.kind == "busy":
            raise Lost(refusal.message)
        if refusal.kind == "fingerprint":
            self._meet_anew()
            raise self._failed(f"{refusal.message}; the engine was changed in the middle of the stream")
        raise self._failed(refusal.message)

    def _read(self, read: Callable[[bytes], _Value], body: bytes) -> _Value:
        try:
            return read(body)
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed(f"expected the answer of an engine, found {body[:80]!r}") from error

    def _failed(self, message: str) -> EngineFailed:
        return EngineFailed(f"engine at {self.url}: {message}")


class RemoteLiveEngine(RemoteEngine):
    """As ``RemoteEngine``, for one that also plays without an end."""

    def plan_live(self, request: LiveRequest) -> LivePlan:
        body = self._ask("POST", "/plan-live", request.model_dump_json(), PLAN_PATIENCE_S)
        return self._read(wire.LIVE_PLAN.validate_json, body)

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        fingerprint, log = self._info.fingerprint, tuple(changes)

        def call(index: int, left: int, known: bytes | None) -> str:
            return LiveLeaseCall(
                request=request,
                changes=log,
                start_chunk=index,
                count=left,
                state_base64=state_field(known),
                fingerprint=fingerprint,
            ).model_dump_json()

        for chunk in self._stream("/lease-live", call, start_chunk, start_chunk + count, state):
            if not isinstance(chunk, LiveChunk):
                raise self._failed(f"expected chunk {chunk.index} of an endless session, found one of a loop")
            yield chunk


def remote_engine(url: str, token: str | None = None, *, deadline_s: float = DEADLINE_S) -> RemoteEngine:
    """The engine at ``url``, which plays endless sessions exactly if the engine there does. Raises as the class."""
    engine = RemoteEngine(url, token, deadline_s=deadline_s)
    if "live" not in engine.info().capabilities:
        return engine
    engine.close()
    return RemoteLiveEngine(url, token, deadline_s=deadline_s)


_JSON = {"Content-Type": "application/json"}
_MakeCall = Callable[[int, int, bytes | None], str]  # From where, how many chunks, with which state: the body.


class _Waits:
    """Waits that double, until ``patience_s`` have gone by since things last went well."""

    def __init__(
        self,
        patience_s: float,
        failed: Callable[[str], EngineFailed],
        sleep: Callable[[float], None],
        now: Callable[[], float],
    ) -> None:
        self._patience_s, self._failed, self._sleep, self._now = patience_s, failed, sleep, now
        self.restart()

    def restart(self) -> None:
        self._wait_s = WAIT_FIRST_S
        self._since = self._now()

    def lost(self, what: str, cause: Lost) -> None:
        if self._now() + self._wait_s - self._since > self._patience_s:
            raise self._failed(f"lost {what}: {cause}") from cause
        self._sleep(self._wait_s)
        self._wait_s = min(2 * self._wait_s, WAIT_MAX_S)
