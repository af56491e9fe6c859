"""What moved the tokens of one customer, entry by entry, newest first: what an operator is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, literal, null, select, union_all

from loopmeter_gateway.tables import holds, jobs, transfers


@dataclass(frozen=True, slots=True)
class Entry:
    """Tokens that came (above 0) or went. The charges of a job are one entry, of ``chunks`` chunks so far."""

    at_ms: int
    kind: str
    tokens: int
    job_id: str | None
    chunks: int
    reason: str | None
    actor: str | None
    reference: str | None


def statement(connection: Connection, customer_id: str, limit: int, before_ms: int | None = None) -> list[Entry]:
    """At most ``limit`` entries of a customer, newest first, of those before a time."""
    entries = union_all(
        _moved(customer_id, transfers.c.credit_account_id, 1),
        _moved(customer_id, transfers.c.debit_account_id, -1),
        _charged(customer_id),
    ).subquery()
    wanted = select(entries, jobs.c.id.label("job_id")).outerjoin(jobs, jobs.c.hold_id == entries.c.hold_id)
    if before_ms is not None:
        wanted = wanted.where(entries.c.at_ms < before_ms)
    rows = connection.execute(wanted.order_by(entries.c.at_ms.desc(), entries.c.number.desc()).limit(limit))
    return [
        Entry(row.at_ms, row.kind, int(row.tokens), row.job_id, row.chunks, row.reason, row.actor, row.reference)
        for row in rows
    ]


def _moved(customer_id: str, side: Any, sign: int) -> Select[Any]:
    """All but charges, on one side of the account."""
    return select(
        transfers.c.id.label("number"),
        transfers.c.created_at_ms.label("at_ms"),
        transfers.c.kind,
        (transfers.c.amount * sign).label("tokens"),
        transfers.c.hold_id,
        literal(0).label("chunks"),
        transfers.c.reason,
        transfers.c.actor,
        transfers.c.reference,
    ).where(side == customer_id, transfers.c.kind != "charge")


def _charged(customer_id: str) -> Select[Any]:
    """Charges, summed up by their holds: one for each job."""
    return (
        select(
            func.max(transfers.c.id),
            func.max(transfers.c.created_at_ms),
            literal("charge"),
            -func.sum(transfers.c.amount),
            transfers.c.hold_id,
            func.count(),
            null(),
            null(),
            null(),
        )
        .join_from(holds, transfers, transfers.c.hold_id == holds.c.id)
        .where(holds.c.account_id == customer_id, transfers.c.kind == "charge")
        .group_by(transfers.c.hold_id)
    )
