"""Delivered chunks: sound from the chunk store, meter from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

from loopmeter import ChunkReceived
from loopmeter_engine.contract import Chunk
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs import records
from loopmeter_gateway.jobs.chunk_store import ChunkGone, ChunkStore
from loopmeter_gateway.jobs.records import JobRecord
from loopmeter_gateway.problems import Refused

_Result = TypeVar("_Result")
THREADS = 8  # Each put waits for a disk or a network; so many jobs wait side by side.


class KeptChunks:
    """Chunks of jobs, put before they are charged and read again by number."""

    def __init__(self, store: ChunkStore, database: Database) -> None:
        self._store = store
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="loopmeter-chunks")

    async def put(self, record: JobRecord, chunk: Chunk) -> None:
        """Keep the next chunk of a job. Raises ``OSError`` and what else the store raises; nothing is charged."""
        offset = record.frames_delivered * record.frame_bytes
        await self._run(partial(self._store.put, record.id, chunk.index, offset, chunk.pcm))

    async def read(self, record: JobRecord, index: int) -> ChunkReceived:
        """A delivered chunk, as it goes over the wire. Raises ``Refused`` chunk_expired."""
        kept = await self._database.read(partial(records.read_chunk, job_id=record.id, index=index))
        if kept.pcm:
            return kept
        return ChunkReceived(await self._run(partial(self._get, record, index)), kept.meter)

    def read_here(self, record: JobRecord, index: int) -> bytes:
        """The sound of a delivered chunk, for those who are in a thread of their own. Raises as ``read``."""
        kept = self._database.read_here(partial(records.read_chunk, job_id=record.id, index=index))
        return kept.pcm or self._get(record, index)

    async def forget(self, before: datetime) -> int:
        """Forget sound that is older; how many files or objects."""
        return await self._run(partial(self._store.forget, before))

    def close(self) -> None:
        """Wait for what is being written."""
        self._threads.shutdown()

    def _get(self, record: JobRecord, index: int) -> bytes:
        lengths = [frames * record.frame_bytes for frames in record.offer.chunk_frames[: index + 1]]
        try:
            return self._store.get(record.id, index, sum(lengths[:-1]), lengths[-1])
        except ChunkGone as gone:
            raise Refused("chunk_expired", f"{gone}; make the loop again") from gone

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
