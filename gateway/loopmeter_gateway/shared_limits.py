"""Requests of keys, counted by several gateways on one database together. A unit of work inside a transaction.

No request waits for this. Each gateway counts by itself and says at every sweep what it has counted; it learns then
what the others have. So in the second between two sweeps each gateway may let through what the plan allows, but what
was too much is owed: on the average of any longer time, all of them together keep the limit.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func
from sqlalchemy.dialects.postgresql import insert

from loopmeter_gateway.tables import request_rates

KEYS_AT_ONCE = 1000


def exchange(connection: Connection, paid_ms: dict[str, float], now_ms: int) -> dict[str, float]:
    """Add what keys have paid here, in milliseconds; until when each has paid everywhere. Only on PostgreSQL."""
    known: dict[str, float] = {}
    keys = sorted(paid_ms)  # In one order, so that gateways never wait in a circle.
    for start in range(0, len(keys), KEYS_AT_ONCE):
        values = [{"key_id": key, "paid_until_ms": now_ms + paid_ms[key]} for key in keys[start : start + KEYS_AT_ONCE]]
        adding = insert(request_rates).values(values)
        before = func.greatest(request_rates.c.paid_until_ms, float(now_ms))
        added = adding.on_conflict_do_update(
            index_elements=["key_id"], set_={"paid_until_ms": before + (adding.excluded.paid_until_ms - float(now_ms))}
        ).returning(request_rates)
        known |= {row.key_id: row.paid_until_ms for row in connection.execute(added)}
    return known


def forget(connection: Connection, now_ms: int) -> None:
    """Drop the keys that owe nothing."""
    connection.execute(delete(request_rates).where(request_rates.c.paid_until_ms < now_ms))
