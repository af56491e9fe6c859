"""Quotes, and loops in their three forms."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from litestar import Controller, Request, Response, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.response.base import ASGIResponse

from loopmeter import CHUNKS_MEDIA_TYPE, Job, LoopOrder, LoopRequest, Quote
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.http.files import file_reader, ranged
from loopmeter_gateway.http.guards import caller_of, gateway_of, require_customer, require_json
from loopmeter_gateway.http.streams import WAV_MEDIA_TYPE, chunk_stream, job_headers, wav_stream
from loopmeter_gateway.jobs.live import LiveJob
from loopmeter_gateway.jobs.records import JobRecord, Order, find_job
from loopmeter_gateway.jobs.sound import ENCODINGS, encoded_file, wav_bytes_count, wav_parts
from loopmeter_gateway.problems import Refused

_Request = Request[Any, Any, Any]
_FORMS = (WAV_MEDIA_TYPE, CHUNKS_MEDIA_TYPE, "application/json")
_MAX_TOKENS = "Loopmeter-Max-Tokens"
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Loops(Controller):
    """Everything about one customer's loops."""

    path = "/v1"
    guards = [require_customer]  # noqa: RUF012  # Litestar declares it so.
    tags = ["loops"]  # noqa: RUF012

    @post("/quotes", guards=[require_json], status_code=200)
    async def quote(self, request: _Request, data: JSONBody[LoopRequest]) -> Quote:
        """The exact price of a loop, before anything is held."""
        return await gateway_of(request).quote(caller_of(request), data)

    @post("/loops", guards=[require_json], status_code=200)
    async def make(self, request: _Request, data: JSONBody[LoopOrder]) -> ASGIResponse:
        """Make a loop: as audio/wav, as framed chunks, or, with Accept: application/json, as a job at once."""
        gateway, caller = gateway_of(request), caller_of(request)
        form = request.accept.best_match([*_FORMS])
        if form is None:
            raise Refused("not_acceptable", f"Accept: expected one of {', '.join(_FORMS)}")
        order = Order(
            customer_id=caller.customer_id,
            idempotency_key=_idempotency_key(request),
            # Not over the quote: who repeats an order after asking for its price again means the same order.
            order_sha256=hashlib.sha256(data.model_dump_json(exclude={"quote_id"}).encode()).digest(),
            request=LoopRequest.model_validate(data.model_dump(exclude={"quote_id"})),
            quote_id=data.quote_id,
            runs_by_itself=form == "application/json",
            max_tokens=_max_tokens(request),
        )
        record = await gateway.order(caller, order)
        if form == "application/json":
            # Nothing is read, so a job that another gateway makes stays where it is.
            answer = _placed(gateway, record.wire()).model_dump_json().encode()
            return ASGIResponse(body=answer, media_type="application/json", headers=job_headers(record))
        live = await gateway.live(record.id, caller.customer_id)
        if form == CHUNKS_MEDIA_TYPE:
            return chunk_stream(gateway, live, 0)
        return wav_stream(gateway, live)

    @get("/loops/{job_id:str}")
    async def job(self, request: _Request, job_id: FromPath[str]) -> Job:
        """A job: how far it is, its bill, and a summary of its score."""
        gateway = gateway_of(request)
        record = await _find(request, job_id)
        sheet = await gateway.score(record)
        return _placed(gateway, record.wire(None if sheet is None else sheet.summary))

    @delete("/loops/{job_id:str}", status_code=200)
    async def cancel(self, request: _Request, job_id: FromPath[str]) -> Job:
        """Cancel a job at once: charged for what was delivered. A job that has ended stays as it is."""
        live = await _live(request, job_id)
        return (await gateway_of(request).cancel(live)).wire()

    @get("/loops/{job_id:str}/chunks")
    async def chunks(
        self, request: _Request, job_id: FromPath[str], from_: Annotated[int, QueryParameter(name="from", ge=0)] = 0
    ) -> ASGIResponse:
        """Read or resume a job from a chunk number: free for what is charged already."""
        live = await _live(request, job_id)
        if live.record.offer.live and not live.record.ended:
            raise Refused("not_finished", f"expected a loop or an ended session, found {job_id}; read it at /v1/live")
        _require_kept(gateway_of(request), live.record)
        return chunk_stream(gateway_of(request), live, from_)

    @get("/loops/{job_id:str}/audio")
    async def audio(
        self,
        request: _Request,
        job_id: FromPath[str],
        format_: Annotated[str, QueryParameter(name="format", pattern="^(wav|flac|ogg)$")] = "wav",
    ) -> Stream:
        """The sound of a job that has ended, as a whole file."""
        gateway = gateway_of(request)
        record = await _find(request, job_id)
        if not record.ended:
            raise Refused("not_finished", f"expected a job that has ended, found it {record.state}; read its chunks")
        if record.chunks_delivered == 0:
            raise Refused("not_found", f"expected a job with sound, found {job_id} {record.state} without any")
        _require_kept(gateway, record)
        wanted = request.headers.get("range")
        if format_ == "wav":
            return ranged(wav_bytes_count(record), wanted, partial(_read_wav, gateway, record), WAV_MEDIA_TYPE)
        path = await anyio.to_thread.run_sync(_encode, gateway, record, format_)
        return ranged(path.stat().st_size, wanted, file_reader(path), ENCODINGS[format_])

    @get("/loops/{job_id:str}/midi")
    async def midi(self, request: _Request, job_id: FromPath[str]) -> Response[bytes]:
        """The score as a Standard MIDI File."""
        gateway, record = gateway_of(request), await _find(request, job_id)
        sheet = await gateway.score(record)
        if sheet is None and record.offer.live:
            raise Refused("not_found", f"expected a loop, found {job_id}, a live session, which has no score")
        if sheet is None and record.offer.fingerprint != gateway.engine.info().fingerprint:
            raise Refused("engine_changed", "expected the engine that this job was planned by, found another one")
        if sheet is None:
            lost = "it ended before one was made of the sound that came with it, which is gone"
            raise Refused("not_found", f"expected a job with a score, found {job_id} without: {lost}")
        return Response(sheet.midi, media_type="audio/midi")


