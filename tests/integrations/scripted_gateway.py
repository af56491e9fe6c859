"""A gateway without sockets, behind the SDK's transport seam: real chunks of the fake engine, and trouble on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from loopmeter import (
    ChunkMeter,
    ChunkReceived,
    ConnectionFailed,
    HttpRequest,
    LoopOrder,
    LoopRequest,
    Problem,
    Quote,
    StreamEnded,
    StreamStarted,
    encode_chunk_event,
)
from loopmeter_engine.contract import InvalidRequest, Plan
from loopmeter_engine.fake import FakeEngine

PRICE_TOKENS = 800


class Answer:
    """An open response over an iterator of bytes."""

    def __init__(self, status: int, pieces: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self._pieces = pieces

    async def read(self) -> bytes:
        return await anext(self._pieces, b"")

    async def aclose(self) -> None:
        return None


class ScriptedGateway:
    """``chunks_allowed`` holds every stream before that chunk until ``allow_all``. ``problem`` answers every order.

    ``orders_allowed`` is waited for before an order is accepted; ``order_came`` tells of one. ``sent`` are the
    requests, as ``METHOD path``; ``jobs`` those that were accepted. With the feature ``max-tokens`` it heeds caps.
    """

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.sent: list[str] = []
        self.unreachable = False
        self.problem: Problem | None = None
        self.features = ""
        self.chunks_allowed: int | None = None
        self.orders_allowed = asyncio.Event()
        self.orders_allowed.set()
        self.order_came = asyncio.Event()
        self._changed = asyncio.Condition()
        self._cancelled: set[str] = set()
        self.jobs: dict[str, LoopRequest] = {}
        self._delivered: dict[str, int] = {}
        self._numbers = itertools.count(1)

    async def allow_all(self) -> None:
        self.chunks_allowed = None
        async with self._changed:
            self._changed.notify_all()

    def forget(self, but: int = 0) -> None:
        """Drop the jobs but the last ones, as a gateway does not."""
        for job in list(self.jobs)[: len(self.jobs) - but]:
            del self.jobs[job], self._delivered[job]
            self._cancelled.discard(job)

    async def until_sent(self, sent: str) -> None:
        """Wait for a request, as ``METHOD path``."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: sent in self.sent), 20)

    async def send(self, request: HttpRequest) -> Answer:
        answer = await self._answer(request)
        answer.headers = {"loopmeter-features": self.features}
        return answer

    async def _answer(self, request: HttpRequest) -> Answer:
        self.sent.append(f"{request.method} {request.path}")
        async with self._changed:
            self._changed.notify_all()
        if self.unreachable:
            raise ConnectionFailed("http://scripted", "refused")
        match request.method, request.path.split("/")[2:]:
            case "GET", ["balance"]:
                return self._json({"available": 5000, "held": 800, "posted": 5800})
            case "GET", ["models"]:
                return self._json({"models": [{"name": "fake", "sample_rate_hz": 44100, "duration_s_max": 300}]})
            case "POST", ["quotes"]:
                return self._quote(LoopRequest.model_validate_json(request.body))
            case "POST", ["loops"]:
                cap = request.headers.get("Loopmeter-Max-Tokens") if self.features else None
                if cap is not None and int(cap) < PRICE_TOKENS:
                    over = Problem(status=402, code="over_max_tokens", tokens=PRICE_TOKENS, max_tokens=int(cap))
                    return Answer(402, _once(over.model_dump_json().encode()))
                return await self._order(LoopOrder.model_validate_json(request.body))
            case "GET", ["loops", job, "midi"]:
                return Answer(200, _once(self.engine.score(self.jobs[job]).midi))
            case "GET", ["loops", job]:
                return self._job(job)
            case "DELETE", ["loops", job]:
                self._cancelled.add(job)
                async with self._changed:
                    self._changed.notify_all()
                return self._job(job)
        raise AssertionError(f"unexpected {request}")

    async def aclose(self) -> None:
        return None

    def _quote(self, request: LoopRequest) -> Answer:
        try:
            plan = self.engine.plan(request)
        except InvalidRequest as error:
            return self._refuse(error)
        quote = Quote(
            quote_id="q",
            tokens=PRICE_TOKENS,
            frames=plan.frames,
            chunks=len(plan.chunk_frames),
            sample_rate_hz=44_100,
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )
        return Answer(200, _once(quote.model_dump_json().encode()))

    async def _order(self, order: LoopOrder) -> Answer:
        if self.problem is not None:
            return Answer(self.problem.status, _once(self.problem.model_dump_json().encode()))
        self.order_came.set()
        await self.orders_allowed.wait()
        request = LoopRequest(**order.model_dump(exclude={"quote_id"}))
        try:
            plan = self.engine.plan(request)
        except InvalidRequest as error:
            return self._refuse(error)
        job = f"job{next(self._numbers)}"
        self.jobs[job] = request
        self._delivered[job] = 0
        return Answer(200, self._stream(job, plan))

    async def _stream(self, job: str, plan: Plan) -> AsyncIterator[bytes]:
        chunks = len(plan.chunk_frames)
        yield encode_chunk_event(
            StreamStarted(
                job=job,
                chunks=chunks,
                frames=plan.frames,
                sample_rate_hz=plan.sample_rate_hz,
                channels=plan.channels,
                bits=plan.bits,
                tokens_quoted=PRICE_TOKENS,
            )
        )
        for index in range(chunks):
            async with self._changed:
                await self._changed.wait_for(
                    lambda index=index: (
                        job in self._cancelled or self.chunks_allowed is None or index < self.chunks_allowed
                    )
                )
            if job in self._cancelled:
                yield encode_chunk_event(StreamEnded(state="cancelled", tokens_charged=self._tokens(job)))
                return
            (chunk,) = self.engine.lease(plan.request, index, 1, None)
            before = self._tokens(job)
            self._delivered[job] += 1
            total = self._tokens(job)
            meter = ChunkMeter(index=index, frames=chunk.frames, tokens=total - before, tokens_total=total)
            yield encode_chunk_event(ChunkReceived(pcm=chunk.pcm, meter=meter))
        yield encode_chunk_event(StreamEnded(state="completed", tokens_charged=PRICE_TOKENS))

    def _tokens(self, job: str) -> int:
        plan = self.engine.plan(self.jobs[job])
        return PRICE_TOKENS * sum(plan.chunk_frames[: self._delivered[job]]) // plan.frames

    def _job(self, job: str) -> Answer:
        plan = self.engine.plan(self.jobs[job])
        return self._json(
            {
                "id": job,
                "state": "cancelled" if job in self._cancelled else "running",
                "frames": plan.frames,
                "chunks": len(plan.chunk_frames),
                "chunks_delivered": self._delivered[job],
                "sample_rate_hz": 44100,
                "channels": plan.channels,
                "bits": plan.bits,
                "tokens_quoted": PRICE_TOKENS,
                "tokens_charged": self._tokens(job),
                "request": plan.request.model_dump(),
                "created_at": datetime.now(UTC).isoformat(),
            }
        )

    @staticmethod
    def _refuse(error: InvalidRequest) -> Answer:
        found = {"field": error.field, "expected": "at most 300 s", "found": "more"}
        body = Problem.model_validate({"status": 422, "code": "invalid_request", "errors": [found]})
        return Answer(422, _once(body.model_dump_json().encode()))

    @staticmethod
    def _json(body: dict[str, object]) -> Answer:
        return Answer(200, _once(json.dumps(body).encode()))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
