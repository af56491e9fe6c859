"""A job while it is being made: how far the engine is, how far the customer is, and who reads.

Owned by the event loop; the worker's threads only read ``wanted``. Nothing in here is money: what is made but not
delivered lives in ``ahead``, is not charged, and can be made again from the last durable state.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from loopmeter import ChunkReceived
from loopmeter_engine.contract import Chunk, Engine
from loopmeter_gateway.jobs.deliveries import Delivered, Deliveries, Delivery
from loopmeter_gateway.jobs.records import Ended, JobRecord, end_job
from loopmeter_gateway.problems import Refused

Lease = Callable[[], Iterator[Chunk]]


class LiveJob:
    """One job in memory. Without readers it is parked: nothing more is made for it.

    ``record`` is what is durable. The engine has made ``made_index`` chunks; those from ``record.chunks_delivered``
    on wait in ``ahead``. ``engine_state`` continues the stream at ``made_index``, which may lie before what was
    delivered, as not every state is kept. After a ``failure`` of the engine nothing more is made, but what is ahead is
    still delivered.
    """

    kind = "loop"
    dry_at: datetime | None = None  # When whoever plays what was handed out so far, as it came, has heard it all.
    handed_s = 0.0  # Seconds of sound that it had in hand when it began to wait; see ``queue.py``.

    def __init__(
        self, record: JobRecord, now: datetime, made_index: int = 0, engine_state: bytes | None = None
    ) -> None:
        self.record = record
        self.made_index = made_index
        self.engine_state = engine_state
        self.ahead: deque[Chunk] = deque()
        self.latest: ChunkReceived | None = None
        self.readers = 0
        self.parked_since: datetime | None = now
        self.stopping = False
        self.moved = False  # Another gateway makes it now; see ``owners.py``.
        self.failure: Refused | None = None
        self.delivering: asyncio.Task[None] | None = None
        self.lease_number = 0  # of its last lease, over all jobs; 0 before the first
        self.priority = 0
        self.waiting_since: datetime | None = None
        self.failures = 0
        self._changed = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for more. The worker and the engine ask between chunks and steps."""
        return self.readers > 0 and not self.stopping and self.failure is None and not self.record.ended

    def lease_count(self, lease_chunks: int) -> int:
        """How many chunks the next lease should make; 0 while the engine is far enough ahead.

        The first lease is one chunk, so that sound starts early; later ones wait until half of what may be ahead is
        taken, so that a slow reader does not cause leases of one chunk.
        """
        if not self.wanted or len(self.ahead) > lease_chunks // 2:
            return 0
        rest = self.record.chunk_count - self.made_index
        return min(rest, 1 if self.made_index == 0 else lease_chunks - len(self.ahead))

    def begin_lease(self, engine: Engine, count: int) -> Lease:
        """What makes the next ``count`` chunks, to be called in the engine's thread."""
        request = self.record.offer.request
        return functools.partial(engine.lease, request, self.made_index, count, self.engine_state)

    def chunk_bytes(self, index: int) -> tuple[int, int]:
        """The frames and bytes that chunk ``index`` must have."""
        offer = self.record.offer
        return offer.chunk_frames[index], offer.chunk_frames[index] * offer.channels * offer.bits // 8

    async def deliver(self, deliveries: Deliveries, delivery: Delivery) -> Delivered:
        """Charge a chunk and note it, durably. Raises ``Refused`` and ``JobMoved`` as ``Deliveries.deliver``."""
        return await deliveries.deliver(delivery)

    def end(self, connection: Connection, state: Ended, now_ms: int, refused: Refused | None) -> JobRecord:
        """End the job in the database, in one unit of work."""
        error = None if refused is None else refused.problem()
        return end_job(connection, self.record.id, state, now_ms, error=error)

    def attach(self) -> None:
        """Somebody reads."""
        self.readers += 1
        self.parked_since = None

    def detach(self, now: datetime) -> None:
        """A reader has left; with the last one the job is parked."""
        self.readers -= 1
        if self.readers == 0:
            self.parked_since = now

    def push(self, chunk: Chunk) -> None:
        """Take a chunk from the engine. One that was delivered before only leads to the next."""
        if chunk.index >= self.record.chunks_delivered:
            self.ahead.append(chunk)
        self.made_index = chunk.index + 1
        self.engine_state = chunk.state_after
        self.failures = 0
        self.notify()

    def handed(self, frames: int, now: datetime) -> None:
        """So much sound goes out now. It plays when what went before has played."""
        start = now if self.dry_at is None else max(now, self.dry_at)
        self.dry_at = start + timedelta(seconds=frames / self.record.offer.sample_rate_hz)

    def sound_ahead_s(self, now: datetime) -> float:
        """How long the sound lasts that was handed out or is made."""
        out_s = 0.0 if self.dry_at is None else max(0.0, (self.dry_at - now).total_seconds())
        return out_s + sum(chunk.frames for chunk in self.ahead) / self.record.offer.sample_rate_hz

    def update(self, record: JobRecord) -> None:
        """Take what has become durable."""
        self.record = record
        if record.ended:
            self.ahead.clear()
        self.notify()

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, patience_s: float) -> bool:
        """Wait for the next change; ``False`` if there is none for ``patience_s``."""
        try:
            await asyncio.wait_for(self._changed.wait(), patience_s)
        except TimeoutError:
            return False
        return True
