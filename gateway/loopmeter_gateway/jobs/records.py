"""Jobs and their chunks in the database. Every function is one unit of work inside a transaction.

The way of the money: ``order_job`` holds, ``deliveries.py`` charges, ``end_job`` frees the rest. Job, hold and
idempotency record are one transaction; so are a chunk's meter, its charge and the engine's state. Its sound is in the
chunk store before. Whoever needs several rows takes jobs first, then holds, then balances; several of a kind in order.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from loopmeter import ENDED_STATES, ChunkMeter, ChunkReceived, Job, JobState, LoopRequest, Problem
from loopmeter_gateway.accounts.budgets import check_budgets
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.jobs.sent_sound import forget_sound, keep_sound
from loopmeter_gateway.money import ledger
from loopmeter_gateway.money.outbox import USAGE, cloud_event, put_event
from loopmeter_gateway.money.quotes import Offer, redeem_quote, shown
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import chunks, engine_states, jobs, sent_sounds

Ended = Literal["completed", "cancelled", "failed"]

# Built once: building a statement takes several times as long as running it, and every order waits for these.
_SAME_KEY = select(jobs).where(
    jobs.c.customer_id == bindparam("customer_id"), jobs.c.idempotency_key == bindparam("idempotency_key")
)
_NEW_JOB = insert(jobs).returning(jobs)


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks for what, under which idempotency key, for at most how much. ``order_sha256`` covers the request."""

    customer_id: str
    idempotency_key: str
    order_sha256: bytes
    request: LoopRequest
    quote_id: str | None
    runs_by_itself: bool
    key_id: str = ""
    budget_id: str = ""
    gateway_id: str | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands in the database."""

    id: str
    customer_id: str
    hold_id: str
    quote_id: str | None
    offer: Offer
    runs_by_itself: bool
    state: JobState
    tokens_charged: int
    chunks_delivered: int
    frames_delivered: int
    error: Problem | None
    created_at_ms: int
    finished_at_ms: int | None

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STATES

    @property
    def frame_bytes(self) -> int:
        return self.offer.channels * self.offer.bits // 8

    @property
    def chunk_count(self) -> int:
        return len(self.offer.chunk_frames)

    def moved(self, tokens_charged: int, chunks_delivered: int, frames_delivered: int) -> JobRecord:
        """The job after one more chunk. Written out, because ``replace`` is a twentieth of what a charge takes."""
        return JobRecord(
            self.id,
            self.customer_id,
            self.hold_id,
            self.quote_id,
            self.offer,
            self.runs_by_itself,
            "running",
            tokens_charged,
            chunks_delivered,
            frames_delivered,
            self.error,
            self.created_at_ms,
            self.finished_at_ms,
        )

    def wire(self, score: dict[str, object] | None = None) -> Job:
        """The job as customers see it."""
        offer = self.offer
        return Job(
            id=self.id,
            state=self.state,
            frames=offer.frames,
            chunks=self.chunk_count,
            chunks_delivered=self.chunks_delivered,
            sample_rate_hz=offer.sample_rate_hz,
            channels=offer.channels,
            bits=offer.bits,
            tokens_quoted=offer.tokens,
            tokens_charged=self.tokens_charged,
            request=shown(offer.request),
            created_at=from_ms(self.created_at_ms),
            quote_id=self.quote_id,
            finished_at=None if self.finished_at_ms is None else from_ms(self.finished_at_ms),
            error=self.error,
            score=score,
        )


def order_job(
    connection: Connection,
    order: Order,
    offer: Offer | None,
    now_ms: int,
    hold_expires_at_ms: int,
    *,
    job_id: str | None = None,
) -> tuple[JobRecord, bool]:
    """The one job of an idempotency key, and whether it is new. ``offer`` is the price where no quote is redeemed.

    Raises:
        Refused: over_max_tokens, insufficient_tokens, key_budget_exceeded, idempotency_key_reused, or as
            ``redeem_quote``; nothing changed.
    """
    same_key = {"customer_id": order.customer_id, "idempotency_key": order.idempotency_key}
    before = connection.execute(_SAME_KEY, same_key).first()
    if before is not None:
        if before.order_sha256 != order.order_sha256:
            raise Refused(
                "idempotency_key_reused",
                f"Idempotency-Key: expected the body of the first request, which made {before.id}, found another; "
                "use a new key for a new request",
            )
        return record_of(before), False
    job_id = job_id or "job_" + secrets.token_hex(12)
    if order.quote_id is not None:
        offer = redeem_quote(connection, order.quote_id, order.customer_id, order.request, job_id, now_ms)
    assert offer is not None
    _check_max_tokens(order, offer)
    check_budgets(connection, order.key_id, order.budget_id, offer.tokens, now_ms)
    hold_id = ledger.hold_id(order.customer_id, order.idempotency_key)
    ledger.hold(connection, hold_id, order.customer_id, offer.tokens, now_ms, hold_expires_at_ms)
    values = {
        "id": job_id,
        "customer_id": order.customer_id,
        "idempotency_key": order.idempotency_key,
        "order_sha256": order.order_sha256,
        "hold_id": hold_id,
        "quote_id": order.quote_id,
        "offer_json": offer.kept(),
        "runs_by_itself": order.runs_by_itself,
        "state": "queued",
        "tokens_quoted": offer.tokens,
        "tokens_charged": 0,
        "chunks_delivered": 0,
        "frames_delivered": 0,
        "created_at_ms": now_ms,
        "key_id": order.key_id,
        "budget_id": order.budget_id,
        "plan": offer.plan,
        "model": offer.request.model,
        "gateway_id": order.gateway_id,
    }
    row = connection.execute(_NEW_JOB, values).one()
    keep_sound(connection, job_id, offer.request)
    return _record(row, offer), True


def _check_max_tokens(order: Order, offer: Offer) -> None:
    if order.max_tokens is not None and offer.tokens > order.max_tokens:
        raise Refused(
            "over_max_tokens",
            f"expected a price of at most {order.max_tokens} tokens, found {offer.tokens}; ask for fewer bars or lower "
            "quality, or raise Loopmeter-Max-Tokens. Nothing was held",
            tokens=offer.tokens,
            max_tokens=order.max_tokens,
        )


def find_job(connection: Connection, job_id: str, customer_id: str) -> JobRecord:
    """A job of this customer. Raises ``Refused`` not_found, also for the jobs of others."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.customer_id == customer_id)).first()
    if row is None:
        raise Refused("not_found", f"expected a job of this customer, found none called {job_id!r}")
    return record_of(row)