def _placed(gateway: Gateway, job: Job) -> Job:
    """A job with its place in the queue, if it waits there."""
    live = gateway.live_jobs.get(job.id)
    place = None if live is None else gateway.queue.place(live)
    return job if place is None else job.model_copy(update=place._asdict())


def _idempotency_key(request: _Request) -> str:
    """The caller's key, or one of our own for who has none: then a repeated request is a new job."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return "none-" + secrets.token_hex(16)
    if _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise Refused.field("Idempotency-Key", "1 to 255 visible ASCII characters", repr(key[:80]))
    return key


def _max_tokens(request: _Request) -> int | None:
    """The most that this loop may cost, if its caller sets a limit."""
    found = request.headers.get(_MAX_TOKENS)
    if found is None:
        return None
    if re.fullmatch("[0-9]{1,15}", found) is None:
        raise Refused.field(_MAX_TOKENS, "a whole number of tokens of at most 15 digits", repr(found[:80]))
    return int(found)


def _require_kept(gateway: Gateway, record: JobRecord) -> None:
    """Raise ``Refused`` chunk_expired before an answer begins that could not be finished."""
    days = gateway.settings.chunk_days
    if record.finished_at_ms is not None and gateway.now_ms() - record.finished_at_ms > days * 86_400_000:
        raise Refused("chunk_expired", f"expected a job of the last {days} days, found {record.id}, an older one")


async def _find(request: _Request, job_id: str) -> JobRecord:
    customer_id = caller_of(request).customer_id
    return await gateway_of(request).database.read(partial(find_job, job_id=job_id, customer_id=customer_id))


async def _live(request: _Request, job_id: str) -> LiveJob:
    return await gateway_of(request).live(job_id, caller_of(request).customer_id)


async def _read_wav(gateway: Gateway, record: JobRecord, start: int, stop: int) -> AsyncIterator[bytes]:
    for part, wanted in wav_parts(record, start, stop):
        if isinstance(part, bytes):
            yield part[wanted]
        else:
            yield (await gateway.chunks.read(record, part)).pcm[wanted]


def _encode(gateway: Gateway, record: JobRecord, encoding: str) -> Path:
    """Runs in a thread, so it may read the database there."""

    read_pcm = partial(gateway.chunks.read_here, record)
    settings = gateway.settings
    return encoded_file(record, encoding, settings.data / "encoded", settings.cache_bytes_max, read_pcm)
