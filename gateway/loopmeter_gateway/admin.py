"""What an operator does to the database from outside the server, also while it runs.

Each call opens the database, does one durable transaction and closes it. All raise ``Refused`` with a message for
the operator, and ``ValueError`` for an address that is not a database. Results are plain JSON values.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TextIO

from sqlalchemy import Connection

from loopmeter_gateway.accounts import administration, keys
from loopmeter_gateway.accounts.keys import KeySpec
from loopmeter_gateway.clock import SystemClock, from_ms, to_ms
from loopmeter_gateway.database import look, once
from loopmeter_gateway.money import outbox, reports, usage_records
from loopmeter_gateway.money.audit import audit as audit_books
from loopmeter_gateway.money.books import Books, book_toml, look_up_book, stored_books
from loopmeter_gateway.money.movements import Why
from loopmeter_gateway.money.price_book import book_id, parse_price_book
from loopmeter_gateway.money.reports import Rates
from loopmeter_gateway.money.targets import UsageTarget
from loopmeter_gateway.problems import Refused

_Result = dict[str, Any]


# Customers and tokens.


def create_customer(db: str, name: str, plan: str = "standard", price_book: str | None = None) -> _Result:
    """A new customer: ``customer_id``, ``name``, ``plan``, its balance. A plan may grant tokens at once."""
    return asdict(once(db, lambda c: administration.create_customer(c, _books(c), name, plan, price_book, _now_ms())))


def list_customers(db: str) -> _Result:
    """All customers with their balances: ``customers``."""

    def work(connection: Connection) -> list[_Result]:
        found: list[_Result] = []
        while page := administration.list_customers(connection, found[-1]["customer_id"] if found else ""):
            found += [asdict(record) for record in page]
        return found

    return {"customers": look(db, work)}


def show_customer(db: str, customer: str) -> _Result:
    """One customer, named by id or name, with its balance."""
    return asdict(look(db, lambda c: administration.show_customer(c, customer)))


def set_terms(db: str, customer: str, plan: str | None = None, price_book: str | None = None) -> _Result:
    """Another plan, or another price book (``gateway`` for the gateway's own), from the next quote on."""
    return asdict(once(db, lambda c: administration.set_terms(c, _books(c), customer, plan, price_book, _now_ms())))


def list_entries(db: str, customer: str, limit: int = 50, until: datetime | None = None) -> _Result:
    """What moved a customer's tokens, newest first: ``entries``. The charges of a job are one."""
    before_ms = None if until is None else to_ms(until)
    return {
        "entries": [
            asdict(entry) for entry in look(db, lambda c: administration.list_entries(c, customer, limit, before_ms))
        ]
    }


def grant(db: str, customer: str, tokens: int, reason: str = "grant", reference: str | None = None) -> _Result:
    """Give tokens to a customer, named by id or name: ``customer_id``, ``available``, ``held``, ``posted``.

    The same ``reference`` again moves nothing: use the number of the payment.
    """
    why = Why(reason, _actor(), reference)
    return asdict(once(db, lambda c: administration.grant(c, customer, tokens, _now_ms(), why)))


def adjust(db: str, customer: str, tokens: int, reason: str, reference: str | None = None) -> _Result:
    """Correct a balance up or down, with a reason."""
    why = Why(reason, _actor(), reference)
    return asdict(once(db, lambda c: administration.adjust(c, customer, tokens, _now_ms(), why)))


def refund(db: str, job_id: str, tokens: int | None, reason: str, reference: str | None = None) -> _Result:
    """Give back a part of what a job was charged, or all that is left of it; the customer's balance."""
    why = Why(reason, _actor(), reference)
    return asdict(once(db, lambda c: administration.refund(c, job_id, tokens, _now_ms(), why)))


# Keys.


def create_key(db: str, customer: str, spec: KeySpec | None = None) -> _Result:
    """A new API key for a customer, named by id or name: ``key`` (shown this once), ``key_id``, ``customer_id``."""
    return asdict(once(db, lambda c: administration.create_key(c, customer, spec, _now_ms())))


def create_admin_key(db: str) -> _Result:
    """A new key of the admin scope: ``key`` (shown this once)."""
    return asdict(once(db, lambda c: administration.create_key(c, None, None, _now_ms())))


def list_keys(db: str, customer: str | None = None) -> _Result:
    """The keys of a customer, or those of operators: ``keys``. Nothing secret in them."""
    found = look(db, lambda c: administration.list_keys(c, customer, _now_ms()))
    return {"keys": [asdict(record) for record in found]}


def rotate_key(db: str, key_id: str, overlap_s: int) -> _Result:
    """A successor of a key: ``key`` (shown this once). The old one ends after ``overlap_s`` seconds."""
    return asdict(once(db, lambda c: administration.rotate_key(c, key_id, overlap_s, _now_ms())))


def revoke_key(db: str, key_id: str) -> _Result:
    """End a key and its client tokens at once."""
    return asdict(once(db, lambda c: keys.revoke_key(c, key_id, _now_ms())))


def set_budget(db: str, key_id: str, day_tokens_max: int | None, month_tokens_max: int | None) -> _Result:
    """What a key and its successors may spend in a day and in a month; ``None``: all there is."""
    return asdict(once(db, lambda c: keys.set_budget(c, key_id, day_tokens_max, month_tokens_max, _now_ms())))


# Price books, jobs and holds.


def list_books(db: str) -> _Result:
    """The price books that are or were in force: ``price_books``."""
    return {"price_books": [asdict(book) for book in look(db, stored_books)]}


def show_book(db: str, name: str) -> _Result:
    """A price book, shipped or in force, as it is written: ``toml``."""
    return {"toml": look(db, lambda c: book_toml(c, name))}


def add_book(db: str, toml: str) -> _Result:
    """Put a price book in force, for good: ``price_book``."""
    return {"price_book": book_id(once(db, lambda c: administration.add_book(c, toml, _now_ms())))}


def list_jobs(db: str, customer: str | None = None, state: str | None = None, limit: int = 50) -> _Result:
    """Jobs, newest first: ``jobs``."""
    found, _ = look(db, lambda c: administration.list_jobs(c, customer, state, None, limit))
    return {"jobs": [job.model_dump(mode="json") for job in found]}


def cancel_job(db: str, job_id: str) -> _Result:
    """End a job of any customer."""
    return once(db, lambda c: administration.cancel_job(c, job_id, _now_ms())).model_dump(mode="json")


def list_holds(db: str) -> _Result:
    """The open holds: ``holds``."""
    return {"holds": [asdict(hold) for hold in look(db, administration.list_holds)]}


def void_hold(db: str, hold_id: str, reason: str) -> _Result:
    """Free what a hold has not posted, and end its job."""
    return asdict(once(db, lambda c: administration.void_hold(c, hold_id, _now_ms(), Why(reason, _actor()))))


# Reports and exports. Periods are from ``since`` on and before ``until``, by the end of the job.


def audit(db: str) -> _Result:
    """The books added up anew: ``posted_sum`` (0), ``open_holds``, ``faults`` (none)."""
    return asdict(look(db, audit_books))


def margin(db: str, since: datetime | None, until: datetime | None, rates: Rates) -> _Result:
    """Tokens sold against device seconds and their cost: ``rows``, per model, plan and customer."""
    period = _period(since, until)
    rows = look(db, lambda c: reports.margin(usage_records.ended_jobs(c, *period), rates))
    return {"rows": [asdict(row) for row in rows]}


def simulate(db: str, price_book: str, since: datetime | None, until: datetime | None, rates: Rates) -> _Result:
    """The usage of a period under another price book: a stored or shipped one by name, or the text of a new one."""
    period = _period(since, until)

    def work(connection: Connection) -> reports.Simulation:
        book = parse_price_book(price_book) if "\n" in price_book else look_up_book(connection, price_book)
        return reports.simulate(usage_records.ended_jobs(connection, *period), book, rates, *period)

    found = look(db, work)
    earliest = replace(found, since="the beginning") if since is None else found
    return asdict(earliest)


def export_csv(db: str, since: datetime | None, until: datetime | None, file: TextIO) -> int:
    """Write the usage of a period as CSV; how many jobs."""
    period = _period(since, until)
    found = look(db, lambda c: [job.usage for job in usage_records.ended_jobs(c, *period)])
    usage_records.write_csv(found, file)
    return len(found)


def send_outbox(db: str, name: str, target: UsageTarget) -> _Result:
    """Send to a target all that it has not taken yet: ``sent``. What fails is sent again at the next call.

    Raises:
        TargetFailed: the target does not answer well; what it took before is noted.
    """
    sent = 0
    while events := look(db, lambda c: outbox.pending_events(c, name)):
        target.send(events)
        _note(db, name, events)
        sent += len(events)
    return {"target": name, "sent": sent}


def pending_events(db: str, name: str) -> _Result:
    """The CloudEvents that a target would be sent next: ``events``."""
    return {"events": [event.event for event in look(db, lambda c: outbox.pending_events(c, name))]}


def _note(db: str, name: str, events: Sequence[outbox.OutboxEvent]) -> None:
    once(db, lambda c: outbox.note_taken(c, name, events, _now_ms()))


def _period(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    period = (0 if since is None else to_ms(since), _now_ms() + 1 if until is None else to_ms(until))
    if period[0] >= period[1]:
        begin, end = (from_ms(at_ms).isoformat() for at_ms in period)
        raise Refused.field("since", f"a time before {end}", begin)
    return period


def _books(connection: Connection) -> Books:
    """The books as a gateway with default settings has them: here they only say which plans there are."""
    books = Books("standard")
    books.put_in_force(connection, _now_ms())
    return books


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # A container may run under a number without a name.
        return "cli"


def _now_ms() -> int:
    return to_ms(SystemClock().now())
