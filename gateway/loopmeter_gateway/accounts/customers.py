"""Customers and their keys. A key is shown once, when it is made; the database keeps its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, insert, or_, select
from sqlalchemy.exc import IntegrityError

from loopmeter_gateway.money.ledger import open_customer_account, open_house_accounts
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import api_keys, customers

Scope = Literal["customer", "admin"]
NAME_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a key belongs to. ``customer_id`` is empty for an admin key."""

    key_id: str
    scope: Scope
    customer_id: str
    plan: str


def create_customer(connection: Connection, name: str, plan: str, now_ms: int) -> str:
    """A new customer with an empty account; its id. Raises ``Refused`` name_taken, invalid_request."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise Refused.field("name", f"1 to {NAME_CHARACTERS_MAX} characters", repr(name[:NAME_CHARACTERS_MAX]))
    customer_id = "cus_" + secrets.token_hex(10)
    try:
        connection.execute(insert(customers).values(id=customer_id, name=name, plan=plan, created_at_ms=now_ms))
    except IntegrityError as error:
        raise Refused("name_taken", f"expected a new name, found a customer called {name!r}") from error
    open_house_accounts(connection)
    open_customer_account(connection, customer_id)
    return customer_id


def find_customer(connection: Connection, id_or_name: str) -> str:
    """The id of a customer. Raises ``Refused`` not_found."""
    either = or_(customers.c.id == id_or_name, customers.c.name == id_or_name)
    found: str | None = connection.execute(select(customers.c.id).where(either)).scalars().first()
    if found is None:
        raise Refused("not_found", f"expected the id or name of a customer, found none called {id_or_name!r}")
    return found


def create_key(connection: Connection, customer_id: str | None, scope: Scope, now_ms: int) -> str:
    """A new key. This is the only time that it can be read."""
    key_id = secrets.token_hex(8)
    key = f"lm_{key_id}_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(api_keys).values(
            id=key_id, key_sha256=_digest(key), customer_id=customer_id, scope=scope, created_at_ms=now_ms
        )
    )
    return key


def find_caller(connection: Connection, key: str) -> Caller | None:
    """Who shows this key; ``None`` if it is unknown or revoked."""
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != "lm":
        return None
    row = connection.execute(
        select(api_keys.c.key_sha256, api_keys.c.scope, api_keys.c.customer_id, customers.c.plan)
        .join_from(api_keys, customers, isouter=True)
        .where(api_keys.c.id == parts[1], api_keys.c.revoked_at_ms.is_(None))
    ).first()
    if row is None or not hmac.compare_digest(row.key_sha256, _digest(key)):
        return None
    return Caller(key_id=parts[1], scope=row.scope, customer_id=row.customer_id or "", plan=row.plan or "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
