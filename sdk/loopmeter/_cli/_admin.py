"""What an operator does to customers, tokens, prices and jobs: on the gateway's database, also while it runs.

Keys are in ``_keys.py``, reports in ``_reports.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopmeter._cli._operator import DEFAULT_DB, needs

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_REASON = click.option("--reason", required=True, help="Why; kept with the entry.")
_REFERENCE = click.option("--reference", help="What may happen once, such as a payment's number.")
_TOML = click.Path(exists=True, dir_okay=False, path_type=Path)


class Moment(click.ParamType[datetime]):
    """A date or a time in ISO 8601; without a zone it is UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"expected a date or a time such as 2026-11-23T08:00, found {value!r}", param, ctx)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


class Database:
    """The database that ``admin`` was called for, and how to print."""

    def __init__(self, db: str, as_json: bool) -> None:
        self.db = db
        self._as_json = as_json

    def print(self, result: dict[str, Any], as_json: bool, sentence: str) -> None:
        click.echo(json.dumps(result) if as_json or self._as_json else sentence.format(**result))

    def print_rows(
        self,
        result: dict[str, Any],
        as_json: bool,
        key: str,
        columns: Sequence[str],
        rows: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Print ``result`` as JSON, or ``rows`` (else those under ``key``) as a table."""
        if as_json or self._as_json:
            click.echo(json.dumps(result))
            return
        table = Table(*columns, box=None)
        for row in result[key] if rows is None else rows:
            table.add_row(*(Text(_shown(row[column])) for column in columns))
        console = Console()
        # A pipe has no width; ids are cut on a narrow screen only.
        (console if console.is_terminal else Console(width=240)).print(table)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "-" if value is None else str(value)


@contextmanager
def administration() -> Iterator[Any]:
    """The gateway's own functions; what they refuse is said in one sentence."""
    with needs("gateway"):
        from loopmeter_gateway import admin as gateway_admin
        from loopmeter_gateway.problems import Refused

        try:
            yield gateway_admin
        except Refused as refused:
            raise click.ClickException(refused.detail) from refused


@click.group()
@click.option("--db", default=DEFAULT_DB, show_default=True, help="Database address of the gateway.")
@JSON_OPTION
@click.pass_context
def admin(ctx: click.Context, db: str, as_json: bool) -> None:
    """Keep customers, keys, tokens and prices, also while the gateway runs."""
    ctx.obj = Database(db, as_json)


@admin.group()
def customer() -> None:
    """Customers."""


@customer.command("create")
@click.argument("name")
@click.option("--plan", default="standard", show_default=True)
@click.option("--price-book", help="Its own prices; default: those of the gateway.")
@JSON_OPTION
@click.pass_obj
def create_customer(obj: Database, name: str, plan: str, price_book: str | None, as_json: bool) -> None:
    """Make a customer, with what its plan grants for this month."""
    with administration() as gateway:
        result = gateway.create_customer(obj.db, name, plan, price_book)
    obj.print(result, as_json, "customer {customer_id}")


@customer.command("list")
@JSON_OPTION
@click.pass_obj
def list_customers(obj: Database, as_json: bool) -> None:
    """List customers and their balances."""
    with administration() as gateway:
        result = gateway.list_customers(obj.db)
    columns = ("customer_id", "name", "plan", "price_book", "available", "held", "posted")
    obj.print_rows(result, as_json, "customers", columns)


@customer.command("set")
@click.argument("customer")
@click.option("--plan", help="From the next quote on.")
@click.option("--price-book", help="From the next quote on; 'gateway' for that of the gateway.")
@JSON_OPTION
@click.pass_obj
def set_terms(obj: Database, customer: str, plan: str | None, price_book: str | None, as_json: bool) -> None:
    """Give a customer (id or name) another plan or price book."""
    with administration() as gateway:
        result = gateway.set_terms(obj.db, customer, plan, price_book)
    obj.print(result, as_json, "{name}: plan {plan}, available {available} tokens")


@admin.command()
@click.argument("customer")
@click.argument("tokens", type=click.IntRange(min=1))
@click.option("--reason", default="grant", show_default=True)
@_REFERENCE
@JSON_OPTION
@click.pass_obj
def grant(obj: Database, customer: str, tokens: int, reason: str, reference: str | None, as_json: bool) -> None:
    """Give tokens to a customer (id or name)."""
    with administration() as gateway:
        result = gateway.grant(obj.db, customer, tokens, reason, reference)
    obj.print(result, as_json, "available {available} tokens")


@admin.command(context_settings={"ignore_unknown_options": True})
@click.argument("customer")
@click.argument("tokens", type=int)
@_REASON
@_REFERENCE
@JSON_OPTION
@click.pass_obj
def adjust(obj: Database, customer: str, tokens: int, reason: str, reference: str | None, as_json: bool) -> None:
    """Correct a customer's balance (id or name), up or down."""
    with administration() as gateway:
        result = gateway.adjust(obj.db, customer, tokens, reason, reference)
    obj.print(result, as_json, "available {available} tokens")


@admin.command()
@click.argument("job_id")
@click.argument("tokens", type=click.IntRange(min=1), required=False)
@_REASON
@_REFERENCE
@JSON_OPTION
@click.pass_obj
def refund(obj: Database, job_id: str, tokens: int | None, reason: str, reference: str | None, as_json: bool) -> None:
    """Give back what a job was charged, all of it or a part."""
    with administration() as gateway:
        result = gateway.refund(obj.db, job_id, tokens, reason, reference)
    obj.print(result, as_json, "{name}: available {available} tokens")


@admin.group("price-book")
def price_book() -> None:
    """Price books. One that is in force never changes."""


@price_book.command("list")
@JSON_OPTION
@click.pass_obj
def list_books(obj: Database, as_json: bool) -> None:
    """List the price books that are or were in force."""
    with administration() as gateway:
        result = gateway.list_books(obj.db)
    obj.print_rows(result, as_json, "price_books", ("id", "created_at_ms"))


@price_book.command("add")
@click.argument("file", type=_TOML)
@JSON_OPTION
@click.pass_obj
def add_book(obj: Database, file: Path, as_json: bool) -> None:
    """Put a price book in force, for good. Try it first with 'simulate'."""
    with administration() as gateway:
        result = gateway.add_book(obj.db, file.read_text(encoding="utf-8"))
    obj.print(result, as_json, "{price_book} is in force")


@admin.group()
def job() -> None:
    """Jobs of all customers."""


@job.command("list")
@click.option("--customer", help="Id or name.")
@click.option("--state", type=click.Choice(["queued", "running", "completed", "cancelled", "failed"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@JSON_OPTION
@click.pass_obj
def list_jobs(obj: Database, customer: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with administration() as gateway:
        result = gateway.list_jobs(obj.db, customer, state, limit)
    columns = ("id", "state", "created_at", "chunks_delivered", "chunks", "tokens_quoted", "tokens_charged")
    obj.print_rows(result, as_json, "jobs", columns)


@job.command("cancel")
@click.argument("job_id")
@JSON_OPTION
@click.pass_obj
def cancel_job(obj: Database, job_id: str, as_json: bool) -> None:
    """End a job, charged for what was delivered."""
    with administration() as gateway:
        result = gateway.cancel_job(obj.db, job_id)
    obj.print(result, as_json, "{id} is {state}, {tokens_charged} tokens charged")


@admin.group()
def hold() -> None:
    """Tokens set aside for jobs."""


@hold.command("list")
@JSON_OPTION
@click.pass_obj
def list_holds(obj: Database, as_json: bool) -> None:
    """List open holds; those that expire first come first."""
    with administration() as gateway:
        result = gateway.list_holds(obj.db)
    columns = ("hold_id", "customer_id", "job_id", "amount", "posted", "expires_at_ms")
    obj.print_rows(result, as_json, "holds", columns)


@hold.command("void")
@click.argument("hold_id")
@_REASON
@JSON_OPTION
@click.pass_obj
def void_hold(obj: Database, hold_id: str, reason: str, as_json: bool) -> None:
    """Free what a hold has not posted, and end its job."""
    with administration() as gateway:
        result = gateway.void_hold(obj.db, hold_id, reason)
    obj.print(result, as_json, "{hold_id} is {state}")
