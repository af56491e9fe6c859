"""Customers, and who calls on behalf of one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from loopmeter_gateway.money.ledger import open_customer_account, open_house_accounts
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import customers

Scope = Literal["customer", "admin"]
KeyScope = Literal["make", "read", "admin"]
NAME_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a key belongs to, and what it may do. ``customer_id`` is empty for an admin key.

    ``price_book`` is that of the customer; ``None``: that of the gateway.
    """

    key_id: str
    scope: Scope
    customer_id: str
    plan: str
    scopes: frozenset[str] = frozenset({"make", "read"})
    budget_id: str = ""
    price_book: str | None = None
    expires_at_ms: int | None = None
    is_client_token: bool = False


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as operators see it."""

    id: str
    name: str
    plan: str
    price_book: str | None
    created_at_ms: int


def create_customer(connection: Connection, name: str, plan: str, now_ms: int, price_book: str | None = None) -> str:
    """A new customer with an empty account; its id. Raises ``Refused`` name_taken, invalid_request."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise Refused.field("name", f"1 to {NAME_CHARACTERS_MAX} characters", repr(name[:NAME_CHARACTERS_MAX]))
    customer_id = "cus_" + secrets.token_hex(10)
    values = {"id": customer_id, "name": name, "plan": plan, "price_book": price_book, "created_at_ms": now_ms}
    try:
        connection.execute(insert(customers).values(values))
    except IntegrityError as error:
        raise Refused("name_taken", f"expected a new name, found a customer called {name!r}") from error
    open_house_accounts(connection)
    open_customer_account(connection, customer_id)
    return customer_id


def find_customer(connection: Connection, id_or_name: str) -> str:
    """The id of a customer. Raises ``Refused`` not_found."""
    return get_customer(connection, id_or_name).id


def get_customer(connection: Connection, id_or_name: str) -> Customer:
    """A customer by id or name; an id comes first. Raises ``Refused`` not_found."""
    either = or_(customers.c.id == id_or_name, customers.c.name == id_or_name)
    rows = connection.execute(select(customers).where(either)).all()
    if not rows:
        raise Refused("not_found", f"expected the id or name of a customer, found none called {id_or_name!r}")
    row = next((row for row in rows if row.id == id_or_name), rows[0])
    return Customer(row.id, row.name, row.plan, row.price_book, row.created_at_ms)


def list_customers(connection: Connection, after: str = "", limit: int = 1000) -> list[Customer]:
    """Customers in the order of their ids, from behind ``after``."""
    rows = connection.execute(select(customers).where(customers.c.id > after).order_by(customers.c.id).limit(limit))
    return [Customer(row.id, row.name, row.plan, row.price_book, row.created_at_ms) for row in rows]


def set_terms(connection: Connection, customer_id: str, plan: str, price_book: str | None) -> None:
    """Give a customer another plan and price book. Jobs and quotes that exist keep their prices."""
    connection.execute(update(customers).where(customers.c.id == customer_id).values(plan=plan, price_book=price_book))
