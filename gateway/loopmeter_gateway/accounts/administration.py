"""What operators do, as units of work: ``admin.py`` runs them on a database, ``http/admin.py`` over HTTP.

What moves tokens or ends something says why and who; the caller of these functions knows who.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from loopmeter import Job, PriceBook
from loopmeter_gateway.accounts import customers, keys
from loopmeter_gateway.accounts.keys import KeyRecord, KeySpec
from loopmeter_gateway.jobs import records
from loopmeter_gateway.jobs.records import JobRecord
from loopmeter_gateway.money import allowances, ledger, movements
from loopmeter_gateway.money.books import Books, store_book, take_book
from loopmeter_gateway.money.movements import Why
from loopmeter_gateway.money.price_book import book_id, find_plan
from loopmeter_gateway.money.statement import Entry, statement
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import holds, jobs

PAGE_MAX = 200


class OwnedJob(Job):
    """A job, and whose it is."""

    customer_id: str


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """A customer and its balance."""

    customer_id: str
    name: str
    plan: str
    price_book: str | None
    created_at_ms: int
    available: int
    held: int
    posted: int


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: ``key`` is shown this once."""

    key: str
    key_id: str
    customer_id: str | None
    scopes: tuple[str, ...]
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """Tokens set aside for a job. ``posted`` of ``amount`` is charged already."""

    hold_id: str
    customer_id: str
    job_id: str | None
    amount: int
    posted: int
    state: str
    created_at_ms: int
    expires_at_ms: int


# Customers.


def create_customer(
    connection: Connection, books: Books, name: str, plan: str, price_book: str | None, now_ms: int
) -> CustomerRecord:
    """A new customer, with the first month of its plan. Raises ``Refused``."""
    book_name = None if price_book is None else book_id(take_book(connection, price_book, now_ms))
    _check_plan(books.find(connection, book_name), plan)
    customer_id = customers.create_customer(connection, name, plan, now_ms, book_name)
    allowances.open_month(connection, customer_id, books.plan(connection, book_name, plan), now_ms)
    return show_customer(connection, customer_id)


def _check_plan(book: PriceBook, plan: str) -> None:
    names = [known.name for known in book.plans]
    if plan not in names:
        raise Refused.field("plan", f"one of {', '.join(names) or 'none'} (price book {book_id(book)})", plan)


def show_customer(connection: Connection, id_or_name: str) -> CustomerRecord:
    """A customer by id or name. Raises ``Refused`` not_found."""
    found = customers.get_customer(connection, id_or_name)
    balance = ledger.balance(connection, found.id)
    return CustomerRecord(
        found.id, found.name, found.plan, found.price_book, found.created_at_ms, **balance.model_dump()
    )


def list_customers(connection: Connection, after: str = "", limit: int = PAGE_MAX) -> list[CustomerRecord]:
    """Customers in the order of their ids, from behind ``after``."""
    return [show_customer(connection, found.id) for found in customers.list_customers(connection, after, limit)]


def set_terms(
    connection: Connection, books: Books, customer: str, plan: str | None, price_book: str | None, now_ms: int
) -> CustomerRecord:
    """Another plan or price book, from the next quote on; ``gateway`` stands for the gateway's own book.

    A plan that grants tokens opens its month at once, if the customer has not had this month's. Raises ``Refused``.
    """
    found = customers.get_customer(connection, customer)
    book_name = found.price_book
    if price_book is not None:
        book_name = None if price_book == "gateway" else book_id(take_book(connection, price_book, now_ms))
    plan = found.plan if plan is None else plan
    book = books.find(connection, book_name)
    _check_plan(book, plan)
    customers.set_terms(connection, found.id, plan, book_name)
    allowances.open_month(connection, found.id, find_plan(book, plan), now_ms)
    return show_customer(connection, found.id)


# Tokens.


def list_entries(connection: Connection, customer: str, limit: int, before_ms: int | None = None) -> list[Entry]:
    """What moved the tokens of a customer, newest first. Raises ``Refused`` not_found."""
    return statement(connection, customers.find_customer(connection, customer), limit, before_ms)


def grant(connection: Connection, customer: str, tokens: int, now_ms: int, why: Why) -> CustomerRecord:
    """Give tokens, or take back what is available. Raises ``Refused``."""
    customer_id = customers.find_customer(connection, customer)
    movements.grant(connection, customer_id, tokens, now_ms, why)
    return show_customer(connection, customer_id)


def adjust(connection: Connection, customer: str, tokens: int, now_ms: int, why: Why) -> CustomerRecord:
    """Correct a balance. Raises ``Refused``."""
    customer_id = customers.find_customer(connection, customer)
    movements.adjust(connection, customer_id, tokens, now_ms, why)
    return show_customer(connection, customer_id)


def refund(connection: Connection, job_id: str, tokens: int | None, now_ms: int, why: Why) -> CustomerRecord:
    """Give back a part of what a job was charged, or all that is left of it. Raises ``Refused``."""
    movements.refund(connection, job_id, tokens, now_ms, why)
    owner = connection.execute(select(jobs.c.customer_id).where(jobs.c.id == job_id)).scalar_one()
    return show_customer(connection, owner)


