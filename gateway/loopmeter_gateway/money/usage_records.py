"""What was made and paid, job by job: the rows behind reports, simulations and exports."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import TextIO

from sqlalchemy import Connection, func, select

from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.money.quotes import Offer
from loopmeter_gateway.tables import chunks, customers, jobs, transfers

PAGE = 1000


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One ended job. ``tokens_refunded`` is what was given back since."""

    job_id: str
    customer_id: str
    customer: str
    key_id: str
    plan: str
    model: str
    price_book: str
    quality: str
    state: str
    created_at: str
    finished_at: str
    frames: int
    frames_delivered: int
    sample_rate_hz: int
    tokens_quoted: int
    tokens_charged: int
    tokens_refunded: int
    flops: int
    device_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A usage record, and the offer that it was made under."""

    usage: UsageRecord
    offer: Offer
    created_at_ms: int


def ended_jobs(connection: Connection, since_ms: int, until_ms: int) -> Iterator[EndedJob]:
    """The jobs that ended in a period, in the order of their orders, a page at a time."""
    number = 0
    while True:
        rows = connection.execute(_page(since_ms, until_ms, number)).all()
        for row in rows:
            offer = Offer.model_validate_json(row.offer_json)
            usage = UsageRecord(
                job_id=row.id,
                customer_id=row.customer_id,
                customer=row.name,
                key_id=row.key_id or "",
                plan=row.plan,
                model=row.model,
                price_book=offer.price_book,
                quality=offer.request.quality,
                state=row.state,
                created_at=from_ms(row.created_at_ms).isoformat(),
                finished_at=from_ms(row.finished_at_ms).isoformat(),
                frames=offer.frames,
                frames_delivered=row.frames_delivered,
                sample_rate_hz=offer.sample_rate_hz,
                tokens_quoted=row.tokens_quoted,
                tokens_charged=row.tokens_charged,
                tokens_refunded=int(row.refunded),
                flops=int(row.flops),
                device_seconds=float(row.device_seconds),
                peak_memory_bytes=int(row.memory),
            )
            yield EndedJob(usage, offer, row.created_at_ms)
            number = row.number
        if len(rows) < PAGE:
            return


def _page(since_ms: int, until_ms: int, after: int):  # type: ignore[no-untyped-def]  # its type is a page long
    page = (
        select(jobs, customers.c.name)
        .join_from(jobs, customers)
        .where(jobs.c.finished_at_ms >= since_ms, jobs.c.finished_at_ms < until_ms, jobs.c.number > after)
        .order_by(jobs.c.number)
        .limit(PAGE)
        .subquery()
    )
    work = (
        select(
            chunks.c.job_id,
            func.sum(chunks.c.flops).label("flops"),
            func.sum(chunks.c.device_seconds).label("device_seconds"),
            func.max(chunks.c.peak_memory_bytes).label("memory"),
        )
        .where(chunks.c.job_id.in_(select(page.c.id)))
        .group_by(chunks.c.job_id)
        .subquery()
    )
    refunds = (
        select(transfers.c.hold_id, func.sum(transfers.c.amount).label("refunded"))
        .where(transfers.c.kind == "refund")
        .group_by(transfers.c.hold_id)
        .subquery()
    )
    return (
        select(
            page,
            func.coalesce(work.c.flops, 0).label("flops"),
            func.coalesce(work.c.device_seconds, 0.0).label("device_seconds"),
            func.coalesce(work.c.memory, 0).label("memory"),
            func.coalesce(refunds.c.refunded, 0).label("refunded"),
        )
        .join_from(page, work, work.c.job_id == page.c.id, isouter=True)
        .join(refunds, refunds.c.hold_id == page.c.hold_id, isouter=True)
        .order_by(page.c.number)
    )


def write_csv(records: Iterable[UsageRecord], file: TextIO) -> None:
    """The records as CSV with a header. Text that a spreadsheet would run as a formula gets a leading quote."""
    writer = csv.DictWriter(file, [field.name for field in fields(UsageRecord)])
    writer.writeheader()
    for record in records:
        row = asdict(record)
        writer.writerow({name: _inert(value) for name, value in row.items()})


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
