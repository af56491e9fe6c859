"""Delivered chunks in the database, many at once: what several streams wait for is charged in one transaction.

``Deliveries`` collects the chunks that come while a group commits, and commits them as the next one, so that the disk
is waited for once and each table is written to once per group, on either store. One delivery that is refused does not
touch the others. Groups take their locks so that nobody waits in a circle: jobs and holds that somebody else has are
left out and done alone, and the balances of jobs that are completed come last, in order.

On PostgreSQL, chunks that complete no job are charged by one statement without a transaction around it, because each
message to the server and back costs as much as several charges. What is not as expected is left out, and done alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from loopmeter import ENDED_STATES, ChunkMeter, ChunkReceived
from loopmeter_engine.contract import Chunk
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs.owners import JobMoved
from loopmeter_gateway.jobs.records import JobRecord, end_job
from loopmeter_gateway.money import ledger
from loopmeter_gateway.money.price_book import charge_due
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.stores.many_rows import ForEach, ForThoseThat
from loopmeter_gateway.tables import holds, jobs

STATE_EVERY = 4
GROUP_MAX = 32
GROUPS_AT_ONCE = 3  # One is computed, one is with the database, one waits for the disk.


@dataclass(frozen=True, slots=True)
class Delivery:
    """The next chunk of a job, which the chunk store has. With a ``gateway_id`` the job must be that gateway's.

    Of ``record``, only what never changes is taken for true: the offer, the customer, the hold. How far the job is may
    be old news, but costs a chunk its place in the group then.
    """

    record: JobRecord
    chunk: Chunk
    gateway_id: str | None
    now_ms: int
    hold_expires_at_ms: int

    @property
    def completes(self) -> bool:
        """Whether the job ends with this chunk."""
        return self.chunk.index + 1 == self.record.chunk_count


class Delivered(NamedTuple):
    """The job after a delivery, and its chunk as it goes over the wire; ``None`` if it could not be paid for."""

    record: JobRecord
    received: ChunkReceived | None


Outcomes = Sequence[Delivered | Exception | None]
_Waiting = tuple[Delivery, asyncio.Future[Delivered]]
_Write = Callable[[Sequence[Delivery]], Coroutine[Any, Any, Outcomes]]


class Deliveries:
    """Charges chunks in groups. A delivery is durable when ``deliver`` returns, and nothing was done if it raises."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: deque[_Waiting] = deque()  # One at most of each job.
        self._groups: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Charge one chunk. Raises ``Refused`` job_ended, hold_expired; ``JobMoved``."""
        done: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, done))
        if len(self._groups) < GROUPS_AT_ONCE:
            _keep(self._groups, self._write_groups())
        return await done

    async def stop(self) -> None:
        """Wait for what has begun. What waits and is wanted by nobody any more is dropped."""
        while tasks := self._groups | self._alone:
            await asyncio.wait(tasks)

    async def _write_groups(self) -> None:
        await asyncio.sleep(0)  # What becomes ready in the same moment belongs together.
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
            group = [(delivery, done) for delivery, done in group if not done.cancelled()]
            if self.database.shared:
                await self._write_group([each for each in group if not each[0].completes], self._charge_at_once)
                group = [each for each in group if each[0].completes]
            await self._write_group(group, self._deliver_together)

    async def _write_group(self, group: Sequence[_Waiting], write: _Write) -> None:
        if not group:
            return
        try:
            outcomes = await write([delivery for delivery, _ in group])
        # Whose fault it was is found out by doing each alone.
        except Exception as error:
            outcomes = [error if len(group) == 1 else None] * len(group)
        for (delivery, done), outcome in zip(group, outcomes, strict=True):
            if outcome is None:
                _keep(self._alone, self._deliver_alone(delivery, done))
            else:
                _hand_out(done, outcome)

    async def _deliver_together(self, asked: Sequence[Delivery]) -> Outcomes:
        return await self.database.write(partial(deliver_chunks, deliveries=asked), len(asked))

    async def _charge_at_once(self, asked: Sequence[Delivery]) -> Outcomes:
        return await self.database.write_statement(partial(charge_at_once, deliveries=asked))

    async def _deliver_alone(self, delivery: Delivery, done: asyncio.Future[Delivered]) -> None:
        try:
            _hand_out(done, await self.database.write(partial(deliver_chunk, delivery=delivery)))
        # It belongs to whoever waits for this delivery.
        except Exception as error:
            _hand_out(done, error)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Start a task and keep it from being collected."""
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _hand_out(done: asyncio.Future[Delivered], outcome: Delivered | Exception) -> None:
    if done.cancelled():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)


