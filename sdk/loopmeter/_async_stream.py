"""The stream of one loop for asyncio. What it does stands in ``_flows.py``; this gives it its forms."""

from __future__ import annotations

import os
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from loopmeter import _flows
from loopmeter._async_runner import AsyncRunner
from loopmeter._chunks import ChunkReceived, StreamEnded, StreamStarted
from loopmeter._core import (
    AsyncClock,
)
from loopmeter._exceptions import LoopmeterError, StreamInterrupted
from loopmeter._loop import AsyncLoop, Bill, LoopSource, Progress
from loopmeter._models import ChunkMeter, Quote
from loopmeter._pcm import pcm_array, pcm_floats
from loopmeter._wav import atomic_file, wav_header, wav_padding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loopmeter._async_client import AsyncLoops

_T = TypeVar("_T")


class AsyncLoopStream:
    """The chunks of one loop, in order, each once, resumed by chunk number when a connection breaks.

        async with client.loops.stream("dusty lo-fi drums", bars=4) as stream:
            async for chunk in stream:
                play(chunk.pcm)

    ``started`` says what comes, once entered; ``tokens_charged`` is what the chunks so far cost. Leaving the block
    before the end cancels the job, unless ``detach`` or by ``StreamInterrupted``; what was delivered stays charged,
    and ``bill`` says what that is. Not safe to share between tasks. A chunk is fetched when it is asked for: a slow
    reader slows the making. Each chunk's bytes are checked; harmed ones are fetched again.

    With a pack on the client, a stream that finds no gateway or no tokens before its first chunk gives the pack's loop;
    ``source`` and ``reason`` say so.

    Instead of chunks it gives plain bytes (``pcm``), numbers (``floats``, ``arrays``), a WAV file (``save``) or the
    finished loop (``collect``).
    """

    def __init__(
        self,
        loops: AsyncLoops,
        runner: AsyncRunner,
        clock: AsyncClock,
        session: _flows.StreamSession,
        detach: bool,
        rescue: Callable[[LoopmeterError], Awaitable[AsyncLoop | None]] | None = None,
    ) -> None:
        self._loops = loops
        self._runner = runner
        self._clock = clock
        self._session = session
        self._detach = detach
        self._started_at_s = clock.now()
        self._first_chunk_s: float | None = None
        self._frames = 0
        self._closed = False
        self._rescue = rescue
        self._kept: AsyncLoop | None = None
        self.rescued_from: LoopmeterError | None = None
        self.tokens_charged = 0

    @property
    def job_id(self) -> str | None:
        """``None`` until the gateway has accepted the loop."""
        return self._session.job_id

    @property
    def source(self) -> LoopSource:
        """``gateway``, or ``pack`` if that stepped in."""
        return "gateway" if self._kept is None else self._kept.source

    @property
    def reason(self) -> str:
        """Why the pack stepped in; ``rescued_from`` is the error itself."""
        return "" if self._kept is None else self._kept.reason

    @property
    def ended(self) -> StreamEnded | None:
        """How the job ended; ``None`` while it goes on."""
        return self._session.ended

    @property
    def bill(self) -> Bill | None:
        """What the job was charged, once it has ended; also after the block was left early."""
        return self._session.bill

    @property
    def progress(self) -> Progress:
        """How far the stream is. Raises as ``started``."""
        started = self.started
        return Progress(self._session.next_index, started.chunks, self._frames, started.frames, self.tokens_charged)

    @property
    def started(self) -> StreamStarted:
        """Length and format of the loop. Raises ``RuntimeError`` before the stream is entered or iterated."""
        if self._session.started is None:
            raise RuntimeError("expected a stream that has started, found a new one; enter it with 'async with' first")
        return self._session.started

    @property
    def idempotency_key(self) -> str | None:
        return self._session.order.idempotency_key if self._session.order is not None else None

    @property
    def quote(self) -> Quote | None:
        """The quote whose price holds; ``None`` if none was given and none was needed; see ``started``."""
        return self._session.order.quote if self._session.order is not None else None

    async def __aenter__(self) -> AsyncLoopStream:
        await self._run(self._session.start)
        return self

    def __aiter__(self) -> AsyncLoopStream:
        return self

    async def __anext__(self) -> ChunkReceived:
        """The next chunk.

        Raises:
            StreamInterrupted: the stream broke and could not be resumed.
            LoopNotCompleted: the job failed, or was cancelled by someone else.
            BudgetExceeded: the price is above ``max_tokens``.
        """
        if self._closed:
            raise StopAsyncIteration
        chunk = await self._run(self._session.advance)
        if chunk is None:
            raise StopAsyncIteration
        if self._first_chunk_s is None:
            self._first_chunk_s = self._clock.now() - self._started_at_s
        self.tokens_charged = chunk.meter.tokens_total
        self._frames += chunk.meter.frames
        return chunk

    async def pcm(self) -> AsyncIterator[bytes]:
        """The sound chunk by chunk: interleaved little-endian, as ``started`` says. Raises as ``__anext__``."""
        async for chunk in self:
            yield chunk.pcm

    async def floats(self) -> AsyncIterator[array[float]]:
        """The samples chunk by chunk, from -1 to 1 as C floats, interleaved. Raises as ``__anext__``."""
        async for chunk in self:
            yield pcm_floats(chunk.pcm, self.started.bits)

    async def arrays(self) -> AsyncIterator[NDArray[np.float32]]:
        """The samples chunk by chunk, from -1 to 1 as float32 arrays of shape (frames, channels).

        Raises:
            ModuleNotFoundError: numpy is not installed. Else as ``__anext__``.
        """
        async for chunk in self:
            yield pcm_array(chunk.pcm, self.started.channels, self.started.bits)

    async def save(self, path: str | os.PathLike[str], on_progress: Callable[[Progress], None] | None = None) -> Bill:
        """Write all chunks into a WAV file as they come, whole or not at all; keeps one chunk in memory.

        Raises:
            ValueError: the stream does not begin at its first chunk.
            OSError: the file cannot be written; the job goes on until the stream is left. Else as ``__anext__``.
        """
        await self._run(self._session.start)
        started = self.started
        if self._session.next_index > 0:
            raise ValueError(f"expected a stream at its first chunk, found one at chunk {self._session.next_index}")
        with atomic_file(path) as file:
            file.write(wav_header(started.frames, started.sample_rate_hz, started.channels, started.bits))
            async for chunk in self:
                file.write(chunk.pcm)
                if on_progress is not None:
                    on_progress(self.progress)
            file.write(wav_padding(started.frames, started.channels, started.bits))
        assert self.bill is not None
        return self.bill

    async def collect(self, on_chunk: Callable[[ChunkReceived], None] | None = None) -> AsyncLoop:
        """Take all chunks that are left and give the loop. Raises as ``__anext__``."""
        pcm: list[bytes] = []
        meters: list[ChunkMeter] = []
        async for chunk in self:
            pcm.append(chunk.pcm)
            meters.append(chunk.meter)
            if on_chunk is not None:
                on_chunk(chunk)
        total_s = self._clock.now() - self._started_at_s
        if self._kept is not None:
            return replace(self._kept, pcm=b"".join(pcm), meters=tuple(meters), total_s=total_s)
        job_id = self.started.job
        try:
            job = await self._loops.get(job_id)
        except LoopmeterError as error:
            error.idempotency_key = self.idempotency_key  # With it, all can be fetched again, free.
            raise
        return AsyncLoop(
            job=job,
            pcm=b"".join(pcm),
            meters=tuple(meters),
            first_chunk_s=self._first_chunk_s if self._first_chunk_s is not None else total_s,
            total_s=total_s,
            quote=self.quote,
            idempotency_key=self.idempotency_key,
            fetch_midi=partial(self._loops.midi, job_id),
        )

    async def _run(self, flow: Callable[[], _flows.Flow[_T]]) -> _T:
        """Perform a flow; if it fails before the first chunk, perform it again with what the pack has, if it has."""
        try:
            return await self._runner.run(flow())
        except LoopmeterError as error:
            kept = None
            if self._rescue is not None and self._frames == 0 and self._kept is None:
                kept = await self._rescue(error)
            if kept is None:
                raise
            self._kept, self.rescued_from = kept, error
            self._detach = True  # If there is a job, the gateway cancels it when nobody comes.
            self._session.play(kept.job, kept.pcm)
        return await self._runner.run(flow())

    async def aclose(self) -> None:
        """Leave the stream; cancels the job if it has not ended and ``detach`` was not asked."""
        if self._closed:
            return
        self._closed = True
        await self._runner.aclose()
        if self.job_id is not None and self.ended is None and not self._detach:
            self._session.cancelled(await self._loops.cancel(self.job_id))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, StreamInterrupted):
            self._detach = True  # It can still be taken up again; the gateway cancels it if nobody does.
        try:
            await self.aclose()
        except LoopmeterError as failure:
            if error is None:
                raise
            error.add_note(f"The job {self.job_id} could not be cancelled either: {failure}")
