"""Performs the effects of ``_flows.py`` for asyncio: the thin driver that moves bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from loopmeter import _core, _flows, _orders
from loopmeter._core import (
    AsyncClock,
    AsyncOpenResponse,
    AsyncTransport,
    HttpRequest,
    HttpResponse,
)
from loopmeter._exceptions import LoopmeterError
from loopmeter._quota import quotas_of
from loopmeter._retry import log, tenacity_log, tenacity_stop, tenacity_wait

_T = TypeVar("_T")


class AsyncRunner:
    """Performs the effects of flows, one at a time, with at most one body open."""

    def __init__(
        self, transport: AsyncTransport, clock: AsyncClock, options: _orders.CallOptions, seen: _orders.Seen
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._options = options
        self._seen = seen
        self._body: AsyncOpenResponse | None = None

    def without_retries(self) -> AsyncRunner:
        """A runner for a question whose answer is welcome but not needed."""
        once = replace(self._options, policy=replace(self._options.policy, retries_max=0))
        return AsyncRunner(self._transport, self._clock, once, self._seen)

    async def run(self, flow: _flows.Flow[_T]) -> _T:
        try:
            effect = next(flow)
            while True:
                try:
                    outcome = await self._perform(effect)
                except LoopmeterError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(outcome)
        except StopIteration as stop:
            result: _T = stop.value
            return result

    async def _perform(self, effect: _flows.Effect) -> object:
        match effect:
            case _flows.Send(request):
                return await self.send(request)
            case _flows.Open(request):
                await self.aclose()
                self._body = await self._open(request)
            case _flows.Read(bytes_min):
                assert self._body is not None
                return await _read_on(self._body, bytes_min)
            case _flows.Close():
                await self.aclose()
            case _flows.Sleep(seconds, reason):
                log.info("stream broken, resumed in %.2f s: %s", seconds, reason)
                await self._clock.sleep(seconds)
            case _flows.Now():
                return self._clock.now()
            case _flows.TakesCaps():
                return self._seen.takes_caps
        return None

    async def send(self, request: HttpRequest) -> HttpResponse:
        from tenacity import AsyncRetrying  # Loaded late: it brings asyncio, which costs import time.

        return await AsyncRetrying(
            stop=tenacity_stop(self._options.policy),
            wait=tenacity_wait(self._options.policy),
            before_sleep=tenacity_log,
            sleep=self._clock.sleep,
            reraise=True,
        )(self._send_once, request)

    async def _send_once(self, request: HttpRequest) -> HttpResponse:
        response = await self._open(request)
        try:
            return _core.require_whole(request, await _read_whole(response))
        finally:
            await response.aclose()

    async def _open(self, request: HttpRequest) -> AsyncOpenResponse:
        if self._options.timeout is not None:
            request = replace(request, timeout=self._options.timeout)
        began_s = self._clock.now()
        response = await self._transport.send(request)
        log.debug(
            "%s %s: %d after %.0f ms, request %s",
            request.method,
            request.path,
            response.status,
            (self._clock.now() - began_s) * 1000,
            response.headers.get("x-request-id"),
        )
        self._seen.quotas = quotas_of(response.headers) or self._seen.quotas
        self._seen.takes_caps = _core.takes_caps(response.headers)
        if response.status < 400:
            return response
        try:
            answer = await _read_whole(response)
        finally:
            await response.aclose()
        raise _core.error_of(answer, request.idempotency_key)

    async def aclose(self) -> None:
        if self._body is not None:
            await self._body.aclose()
            self._body = None


async def _read_on(response: AsyncOpenResponse, bytes_min: int) -> list[bytes]:
    pieces: list[bytes] = []
    while bytes_min > 0 and (piece := await response.read()):
        pieces.append(piece)
        bytes_min -= len(piece)
    return pieces


async def _read_whole(response: AsyncOpenResponse) -> HttpResponse:
    pieces: list[bytes] = []
    while piece := await response.read():
        pieces.append(piece)
    return HttpResponse(response.status, response.headers, b"".join(pieces))
