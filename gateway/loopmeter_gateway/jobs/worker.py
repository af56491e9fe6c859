"""Threads run the engine, lease by lease, as many at once as it allows; the event loop decides whose lease is next.

A lease is short, so every job gets its turn, a job that nobody reads stops within one lease, and a cancelled one at the
engine's next step: its slot is free for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from loopmeter_engine.contract import LEASE_CHUNKS_MAX, Chunk, Engine, EngineFailed
from loopmeter_engine.stopping import LeaseStopped, stop_when
from loopmeter_gateway.jobs.live import Lease, LiveJob
from loopmeter_gateway.jobs.queue import LeaseQueue
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tracing import span

_log = logging.getLogger(__name__)
TRIES = 2  # A lease that broke is tried once more, from the last good state.


class Worker:
    """Makes chunks for the jobs in ``queue``, ``queue.slots`` at once; call ``wake`` when they change."""

    def __init__(
        self,
        engine: Engine,
        queue: LeaseQueue,
        on_failed: Callable[[LiveJob, Refused], Awaitable[None]],
        on_leased: Callable[[float], None],
    ) -> None:
        if not 1 <= queue.lease_chunks <= LEASE_CHUNKS_MAX:
            raise ValueError(f"expected leases of 1 to {LEASE_CHUNKS_MAX} chunks, found {queue.lease_chunks}")
        self._engine = engine
        self._queue = queue
        self._on_failed = on_failed
        self._on_leased = on_leased
        self._threads = ThreadPoolExecutor(queue.slots, thread_name_prefix="loopmeter-engine")
        self._running: set[asyncio.Task[None]] = set()  # At most one per slot.
        self._awake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Stop after the chunks in hand."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._threads.shutdown()

    def wake(self) -> None:
        """Look again whether there is something to make."""
        self._awake.set()

    async def _work(self) -> None:
        while not self._stopping:
            live = self._queue.take()
            if live is None:
                await self._awake.wait()
                self._awake.clear()
                continue
            task = asyncio.get_running_loop().create_task(self._run(live))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.gather(*self._running)

    async def _run(self, live: LiveJob) -> None:
        """One lease, in a slot of its own."""
        began_s = time.monotonic()
        try:
            with span("lease", job_id=live.record.id, chunk=live.made_index):
                await self._lease(live)
        # The job could not even be ended (a full disk, say). It asks for nothing more; the sweeper ends it later.
        except Exception:
            _log.exception("the job could not be ended", extra={"job_id": live.record.id})
        self._queue.done(live, time.monotonic() - began_s)
        self._on_leased(time.monotonic() - began_s)
        self.wake()

    async def _lease(self, live: LiveJob) -> None:
        loop = asyncio.get_running_loop()
        count = live.lease_count(self._queue.lease_chunks)
        if count == 0:
            return  # Its reader left after it was chosen.
        try:
            lease = live.begin_lease(self._engine, count)
            await loop.run_in_executor(self._threads, self._make, loop, live, lease, count)
        except LeaseStopped:
            pass  # As asked. Should somebody want it again, it goes on after its last whole chunk.
        except EngineFailed as error:
            _log.warning("the lease broke: %s", error, extra={"job_id": live.record.id})
            live.failures += 1
            if live.failures >= TRIES:
                await self._on_failed(live, Refused("engine_failed", str(error)))
        # An engine is a plug-in. Whatever it raises ends this job, never the worker.
        except Exception as error:
            _log.exception("the engine raised what its contract does not allow", extra={"job_id": live.record.id})
            await self._on_failed(live, Refused("engine_failed", f"the engine raised {type(error).__name__}: {error}"))

    def _make(self, loop: asyncio.AbstractEventLoop, live: LiveJob, lease: Lease, count: int) -> None:
        """Run one lease, in a thread of the engine's. A short lease that nobody asked to stop is a failure too."""
        index = start = live.made_index
        with stop_when(lambda: not live.wanted):
            chunks = lease()
            try:
                for chunk in chunks:
                    _check(chunk, index, *live.chunk_bytes(index))
                    loop.call_soon_threadsafe(live.push, chunk)
                    index += 1
                    if self._stopping or not live.wanted:
                        return
            finally:
                close = getattr(chunks, "close", None)  # A generator; closing it frees what the lease holds.
                if close is not None:
                    close()
        if index < start + count:
            raise EngineFailed(f"expected {count} chunks from chunk {start}, found {index - start}")


def _check(chunk: Chunk, index: int, frames: int, pcm_bytes: int) -> None:
    found = (chunk.index, chunk.frames, len(chunk.pcm))
    expected = (index, frames, pcm_bytes)
    if found != expected:
        raise EngineFailed(f"expected (index, frames, bytes) {expected} as planned, found {found}")
