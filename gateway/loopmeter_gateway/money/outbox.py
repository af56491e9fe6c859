"""Usage for billing systems: one event for each job that cost something and for each refund.

An event is written in the transaction of what it tells of, so neither is without the other. It is sent until the
target has taken it: at least once, under an id that never changes, so that the target can drop what it has. Events
are CloudEvents 1.0, in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.database import insert_if_new
from loopmeter_gateway.tables import outbox, outbox_deliveries

SOURCE = "urn:loopmeter:gateway"
USAGE, REFUND = "loopmeter.usage", "loopmeter.refund"
BATCH_MAX = 100


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One event and its place in the outbox. ``event`` is the CloudEvent."""

    number: int
    id: str
    event: dict[str, Any]


def cloud_event(id_: str, type_: str, customer_id: str, at_ms: int, data: dict[str, Any]) -> dict[str, Any]:
    """A CloudEvent about a customer. ``data["tokens"]`` is what a meter adds up; it is negative for a refund."""
    return {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE,
        "type": type_,
        "subject": customer_id,
        "time": from_ms(at_ms).isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }


def put_event(connection: Connection, event: dict[str, Any], now_ms: int) -> None:
    """Write an event for every target there may be. Part of the transaction that it tells of."""
    values = {"id": event["id"], "event_json": json.dumps(event), "created_at_ms": now_ms}
    connection.execute(insert(outbox), values)


def pending_events(connection: Connection, target: str, limit: int = BATCH_MAX) -> list[OutboxEvent]:
    """The oldest events that a target has not taken yet."""
    taken = select(outbox_deliveries.c.number).where(
        outbox_deliveries.c.target == target, outbox_deliveries.c.number == outbox.c.number
    )
    rows = connection.execute(select(outbox).where(~taken.exists()).order_by(outbox.c.number).limit(limit))
    return [OutboxEvent(row.number, row.id, json.loads(row.event_json)) for row in rows]


def note_taken(connection: Connection, target: str, events: Sequence[OutboxEvent], now_ms: int) -> None:
    """Write down that a target has taken events."""
    for event in events:
        values: dict[str, object] = {"target": target, "number": event.number, "delivered_at_ms": now_ms}
        insert_if_new(connection, outbox_deliveries, values)