def end_job(
    connection: Connection, job_id: str, state: Ended, now_ms: int, *, error: Problem | None = None
) -> JobRecord:
    """End a job and close its hold; the job as it ended, also if it had ended before, when nothing changes."""
    row = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(("queued", "running")))
        .values(state=state, finished_at_ms=now_ms, error_json=None if error is None else error.model_dump_json())
        .returning(jobs)
    ).first()
    if row is None:
        return record_of(connection.execute(select(jobs).where(jobs.c.id == job_id)).one())
    ledger.close_hold(connection, row.hold_id, "settled" if state == "completed" else "voided", now_ms)
    connection.execute(delete(engine_states).where(engine_states.c.job_id == job_id))
    forget_sound(connection, job_id, heard=row.chunks_delivered > 0)
    if row.tokens_charged:
        put_event(connection, _usage_event(row), now_ms)
    return record_of(row)


def _usage_event(row: Any) -> dict[str, Any]:
    """What billing systems learn of a job that has ended."""
    names = ("plan", "model", "state", "key_id", "frames_delivered", "finished_at_ms")
    data = {"job": row.id, "tokens": row.tokens_charged} | {name: row._mapping[name] for name in names}
    return cloud_event(f"{row.id}:usage", USAGE, row.customer_id, row.finished_at_ms, data)


def expire_jobs(connection: Connection, now_ms: int) -> list[JobRecord]:
    """End the jobs whose holds have expired; those jobs."""
    overdue = ledger.expired_holds(connection, now_ms)
    theirs = select(jobs.c.id, jobs.c.hold_id, jobs.c.customer_id).where(jobs.c.hold_id.in_(overdue))
    # A chunk may put off the expiry while we wait for its job.
    locked = connection.execute(theirs.order_by(jobs.c.id).with_for_update()).all()
    ended = []
    for job in sorted(locked, key=lambda row: str(row.customer_id)):
        if ledger.close_hold(connection, job.hold_id, "expired", now_ms):
            refused = Refused("hold_expired", f"expected job {job.id} to move on, found it still; ask again")
            ended.append(end_job(connection, job.id, "failed", now_ms, error=refused.problem()))
    for hold_id in set(overdue) - {job.hold_id for job in locked}:  # Of no job.
        ledger.close_hold(connection, hold_id, "expired", now_ms)
    return ended


def unscored_jobs(connection: Connection) -> list[JobRecord]:
    """The jobs that ended before their scores were made of the sound that they came with: a gateway died, perhaps."""
    theirs = select(jobs).join(sent_sounds, sent_sounds.c.job_id == jobs.c.id)
    return [record_of(row) for row in connection.execute(theirs.where(jobs.c.state.in_(ENDED_STATES)))]


def engine_state(connection: Connection, job_id: str) -> tuple[int, bytes | None]:
    """The chunk to go on with, and the engine's state before it: the last that was kept, else the start."""
    found: bytes | None = connection.execute(
        select(engine_states.c.state).where(engine_states.c.job_id == job_id)
    ).scalar()
    return (0, None) if found is None else (int.from_bytes(found[:4], "big"), found[4:])


def read_chunk(connection: Connection, job_id: str, index: int) -> ChunkReceived:
    """A delivered chunk. Its sound is in the chunk store, unless an older release kept it in here."""
    row = connection.execute(select(chunks).where(chunks.c.job_id == job_id, chunks.c.index == index)).one()
    meter = {name: row._mapping[name] for name in ChunkMeter.model_fields}
    return ChunkReceived(pcm=row.pcm, meter=ChunkMeter.model_validate(meter))


def record_of(row: Any) -> JobRecord:
    """A row of ``jobs`` as a value."""
    return _record(row, Offer.model_validate_json(row.offer_json))


def _record(row: Any, offer: Offer) -> JobRecord:
    if offer.live:  # It grows with every chunk, and so does what it may cost.
        grown = {"chunk_frames": offer.chunk_frames * row.chunks_delivered, "frames": row.frames_delivered}
        offer = offer.model_copy(update=grown | {"tokens": row.tokens_quoted})
    return JobRecord(
        id=row.id,
        customer_id=row.customer_id,
        hold_id=row.hold_id,
        quote_id=row.quote_id,
        offer=offer,
        runs_by_itself=row.runs_by_itself,
        state=row.state,
        tokens_charged=row.tokens_charged,
        chunks_delivered=row.chunks_delivered,
        frames_delivered=row.frames_delivered,
        error=None if row.error_json is None else Problem.model_validate_json(row.error_json),
        created_at_ms=row.created_at_ms,
        finished_at_ms=row.finished_at_ms,
    )
