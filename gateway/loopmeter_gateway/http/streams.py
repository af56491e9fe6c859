"""A job as the body of an answer: as a WAV file while it is being made, or as framed chunks with their meters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from loopmeter import CHUNKS_MEDIA_TYPE, ChunkReceived, StreamEnded, StreamStarted, encode_chunk_event
from loopmeter._wav import WAV_HEADER_BYTES, wav_header, wav_padding
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.jobs.live import LiveJob
from loopmeter_gateway.jobs.records import JobRecord
from loopmeter_gateway.problems import Refused

WAV_MEDIA_TYPE = "audio/wav"
Body = Callable[[], AsyncIterator[bytes]]


class JobStream(ASGIResponse):
    """An answer that reads a job for as long as the client listens.

    The reader is attached and detached here, not in the generator: a generator that was never started, or is
    suspended while the socket is full, would not run its ``finally`` when the client leaves. A body that ends early
    cuts the connection instead of finishing it, so that the client cannot take a part for the whole.
    """

    _should_set_content_length = False

    def __init__(self, gateway: Gateway, live: LiveJob, body: Body, media_type: str, length: int | None = None) -> None:
        headers = job_headers(live.record) | {"Cache-Control": "no-store"}
        if length is not None:
            headers["Content-Length"] = str(length)
        super().__init__(media_type=media_type, headers=headers)
        self._gateway = gateway
        self._live = live
        self._stream_body = body

    async def send_body(self, send: Send, receive: Receive) -> None:
        self._gateway.attach(self._live)
        try:
            tasks = {asyncio.create_task(self._send_all(send)), asyncio.create_task(_until_client_leaves(receive))}
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
        finally:
            self._gateway.detach(self._live)

    async def _send_all(self, send: Send) -> None:
        async for data in self._stream_body():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class StreamCut(Exception):
    """The sound ended before the file did. Raised after the answer has begun, so that the connection is cut."""


def job_headers(record: JobRecord) -> dict[str, str]:
    """What every answer about one job says in its headers."""
    return {"Loopmeter-Job-Id": record.id, "Loopmeter-Tokens-Quoted": str(record.offer.tokens)}


def chunk_stream(gateway: Gateway, live: LiveJob, first_index: int) -> JobStream:
    """Framed chunks from ``first_index`` on, each with its meter, and how the job ended.

    Raises:
        Refused: invalid_request (a chunk that this stream could not begin with).
    """
    record = live.record
    last = record.chunk_count if record.runs_by_itself else record.chunks_delivered
    if first_index > last:
        raise Refused.field("from", f"0 to {last}, the next chunk of this job", first_index)

    async def body() -> AsyncIterator[bytes]:
        offer = record.offer
        yield encode_chunk_event(
            StreamStarted(
                job=record.id,
                chunks=record.chunk_count,
                frames=offer.frames,
                sample_rate_hz=offer.sample_rate_hz,
                channels=offer.channels,
                bits=offer.bits,
                first_index=first_index,
                tokens_quoted=offer.tokens,
            )
        )
        index = first_index
        while True:
            event = await gateway.next_event(live, index)
            yield encode_chunk_event(event)
            if isinstance(event, StreamEnded):
                return
            index += isinstance(event, ChunkReceived)

    return JobStream(gateway, live, body, CHUNKS_MEDIA_TYPE)


def wav_stream(gateway: Gateway, live: LiveJob) -> JobStream:
    """The whole file, whose header is right from the first byte, while it is being made.

    Raises:
        Refused: job_ended (a replayed job that did not complete).
    """
    offer, record = live.record.offer, live.record
    if record.ended and record.state != "completed":
        raise Refused("job_ended", f"expected a job that completes, found {record.id} {record.state}; ask again")
    padding = wav_padding(offer.frames, offer.channels, offer.bits)
    length = WAV_HEADER_BYTES + offer.frames * offer.channels * offer.bits // 8 + len(padding)

    async def body() -> AsyncIterator[bytes]:
        yield wav_header(offer.frames, offer.sample_rate_hz, offer.channels, offer.bits)
        index = 0
        while True:
            event = await gateway.next_event(live, index)
            if isinstance(event, ChunkReceived):
                index += 1
                yield event.pcm
            elif isinstance(event, StreamEnded):
                if index < record.chunk_count:
                    raise StreamCut(f"job {record.id} is {event.state} after {index} of {record.chunk_count} chunks")
                break
        if padding:
            yield padding

    return JobStream(gateway, live, body, WAV_MEDIA_TYPE, length)
