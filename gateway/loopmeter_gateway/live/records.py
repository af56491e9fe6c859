"""Live sessions in the database: a job, its terms, and the log of its changes. Every function is one unit of work.

A session is a job, so that it is billed, listed and fetched like one. Its hold grows minute by minute.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from loopmeter import ENDED_STATES, ChunkReceived, LiveEndReason, LiveRequest, LiveSettings, LiveWarning
from loopmeter_engine.contract import LiveChange
from loopmeter_gateway.accounts.budgets import budget_left
from loopmeter_gateway.jobs import records
from loopmeter_gateway.jobs.deliveries import Delivery, Due, store_chunks
from loopmeter_gateway.jobs.owners import BEAT_MS, DEAD_MS, check_owner
from loopmeter_gateway.jobs.records import JobRecord
from loopmeter_gateway.live.terms import WARNING_S, LiveTerms
from loopmeter_gateway.money import ledger
from loopmeter_gateway.money.quotes import Offer
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import accounts, gateways, holds, jobs, live_changes, live_sessions

_STATE_OF: dict[LiveEndReason, records.Ended] = {"lost": "cancelled", "idle": "cancelled", "failed": "failed"}
_REASON_OF: dict[str, LiveEndReason] = {"completed": "stopped", "cancelled": "lost", "failed": "failed"}


@dataclass(slots=True)
class LogEntry:
    """One change of a session's log, and the callers' references of what came together in it."""

    change: LiveChange
    refs: list[str]


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """Who starts what, under which key, as one of how many sessions at once (0: any number).

    ``order_sha256`` covers what was asked; ``request`` has nothing left open.
    """

    customer_id: str
    key_id: str
    budget_id: str
    gateway_id: str
    session: str
    order_sha256: bytes
    request: LiveRequest
    terms: LiveTerms
    offer: Offer
    sessions_max: int = 0
    grace_ms: int = 0


class TooManySessions(Exception):
    """The customer has as many sessions at once, at all gateways together, as its plan allows; nothing was held.

    ``ends_at_ms`` is when each ends at the soonest if nobody stops it, in order.
    """

    def __init__(self, ends_at_ms: list[int]) -> None:
        super().__init__(f"{len(ends_at_ms)} sessions")
        self.ends_at_ms = ends_at_ms


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it stands in the database."""

    job: JobRecord
    session: str
    request: LiveRequest
    terms: LiveTerms
    log: list[LogEntry]
    made: tuple[int, bytes | None]
    reason: LiveEndReason | None
    ends_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Played:
    """What delivering a chunk came to: ``received`` is ``None`` if it could not be paid for, and the session ended."""

    record: JobRecord
    received: ChunkReceived | None
    warning: LiveWarning | None = None
    reason: LiveEndReason | None = None


def start(connection: Connection, order: LiveOrder, now_ms: int, hold_expires_at_ms: int) -> tuple[SessionRecord, bool]:
    """The one session of its key, and whether it is new. Raises ``TooManySessions``; ``Refused`` as ``order_job``."""
    if order.sessions_max:
        _refuse_another(connection, order, now_ms)
    job_id = "live_" + secrets.token_hex(12)
    offer = order.offer.model_copy(update={"tokens": order.terms.hold_due(0)})
    asked = records.Order(
        order.customer_id,
        order.session,
        order.order_sha256,
        offer.request,
        None,
        runs_by_itself=False,
        key_id=order.key_id,
        budget_id=order.budget_id,
        gateway_id=order.gateway_id,
    )
    job, new = records.order_job(connection, asked, offer, now_ms, hold_expires_at_ms, job_id=job_id)
    if new:
        values = {
            "job_id": job.id,
            "request_json": order.request.model_dump_json(),
            "terms_json": order.terms.model_dump_json(),
        }
        connection.execute(insert(live_sessions), values)
    return find(connection, job), new


def _refuse_another(connection: Connection, order: LiveOrder, now_ms: int) -> None:
    """Keep to the number of sessions at once; one that is started again is no other.

    The balance stays locked until this one is there, so that whoever starts another at the same time counts it.
    """
    connection.execute(select(accounts.c.id).where(accounts.c.id == order.customer_id).with_for_update())
    theirs = (holds.c.account_id == order.customer_id) & (holds.c.state == "open")  # As long as a session is played.
    wanted = select(jobs.c.idempotency_key, live_sessions.c.ends_at_ms, gateways.c.seen_at_ms)
    joined = holds.join(jobs).join(live_sessions).outerjoin(gateways, gateways.c.id == jobs.c.gateway_id)
    playing = connection.execute(wanted.select_from(joined).where(theirs)).all()
    if len(playing) >= order.sessions_max and order.session not in {row.idempotency_key for row in playing}:
        shared = connection.dialect.name == "postgresql"  # Else there is no gateway but this one.
        raise TooManySessions(sorted(_ends_at_ms(row, now_ms, order.grace_ms, shared) for row in playing))


def _ends_at_ms(row: Any, now_ms: int, grace_ms: int, shared: bool) -> int:
    """When a session ends at the soonest if nobody stops it: as its gateway says; if that one is silent, after another
    one has taken the session up and waited for its client. One that plays may lose its connection now."""
    if shared and (row.seen_at_ms is None or now_ms - row.seen_at_ms > 2 * BEAT_MS):
        return max(now_ms, (row.seen_at_ms or 0) + DEAD_MS) + BEAT_MS + grace_ms
    ends_at_ms: int | None = row.ends_at_ms
    return now_ms + grace_ms if ends_at_ms is None else ends_at_ms