def deliver_chunk(connection: Connection, delivery: Delivery) -> Delivered:
    """Charge one chunk and store it; waits for whoever has its job. Raises as ``Deliveries.deliver``."""
    (outcome,) = deliver_chunks(connection, [delivery], wait=True)
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome is not None, f"there is no job {delivery.record.id}"
    return outcome


def deliver_chunks(
    connection: Connection, deliveries: Sequence[Delivery], *, wait: bool = False
) -> list[Delivered | Exception | None]:
    """Charge and store one chunk each of several jobs; with its last chunk a job is completed and its hold settled.

    What became of each, in order: an error says why nothing was done for that one, ``None`` that somebody else has
    the job in hand.
    """
    rows = _lock(connection, [delivery.record.id for delivery in deliveries], wait)
    checked = [_check(delivery, rows.get(delivery.record.id)) for delivery in deliveries]
    due = [found for found in checked if isinstance(found, Due)]
    stored = dict(zip((found.record.id for found in due), store_chunks(connection, due), strict=True))
    for record, received in sorted(stored.values(), key=lambda delivered: delivered.record.customer_id):
        if record.chunks_delivered == record.chunk_count:
            assert received is not None
            now_ms = next(found.now_ms for found in due if found.record.id == record.id)
            stored[record.id] = Delivered(end_job(connection, record.id, "completed", now_ms), received)
    return [stored[found.record.id] if isinstance(found, Due) else found for found in checked]


def charge_at_once(connection: Connection, deliveries: Sequence[Delivery]) -> list[Delivered | None]:
    """Charge and store one chunk each of several jobs, which it does not complete, by one statement of PostgreSQL.

    ``None``: nothing was done for that one, because somebody has its job in hand, or it is not as the record says.
    """
    told = [delivery for delivery in deliveries if delivery.record.chunks_delivered == delivery.chunk.index]
    due = [_due(delivery, delivery.record.tokens_charged, delivery.record.frames_delivered) for delivery in told]
    meters = [_meter(found) for found in due]
    rows = [_row(found, meter) for found, meter in zip(due, meters, strict=True)]
    for row, delivery in zip(rows, told, strict=True):
        row["gateway_id"] = delivery.gateway_id
    charged = set(_STORE_AT_ONCE.run(connection, rows))
    made = {
        (found.record.id, meter.index): _delivered(found, meter)
        for found, meter in zip(due, meters, strict=True)
        if found.record.id in charged
    }
    return [made.get((delivery.record.id, delivery.chunk.index)) for delivery in deliveries]


class Due(NamedTuple):
    """A chunk that is to be charged: all of its job comes to ``tokens_total`` and ``frames_total`` then.

    ``tokens_charged`` were charged before. Of ``record``, only what never changes is taken for true.
    """

    record: JobRecord
    chunk: Chunk
    tokens_charged: int
    tokens_total: int
    frames_total: int
    now_ms: int
    hold_expires_at_ms: int


def _lock(connection: Connection, ids: list[str], wait: bool) -> dict[str, Any]:
    """The jobs with the state of their holds, locked, by id."""
    found = connection.execute(_LOCKING[connection.dialect.name, wait], {"ids": ids})
    return {row.id: row for row in found.all()}


def _locking(store: str, wait: bool) -> Select[Any]:
    asked = (
        jobs.c.id == func.any(bindparam("ids", type_=ARRAY(Text)))  # One parameter: the same statement for any number.
        if store == "postgresql"
        else jobs.c.id.in_(bindparam("ids", expanding=True))
    )
    wanted = (
        select(
            *(jobs.c.id, jobs.c.state, jobs.c.gateway_id, jobs.c.tokens_charged, jobs.c.chunks_delivered),
            *(jobs.c.frames_delivered, holds.c.state.label("hold_state")),
        )
        .join_from(jobs, holds, jobs.c.hold_id == holds.c.id)
        .where(asked)
    )
    return wanted.with_for_update(key_share=True, skip_locked=not wait)


# Made once, because a group has little time.
_LOCKING = {(store, wait): _locking(store, wait) for store in ("sqlite", "postgresql") for wait in (True, False)}


def _check(delivery: Delivery, row: Any) -> Due | Exception | None:
    """What is due for a delivery, or why nothing is."""
    record, chunk = delivery.record, delivery.chunk
    if row is None:
        return None
    if delivery.gateway_id not in (None, row.gateway_id):
        return JobMoved(f"job {record.id} is made by {row.gateway_id}, not by {delivery.gateway_id}")
    if row.state in ENDED_STATES:
        return Refused("job_ended", f"expected a job that is being made, found {record.id} {row.state}")
    if row.hold_state != "open":
        return ledger.closed_hold(record.hold_id)
    assert row.chunks_delivered == chunk.index, (row, chunk.index)
    return _due(delivery, row.tokens_charged, row.frames_delivered)