# Keys.


def create_key(connection: Connection, customer: str | None, spec: KeySpec | None, now_ms: int) -> NewKey:
    """A key for a customer, or without one for an operator. Raises ``Refused``."""
    customer_id = None if customer is None else customers.find_customer(connection, customer)
    scope: customers.Scope = "admin" if customer_id is None else "customer"
    return _new_key(connection, keys.create_key(connection, customer_id, scope, now_ms, spec), now_ms)


def rotate_key(connection: Connection, key_id: str, overlap_s: int, now_ms: int) -> NewKey:
    """A successor; the old key ends after the overlap. Raises ``Refused``."""
    return _new_key(connection, keys.rotate_key(connection, key_id, overlap_s, now_ms), now_ms)


def _new_key(connection: Connection, key: str, now_ms: int) -> NewKey:
    record = keys.find_key(connection, key.split("_")[1], now_ms)
    return NewKey(key, record.id, record.customer_id, record.scopes, record.expires_at_ms)


def list_keys(connection: Connection, customer: str | None, now_ms: int, *, tokens: bool = False) -> list[KeyRecord]:
    """The keys of a customer, or those of operators. Raises ``Refused`` not_found."""
    customer_id = None if customer is None else customers.find_customer(connection, customer)
    return keys.list_keys(connection, customer_id, now_ms, tokens=tokens)


# Price books.


def add_book(connection: Connection, toml: str, now_ms: int) -> PriceBook:
    """Put a price book in force, for good. Raises ``Refused`` invalid_request, price_book_used."""
    try:
        return store_book(connection, toml, now_ms)
    except ValueError as error:
        raise Refused.field("toml", "a price book", str(error)) from error


# Jobs and holds.


def list_jobs(
    connection: Connection, customer: str | None, state: str | None, before: int | None, limit: int
) -> tuple[list[OwnedJob], int | None]:
    """Jobs of all customers, newest first, and the cursor of the next page. Raises ``Refused`` not_found."""
    wanted = select(jobs).order_by(jobs.c.number.desc()).limit(limit + 1)
    if customer is not None:
        wanted = wanted.where(jobs.c.customer_id == customers.find_customer(connection, customer))
    if state is not None:
        wanted = wanted.where(jobs.c.state == state)
    if before is not None:
        wanted = wanted.where(jobs.c.number < before)
    rows = connection.execute(wanted).all()
    found = [_owned(records.record_of(row)) for row in rows[:limit]]
    return found, rows[limit - 1].number if len(rows) > limit else None


def _owned(record: JobRecord) -> OwnedJob:
    return OwnedJob(customer_id=record.customer_id, **dict(record.wire()))


def find_job(connection: Connection, job_id: str) -> Job:
    """A job of any customer. Raises ``Refused`` not_found."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise Refused("not_found", f"expected a job, found none called {job_id!r}")
    return records.record_of(row).wire()


def cancel_job(connection: Connection, job_id: str, now_ms: int) -> Job:
    """End a job, charged for what was delivered; a gateway that makes it stops at its next chunk.

    Raises ``Refused`` not_found.
    """
    find_job(connection, job_id)
    return records.end_job(connection, job_id, "cancelled", now_ms).wire()


def list_holds(connection: Connection, limit: int = PAGE_MAX) -> list[HoldRecord]:
    """The open holds, those that expire first come first."""
    found = (
        select(holds, jobs.c.id.label("job_id"))
        .join_from(holds, jobs, jobs.c.hold_id == holds.c.id, isouter=True)
        .where(holds.c.state == "open")
        .order_by(holds.c.expires_at_ms, holds.c.id)
        .limit(limit)
    )
    return [_hold(row) for row in connection.execute(found)]


def void_hold(connection: Connection, hold_id: str, now_ms: int, why: Why) -> HoldRecord:
    """Free what a hold has not posted, and end its job. A hold that was closed before stays as it is.

    Raises:
        Refused: not_found, invalid_request.
    """
    if not why.reason.strip():
        raise Refused.field("reason", "some words", "none")
    wanted = (
        select(holds, jobs.c.id.label("job_id"))
        .join_from(holds, jobs, jobs.c.hold_id == holds.c.id, isouter=True)
        .where(holds.c.id == hold_id)
    )
    row = connection.execute(wanted).first()
    if row is None:
        raise Refused("not_found", f"expected a hold, found none called {hold_id!r}")
    # The job's row comes first, as in every other transaction that takes both.
    if row.job_id is not None:
        connection.execute(select(jobs.c.id).where(jobs.c.id == row.job_id).with_for_update())
    ledger.close_hold(connection, hold_id, "voided", now_ms, reason=why.reason, actor=why.actor)
    if row.job_id is not None:
        records.end_job(connection, row.job_id, "cancelled", now_ms)
    return _hold(connection.execute(wanted).one())


def _hold(row: Any) -> HoldRecord:
    return HoldRecord(
        hold_id=row.id,
        customer_id=row.account_id,
        job_id=row.job_id,
        amount=row.amount,
        posted=row.posted,
        state=row.state,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
    )