def note_end(connection: Connection, job_id: str, gateway_id: str, ends_at_ms: int | None) -> None:
    """Write down when a session of this gateway ends by itself."""
    mine = exists(select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.gateway_id == gateway_id))
    said = update(live_sessions).where(live_sessions.c.job_id == job_id, mine)
    connection.execute(said.values(ends_at_ms=ends_at_ms))


def find_by_key(connection: Connection, session: str, customer_id: str) -> SessionRecord:
    """The session that a customer started under a key. Raises ``Refused`` not_found."""
    same_key = (jobs.c.customer_id == customer_id) & (jobs.c.idempotency_key == session)
    job_id = connection.execute(select(jobs.c.id).join_from(jobs, live_sessions).where(same_key)).scalar()
    if job_id is None:
        raise Refused("not_found", f"session: expected one of this customer, found none called {session!r}")
    return find(connection, records.find_job(connection, job_id, customer_id))


def find(connection: Connection, job: JobRecord) -> SessionRecord:
    """The session of a job. Raises ``Refused`` job_ended: the key belongs to a loop, not to a session."""
    joined = select(live_sessions, jobs.c.idempotency_key).join_from(live_sessions, jobs)
    row = connection.execute(joined.where(live_sessions.c.job_id == job.id)).first()
    if row is None:
        raise Refused("idempotency_key_reused", f"session: expected a key of its own, found that of {job.id}, a loop")
    logged = select(live_changes).where(live_changes.c.job_id == job.id).order_by(live_changes.c.number)
    return SessionRecord(
        job=job,
        session=row.idempotency_key,
        request=LiveRequest.model_validate_json(row.request_json),
        terms=LiveTerms.model_validate_json(row.terms_json),
        log=[_entry(change) for change in connection.execute(logged)],
        made=records.engine_state(connection, job.id),
        reason=row.reason or _REASON_OF.get(job.state),
        ends_at_ms=row.ends_at_ms,
    )


def _entry(row: Any) -> LogEntry:
    settings = LiveSettings.model_validate_json(row.settings_json)
    return LogEntry(LiveChange(row.from_chunk, settings), list(json.loads(row.refs_json)))


def deliver(
    connection: Connection, delivery: Delivery, terms: LiveTerms, new_entries: list[tuple[int, LogEntry]]
) -> Played:
    """Store a chunk with the changes before it, and charge it; renew the hold where a minute is nearly used up.

    A chunk that cannot be paid for ends the session instead. Raises ``Refused`` job_ended, hold_expired; ``JobMoved``.
    """
    job_id, chunk, now_ms = delivery.record.id, delivery.chunk, delivery.now_ms
    if delivery.gateway_id is not None:
        check_owner(connection, job_id, delivery.gateway_id)
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one()
    if row.state in ENDED_STATES:
        raise Refused("job_ended", f"expected a session that is played, found {job_id} {row.state}")
    assert row.chunks_delivered == chunk.index
    frames = row.frames_delivered + chunk.frames
    total = terms.due(frames)
    hold = connection.execute(select(holds).where(holds.c.id == row.hold_id).with_for_update()).one()
    if hold.state != "open":
        raise ledger.closed_hold(row.hold_id)
    held = hold.amount
    wanted = terms.hold_due(frames)
    at_budget = False
    if wanted > held:
        left = budget_left(connection, row.key_id or "", row.budget_id or "", now_ms)
        at_budget = left is not None and left < wanted - held
        more = wanted - held if left is None else min(wanted - held, max(0, left))
        held += ledger.extend_hold(connection, row.hold_id, more)
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(tokens_quoted=held))
    at_cap = at_budget or (terms.max_tokens is not None and held >= terms.max_tokens)
    if total > held:
        reason: LiveEndReason = "budget" if at_cap else "no_tokens"
        return Played(end(connection, job_id, reason, now_ms), None, reason=reason)
    for number, entry in new_entries:
        _keep_entry(connection, job_id, number, entry)
    record = records.record_of(row)
    due = Due(record, chunk, row.tokens_charged, total, frames, now_ms, delivery.hold_expires_at_ms)
    ((_, received),) = store_chunks(connection, [due])
    warning = None
    if terms.due(frames + WARNING_S * terms.sample_rate_hz) > held:
        warning = LiveWarning(
            reason="budget" if at_cap else "no_tokens",
            tokens_charged=total,
            tokens_left=held - total,
            seconds_left=terms.seconds_left(frames, held - total),
        )
    # The offer of a session grows with what was delivered, so its record is read again.
    return Played(records.find_job(connection, job_id, row.customer_id), received, warning)


def _keep_entry(connection: Connection, job_id: str, number: int, entry: LogEntry) -> None:
    values = {
        "job_id": job_id,
        "number": number,
        "from_chunk": entry.change.from_chunk,
        "settings_json": entry.change.settings.model_dump_json(exclude_none=True),
        "refs_json": json.dumps(entry.refs),
    }
    connection.execute(insert(live_changes), values)


def end(connection: Connection, job_id: str, reason: LiveEndReason, now_ms: int) -> JobRecord:
    """End a session; as it ended, also if it had ended before, when nothing changes."""
    record = records.end_job(connection, job_id, _STATE_OF.get(reason, "completed"), now_ms)
    unsaid = (live_sessions.c.job_id == job_id) & live_sessions.c.reason.is_(None)
    connection.execute(update(live_sessions).where(unsaid).values(reason=reason))
    return record
