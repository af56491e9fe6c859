"""What a customer used: jobs newest first, each with its bill and what it took."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from loopmeter import UsageEntry, UsagePage
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.money.quotes import Offer
from loopmeter_gateway.tables import chunks, jobs

PAGE_MAX = 200
CURSOR_MAX = 2**63 - 1


def usage_page(connection: Connection, customer_id: str, cursor: int | None, limit: int) -> UsagePage:
    """At most ``limit`` jobs older than ``cursor``, which is the ``next`` of the page before."""
    wanted = select(jobs).where(jobs.c.customer_id == customer_id)
    if cursor is not None:
        wanted = wanted.where(jobs.c.number < cursor)
    page = wanted.order_by(jobs.c.number.desc()).limit(limit + 1).subquery()
    rows = connection.execute(
        select(
            page,
            func.coalesce(func.sum(chunks.c.flops), 0).label("flops"),
            func.coalesce(func.sum(chunks.c.device_seconds), 0.0).label("device_seconds"),
            func.coalesce(func.max(chunks.c.peak_memory_bytes), 0).label("peak_memory_bytes"),
        )
        .join_from(page, chunks, page.c.id == chunks.c.job_id, isouter=True)
        .group_by(*page.c)
        .order_by(page.c.number.desc())
    ).all()
    total = select(func.coalesce(func.sum(jobs.c.tokens_charged), 0)).where(jobs.c.customer_id == customer_id)
    entries = []
    for row in rows[:limit]:
        request = Offer.model_validate_json(row.offer_json).request
        entries.append(
            UsageEntry(
                job=row.id,
                state=row.state,
                tokens_quoted=row.tokens_quoted,
                tokens_charged=row.tokens_charged,
                chunks_delivered=row.chunks_delivered,
                created_at=from_ms(row.created_at_ms),
                prompt=request.prompt,
                model=request.model,
                quality=request.quality,
                frames_delivered=row.frames_delivered,
                flops=row.flops,
                device_seconds=row.device_seconds,
                peak_memory_bytes=row.peak_memory_bytes,
            )
        )
    return UsagePage(
        entries=tuple(entries),
        next=str(rows[limit - 1].number) if len(rows) > limit else None,
        tokens_charged=connection.execute(total).scalar_one(),
    )