def _due(delivery: Delivery, tokens_charged: int, frames_delivered: int) -> Due:
    """What is due for the next chunk of a job that has come so far."""
    offer, chunk = delivery.record.offer, delivery.chunk
    frames = frames_delivered + chunk.frames
    total = charge_due(offer.tokens, frames, offer.frames)
    return Due(delivery.record, chunk, tokens_charged, total, frames, delivery.now_ms, delivery.hold_expires_at_ms)


_TYPES = ledger.CHARGE | {
    "job_id": "text",
    "tokens_total": "bigint",
    "frames": "integer",
    "frames_total": "bigint",
    "flops": "bigint",
    "device_seconds": "double precision",
    "peak_memory_bytes": "bigint",
    "engine_state": "bytea",
}
_STATEMENTS = (
    *ledger.POSTING,
    'INSERT INTO chunks (job_id, "index", frames, tokens, tokens_total, flops, device_seconds, peak_memory_bytes, '
    "delivered_at_ms, pcm) SELECT given.job_id, given.chunk_index, given.frames, given.tokens, given.tokens_total, "
    "given.flops, given.device_seconds, given.peak_memory_bytes, given.now_ms, '' FROM given WHERE true",
    "INSERT INTO engine_states (job_id, state) SELECT given.job_id, given.engine_state FROM given "
    "WHERE given.engine_state IS NOT NULL ON CONFLICT (job_id) DO UPDATE SET state = excluded.state",
    "UPDATE jobs SET state = 'running', tokens_charged = given.tokens_total, chunks_delivered = given.chunk_index + 1, "
    "frames_delivered = given.frames_total FROM given WHERE id = given.job_id",
)
_STORE = ForEach(_TYPES, *_STATEMENTS)
# The states are compared so that no index on them is used: it would find all jobs that are being made.
_STORE_AT_ONCE = ForThoseThat(
    _TYPES | {"gateway_id": "text"},
    "SELECT offered.* FROM offered JOIN jobs ON jobs.id = offered.job_id "
    "WHERE jobs.chunks_delivered = offered.chunk_index "
    "AND jobs.tokens_charged = offered.tokens_total - offered.tokens "
    "AND jobs.frames_delivered = offered.frames_total - offered.frames "
    "AND (jobs.state IN ('queued', 'running')) IS TRUE "
    "AND (offered.gateway_id IS NULL OR offered.gateway_id = jobs.gateway_id) "
    "FOR NO KEY UPDATE OF jobs SKIP LOCKED",
    "job_id",
    *_STATEMENTS,
)


def store_chunks(connection: Connection, due: Sequence[Due]) -> list[Delivered]:
    """Note chunks that the chunk store has, with their meters and the engine's states, and charge them.

    The caller has locked the jobs and their holds, and has seen that they are open.
    """
    meters = [_meter(found) for found in due]
    _STORE.run(connection, [_row(found, meter) for found, meter in zip(due, meters, strict=True)])
    return [_delivered(found, meter) for found, meter in zip(due, meters, strict=True)]


def _delivered(found: Due, meter: ChunkMeter) -> Delivered:
    record = found.record.moved(found.tokens_total, found.chunk.index + 1, found.frames_total)
    return Delivered(record, ChunkReceived(found.chunk.pcm, meter))


def _row(found: Due, meter: ChunkMeter) -> dict[str, Any]:
    record, chunk = found.record, found.chunk
    return {
        "hold_id": record.hold_id,
        "account_id": record.customer_id,
        "chunk_index": chunk.index,
        "tokens": meter.tokens,
        "now_ms": found.now_ms,
        "expires_at_ms": found.hold_expires_at_ms,
        "job_id": record.id,
        "tokens_total": found.tokens_total,
        "frames": chunk.frames,
        "frames_total": found.frames_total,
        "flops": chunk.usage.flops,
        "device_seconds": chunk.usage.device_seconds,
        "peak_memory_bytes": chunk.usage.peak_memory_bytes,
        "engine_state": _state_to_keep(chunk),
    }


def _meter(found: Due) -> ChunkMeter:
    chunk = found.chunk
    return ChunkMeter(
        index=chunk.index,
        frames=chunk.frames,
        tokens=found.tokens_total - found.tokens_charged,
        tokens_total=found.tokens_total,
        flops=chunk.usage.flops,
        device_seconds=chunk.usage.device_seconds,
        peak_memory_bytes=chunk.usage.peak_memory_bytes,
    )


def _state_to_keep(chunk: Chunk) -> bytes | None:
    """The engine's state after the first chunk and after each ``STATE_EVERY``: it is larger than the sound.

    What lies between is made again, and not charged again, if the process dies.
    """
    if chunk.index and (chunk.index + 1) % STATE_EVERY:
        return None
    return (chunk.index + 1).to_bytes(4, "big") + chunk.state_after
