"""What an operator does to the database from outside the server, also while it runs.

Each call opens the database, does one durable transaction and closes it. All raise ``Refused`` with a message for
the operator, and ``ValueError`` for an address that is not a database.
"""

from __future__ import annotations

from sqlalchemy import Connection

from loopmeter_gateway.accounts import customers, keys
from loopmeter_gateway.clock import SystemClock, to_ms
from loopmeter_gateway.database import once
from loopmeter_gateway.money import movements
from loopmeter_gateway.money.price_book import load_price_book
from loopmeter_gateway.problems import Refused


def create_customer(db: str, name: str, plan: str = "standard") -> dict[str, object]:
    """A new customer without tokens: ``customer_id``, ``name``, ``plan``."""
    plans = [known.name for known in load_price_book("standard").plans]
    if plan not in plans:
        raise Refused.field("plan", f"one of {', '.join(plans)}", plan)
    customer_id = once(db, lambda connection: customers.create_customer(connection, name, plan, _now_ms()))
    return {"customer_id": customer_id, "name": name, "plan": plan}


def create_key(db: str, customer: str) -> dict[str, object]:
    """A new API key for a customer, named by id or name: ``key`` (shown this once), ``customer_id``."""

    def work(connection: Connection) -> dict[str, object]:
        customer_id = customers.find_customer(connection, customer)
        key = keys.create_key(connection, customer_id, "customer", _now_ms())
        return {"key": key, "customer_id": customer_id}

    return once(db, work)


def create_admin_key(db: str) -> dict[str, object]:
    """A new key of the admin scope: ``key`` (shown this once)."""
    return {"key": once(db, lambda connection: keys.create_key(connection, None, "admin", _now_ms()))}


def grant(db: str, customer: str, tokens: int) -> dict[str, object]:
    """Give tokens to a customer, named by id or name: ``customer_id``, ``available``, ``held``, ``posted``."""

    def work(connection: Connection) -> dict[str, object]:
        customer_id = customers.find_customer(connection, customer)
        balance = movements.grant(connection, customer_id, tokens, _now_ms())
        return {"customer_id": customer_id, **balance.model_dump()}

    return once(db, work)


def _now_ms() -> int:
    return to_ms(SystemClock().now())
