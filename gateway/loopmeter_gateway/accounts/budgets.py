"""How much a key may spend: in all (client tokens), in a day, in a month. Days and months are those of UTC.

What a job costs counts at its order, with its whole price; once it has ended, with what it was charged.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Column, Connection, bindparam, case, func, or_, select

from loopmeter_gateway.clock import from_ms, to_ms
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import api_keys, jobs

_LIMITS = (api_keys.c.tokens_max, api_keys.c.day_tokens_max, api_keys.c.month_tokens_max)
# Budgets of days and months stand with the first key of a line, that of a client token with itself.
# The rows are locked in one order, so that two jobs at once cannot both take what is left.
_LIMITED_KEYS = (
    select(api_keys.c.id, *_LIMITS)
    .where(or_(api_keys.c.id == bindparam("key_id"), api_keys.c.id == bindparam("budget_id")))
    .where(or_(*(limit.is_not(None) for limit in _LIMITS)))
    .order_by(api_keys.c.id)
    .with_for_update()
)


def check_budgets(connection: Connection, key_id: str, budget_id: str, tokens: int, now_ms: int) -> None:
    """Make sure that a key may spend ``tokens`` more. Part of the transaction that holds them.

    Raises:
        Refused: key_budget_exceeded, with ``needed`` and ``available``.
    """
    for when, limit, left in _budgets(connection, key_id, budget_id, now_ms):
        if tokens > left:
            advice = "ask for a new client token" if when == "in all" else "wait, or raise the budget of the key"
            raise Refused(
                "key_budget_exceeded",
                f"expected {tokens} tokens in the budget of this key, found {left} of {limit} {when}; {advice}",
                needed=tokens,
                available=left,
            )


def budget_left(connection: Connection, key_id: str, budget_id: str, now_ms: int) -> int | None:
    """How many tokens more a key may spend; ``None``: as many as there are."""
    return min((left for _, _, left in _budgets(connection, key_id, budget_id, now_ms)), default=None)


def _budgets(connection: Connection, key_id: str, budget_id: str, now_ms: int) -> Iterator[tuple[str, int, int]]:
    """For each limit of a key: when it holds, the limit, and what is left of it."""
    if not key_id:
        return
    rows = connection.execute(_LIMITED_KEYS, {"key_id": key_id, "budget_id": budget_id}).all()
    now = from_ms(now_ms)
    day_ms = to_ms(now.replace(hour=0, minute=0, second=0, microsecond=0))
    month_ms = to_ms(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    for row in rows:
        for when, limit, side, since_ms in (
            ("in all", row.tokens_max, jobs.c.key_id, 0),
            ("today", row.day_tokens_max, jobs.c.budget_id, day_ms),
            ("this month", row.month_tokens_max, jobs.c.budget_id, month_ms),
        ):
            if limit is not None:
                yield when, limit, max(0, limit - spent(connection, side, row.id, since_ms))


def spent(connection: Connection, side: Column[str | None], id_: str, since_ms: int) -> int:
    """What the jobs of a key or of a budget cost since a moment."""
    cost = case((jobs.c.finished_at_ms.is_(None), jobs.c.tokens_quoted), else_=jobs.c.tokens_charged)
    mine = (side == id_) & (jobs.c.created_at_ms >= since_ms)
    return int(connection.execute(select(func.coalesce(func.sum(cost), 0)).where(mine)).scalar_one())
