"""What plans grant every month. Months are those of the calendar, in UTC.

A month opens with the plan's grant, once per customer, however many gateways try: the month is the reference of the
grant. When the next month opens, what is left of the old one expires, but for what the plan lets roll over. Tokens
of the month are spent before all others, so what is left is the month's tokens less what was charged in it. What is
held for a job at that moment stays held.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from loopmeter import PlanInfo
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.money import movements
from loopmeter_gateway.money.books import Books
from loopmeter_gateway.money.ledger import balance
from loopmeter_gateway.tables import allowances, customers, holds, transfers

_ACTOR = "plan"


def month_of(now_ms: int) -> str:
    """The month of a moment, such as ``2026-11``."""
    return from_ms(now_ms).strftime("%Y-%m")


def month_start(month: str) -> datetime:
    """Its first moment."""
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def open_months(connection: Connection, books: Books, now_ms: int) -> int:
    """Open the month for every customer that has not opened it and has, or had, a plan that grants tokens; how many."""
    month = month_of(now_ms)
    opened = select(allowances.c.customer_id).where(allowances.c.month == month)
    waiting = select(customers).where(customers.c.id.not_in(opened)).order_by(customers.c.id)
    count = 0
    for row in connection.execute(waiting).all():
        count += open_month(connection, row.id, books.plan(connection, row.price_book, row.plan), now_ms)
    return count


def open_month(connection: Connection, customer_id: str, plan: PlanInfo, now_ms: int) -> bool:
    """Close a customer's last month and open this one; whether there was anything to open.

    A plan that grants nothing opens no month, and closes the one that another plan opened.
    """
    month = month_of(now_ms)
    # The row of the customer is locked: two gateways must not open the month at once.
    connection.execute(select(customers.c.id).where(customers.c.id == customer_id).with_for_update())
    last = connection.execute(
        select(allowances)
        .where(allowances.c.customer_id == customer_id)
        .order_by(allowances.c.month.desc())
        .limit(1)
        .with_for_update()
    ).first()
    if last is not None and last.month >= month:
        return False
    kept = 0 if last is None or last.closed_at_ms is not None else _close(connection, last, plan, now_ms)
    if not plan.monthly_tokens:
        return False
    connection.execute(
        insert(allowances).values(
            customer_id=customer_id, month=month, tokens=plan.monthly_tokens + kept, opened_at_ms=now_ms
        )
    )
    why = movements.Why(f"plan {plan.name}, {month}", _ACTOR, f"plan:{customer_id}:{month}")
    movements.grant(connection, customer_id, plan.monthly_tokens, now_ms, why)
    return True


def _close(connection: Connection, row: Any, plan: PlanInfo, now_ms: int) -> int:
    """Let expire what is left of a month, but for what rolls over; the tokens kept."""
    customer_id, month = row.customer_id, row.month
    spent = connection.execute(
        select(func.coalesce(func.sum(transfers.c.amount), 0)).where(
            transfers.c.hold_id.in_(_held_since(customer_id, row.opened_at_ms)),
            transfers.c.created_at_ms >= row.opened_at_ms,
            transfers.c.kind == "charge",
        )
    ).scalar_one()
    left = max(0, int(row.tokens) - int(spent))
    kept: int = min(left, plan.rollover_tokens_max)
    expired = min(left - kept, balance(connection, customer_id).available)
    if expired:
        why = movements.Why(f"left of {month}", _ACTOR, f"expiry:{customer_id}:{month}")
        movements.expire(connection, customer_id, expired, now_ms, why)
    mine = (allowances.c.customer_id == customer_id) & (allowances.c.month == month)
    connection.execute(update(allowances).where(mine).values(closed_at_ms=now_ms, expired=expired))
    return kept


def _held_since(customer_id: str, since_ms: int) -> Select[tuple[str]]:
    """The holds that may have been charged since then: entries are found by their hold, not by their account."""
    over = holds.c.closed_at_ms < since_ms
    return select(holds.c.id).where(holds.c.account_id == customer_id, over.is_not(True))
