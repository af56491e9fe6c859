"""A gateway of one small loop that fails on request: an app for ``httpx.MockTransport``, sync and async.

``faults`` are consumed one per request to ``/v1/loops`` and below; ``None`` means: answer well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import httpx

from loopmeter import (
    AsyncHttpxTransport,
    AsyncLoopmeter,
    ChunkEvent,
    ChunkMeter,
    ChunkReceived,
    HttpxTransport,
    Job,
    KeepAlive,
    Loopmeter,
    Problem,
    Quote,
    ResolvedRequest,
    StreamEnded,
    StreamStarted,
    Timeout,
    encode_chunk_event,
)
from loopmeter.testing import AsyncManualClock, Corrupt, Cut, End, ManualClock, Refuse, Unreachable

URL = "http://gateway.test"
PCM = (b"\1\0\2\0", b"\3\0\4\0\5\0", b"\6\0")
WHOLE = b"".join(PCM)
MIDI = b"MThd"
TOKENS = 800
NOW = datetime(2026, 1, 1, tzinfo=UTC)


Fault = Refuse | Unreachable | Cut | Corrupt | End | None


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces of three bytes, closed early by its reader if it likes, or broken at its end."""

    def __init__(self, data: bytes, reset: bool) -> None:
        self._data = data
        self._reset = reset

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), 3):
            yield self._data[start : start + 3]
        if self._reset:
            raise httpx.ReadError("connection reset by peer")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            await asyncio.sleep(0)
            yield piece


class ScriptedGateway:
    """Knows one loop, makes it once per idempotency key, and keeps every request that it got."""

    def __init__(
        self, faults: list[Fault] | None = None, tokens: int = TOKENS, models: dict[str, object] | None = None
    ) -> None:
        self.models = models or {"models": [{"name": "loopmeter", "sample_rate_hz": 44100, "duration_s_max": 300}]}
        self.faults = list(faults or [])
        self.tokens = tokens
        self.requests: list[httpx.Request] = []
        self.job_keys: list[str] = []
        self.state = "running"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        if path == "/v1/quotes":
            return self._model(self.quote(), 201)
        fault = self.faults.pop(0) if self.faults else None
        match fault:
            case Unreachable():
                raise httpx.ConnectError("connection refused")
            case Refuse(status, code, headers):
                return self._problem(status, code, headers)
        match request.method, path:
            case "POST", "/v1/loops":
                key = request.headers["Idempotency-Key"]
                self.job_keys += [key] * (key not in self.job_keys)
                return self._stream(0, fault)
            case "GET", "/v1/loops/job_1/chunks":
                return self._stream(int(request.url.params["from"]), fault)
            case "GET", "/v1/loops/job_1":
                return self._model(self.job())
            case "DELETE", "/v1/loops/job_1":
                self.state = "cancelled"
                return self._model(self.job())
            case "GET", "/v1/loops/job_1/midi":
                return httpx.Response(200, content=MIDI)
            case "GET", "/v1/loops/job_1/audio":
                return httpx.Response(200, content=request.url.params["format"].encode())
            case "GET", "/v1/balance":
                return httpx.Response(200, json={"available": 1, "held": 2, "posted": 3, "newer_field": 4})
            case "GET", "/v1/usage":
                return httpx.Response(200, json={"entries": [], "next": request.url.params.get("cursor")})
            case "GET", "/v1/models":
                return httpx.Response(200, json=self.models)
        return self._problem(404, "not_found")

    def calls(self, method: str, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if (request.method, request.url.path) == (method, path)]

    def quote(self) -> Quote:
        return Quote(quote_id="quote_1", tokens=self.tokens, frames=6, chunks=3, sample_rate_hz=44100, expires_at=NOW)

    def job(self) -> Job:
        return Job(
            id="job_1",
            state="cancelled" if self.state == "cancelled" else "completed",
            frames=6,
            chunks=3,
            chunks_delivered=3,
            sample_rate_hz=44100,
            channels=1,
            bits=16,
            tokens_quoted=self.tokens,
            tokens_charged=self.tokens,
            request=ResolvedRequest(prompt="drums"),
            created_at=NOW,
        )

    def _stream(self, from_index: int, fault: Fault) -> httpx.Response:
        end = fault if isinstance(fault, End) else COMPLETED
        data = b"".join(encode_chunk_event(event) for event in stream_events(from_index, end))
        if isinstance(fault, Corrupt) and fault.position < len(data):
            data = data[: fault.position] + bytes([data[fault.position] ^ 1]) + data[fault.position + 1 :]
        cut = fault if isinstance(fault, Cut) else Cut(len(data))
        return httpx.Response(200, stream=Body(data[: cut.size], cut.reset))

    @staticmethod
    def _model(model: Job | Quote, status: int = 200) -> httpx.Response:
        return httpx.Response(status, content=model.model_dump_json())

    @staticmethod
    def _problem(status: int, code: str, headers: dict[str, str] | None = None) -> httpx.Response:
        problem = Problem(status=status, code=code, detail="scripted", request_id="req_1")
        return httpx.Response(status, headers=headers, content=problem.model_dump_json())


COMPLETED = End("completed", len(PCM))


def stream_events(from_index: int = 0, end: End = COMPLETED) -> list[ChunkEvent]:
    """What the gateway says for its loop from one chunk on."""
    events: list[ChunkEvent] = [
        StreamStarted(
            job="job_1", chunks=3, frames=6, sample_rate_hz=44100, channels=1, bits=16, first_index=from_index
        )
    ]
    charged = [266, 666, 800]
    for index in range(from_index, max(end.chunks, from_index)):
        frames = len(PCM[index]) // 2
        tokens = charged[index] - ([0, *charged][index])
        events.append(KeepAlive())
        events.append(
            ChunkReceived(
                PCM[index], ChunkMeter(index=index, frames=frames, tokens=tokens, tokens_total=charged[index])
            )
        )
    problem = Problem(status=502, code="engine_failed", detail="the engine broke") if end.state == "failed" else None
    ended = {"state": end.state, "tokens_charged": TOKENS, "problem": problem.model_dump() if problem else None}
    return [*events, StreamEnded.model_validate_json(json.dumps(ended))]


STREAM_BYTES = sum(len(encode_chunk_event(event)) for event in stream_events())


def client_of(
    gateway: ScriptedGateway, *, max_tokens: int | None = None, patience_s: float = 30.0
) -> tuple[Loopmeter, ManualClock]:
    clock = ManualClock()
    transport = HttpxTransport(URL, "lm_test", Timeout(), inner=httpx.MockTransport(gateway))
    return Loopmeter(URL, transport=transport, clock=clock, max_tokens=max_tokens, patience_s=patience_s), clock


def async_client_of(
    gateway: ScriptedGateway, *, max_tokens: int | None = None, patience_s: float = 30.0
) -> tuple[AsyncLoopmeter, ManualClock]:
    clock = AsyncManualClock()
    transport = AsyncHttpxTransport(URL, "lm_test", Timeout(), inner=httpx.MockTransport(gateway))
    return AsyncLoopmeter(
        URL, transport=transport, clock=clock, max_tokens=max_tokens, patience_s=patience_s
    ), clock.time
