"""What an operator does to customers, tokens, prices and jobs: on the gateway's database, also while it runs.

Keys are in ``_keys.py``, reports in ``_reports.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from loopmeter._cli._operator import DEFAULT_DB, needs
from loopmeter._cli._table import print_table

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
        shown = {name: "-" if value is None else value for name, value in result.items()}
        click.echo(json.dumps(result) if as_json or self._as_json else sentence.format(**shown))

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
        shown = list(result[key] if rows is None else rows)
        table = Table(box=None)
        for column in columns:
            # An id is there to be copied, a number to be compared.
            counts = not column.endswith("at_ms") and all(isinstance(row[column], int) for row in shown)
            table.add_column(
                column.removesuffix("_ms"), justify="right" if counts else "left", no_wrap=column.endswith("id")
            )
        for row in shown:
            table.add_row(*(Text(_shown(row[column], column)) for column in columns))
        print_table(table)


def _shown(value: object, column: str) -> str:
    if isinstance(value, int) and column.endswith("at_ms"):
        return datetime.fromtimestamp(value // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
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


def answers(
    sentence: str = "", *, rows: str = "", columns: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """A command that prints what the gateway's own functions answer: as a sentence, or the ``rows`` of it as a table.

    The function below it is given those functions and the address of the database before its arguments.
    """

    def decorated(ask: Callable[..., Any]) -> Callable[..., None]:
        @JSON_OPTION
        @click.pass_obj
        @wraps(ask)
        def command(obj: Database, /, as_json: bool, **arguments: Any) -> None:
            with administration() as gateway:
                result = ask(gateway, obj.db, **arguments)
            if rows:
                obj.print_rows(result, as_json, rows, columns)
            else:
                obj.print(result, as_json, sentence)

        return command

    return decorated


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
@answers("customer {customer_id}")
def create_customer(gateway: Any, db: str, name: str, plan: str, price_book: str | None) -> Any:
    """Make a customer, with what its plan grants for this month."""
    return gateway.create_customer(db, name, plan, price_book)


@customer.command("list")
@answers(rows="customers", columns=("customer_id", "name", "plan", "price_book", "available", "held", "posted"))
def list_customers(gateway: Any, db: str) -> Any:
    """List customers and their balances."""
    return gateway.list_customers(db)


@customer.command("show")
@click.argument("customer")
@answers("{customer_id} {name}: plan {plan}, price book {price_book}; available {available}, held {held} tokens")
def show_customer(gateway: Any, db: str, customer: str) -> Any:
    """Show a customer (id or name) and its balance."""
    return gateway.show_customer(db, customer)


@customer.command("set")
@click.argument("customer")
@click.option("--plan", help="From the next quote on.")
@click.option("--price-book", help="From the next quote on; 'gateway' for that of the gateway.")
@answers("{name}: plan {plan}, price book {price_book}; available {available} tokens")
def set_terms(gateway: Any, db: str, customer: str, plan: str | None, price_book: str | None) -> Any:
    """Give a customer (id or name) another plan or price book."""
    if plan is None and price_book is None:
        raise click.UsageError("expected --plan or --price-book, found neither")
    return gateway.set_terms(db, customer, plan, price_book)


@admin.command()
@click.argument("customer")
@click.option("--until", type=Moment(), help="Only what was before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@answers(rows="entries", columns=("at_ms", "kind", "tokens", "job_id", "chunks", "reason", "actor", "reference"))
def entries(gateway: Any, db: str, customer: str, until: datetime | None, limit: int) -> Any:
    """List what moved the tokens of a customer (id or name), newest first; the charges of a job are one."""
    return gateway.list_entries(db, customer, limit, until)


@admin.command()
@click.argument("customer")
@click.argument("tokens", type=click.IntRange(min=1))
@click.option("--reason", default="grant", show_default=True)
@_REFERENCE
@answers("available {available} tokens")
def grant(gateway: Any, db: str, customer: str, tokens: int, reason: str, reference: str | None) -> Any:
    """Give tokens to a customer (id or name)."""
    return gateway.grant(db, customer, tokens, reason, reference)


@admin.command(context_settings={"ignore_unknown_options": True})
@click.argument("customer")
@click.argument("tokens", type=int)
@_REASON
@_REFERENCE
@answers("available {available} tokens")
def adjust(gateway: Any, db: str, customer: str, tokens: int, reason: str, reference: str | None) -> Any:
    """Correct a customer's balance (id or name), up or down."""
    return gateway.adjust(db, customer, tokens, reason, reference)


@admin.command()
@click.argument("job_id")
@click.argument("tokens", type=click.IntRange(min=1), required=False)
@_REASON
@_REFERENCE
@answers("{name}: available {available} tokens")
def refund(gateway: Any, db: str, job_id: str, tokens: int | None, reason: str, reference: str | None) -> Any:
    """Give back TOKENS of what a job was charged, or all that is left of it."""
    return gateway.refund(db, job_id, tokens, reason, reference)


@admin.group("price-book")
def price_book() -> None:
    """Price books. One that is in force never changes."""


@price_book.command("list")
@answers(rows="price_books", columns=("id", "created_at_ms"))
def list_books(gateway: Any, db: str) -> Any:
    """List the price books that are or were in force."""
    return gateway.list_books(db)


@price_book.command("show")
@click.argument("name")
@answers("{toml}")
def show_book(gateway: Any, db: str, name: str) -> Any:
    """Print a price book, shipped or in force, with its plans."""
    return gateway.show_book(db, name)


@price_book.command("add")
@click.argument("file", type=_TOML)
@answers("{price_book} is in force")
def add_book(gateway: Any, db: str, file: Path) -> Any:
    """Put a price book in force, for good. Try it first with 'simulate'."""
    return gateway.add_book(db, file.read_text(encoding="utf-8"))


@admin.group()
def job() -> None:
    """Jobs of all customers."""


@job.command("list")
@click.option("--customer", help="Id or name.")
@click.option("--state", type=click.Choice(["queued", "running", "completed", "cancelled", "failed"]))
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@answers(
    rows="jobs",
    columns=(
        "id",
        "customer_id",
        "state",
        "created_at",
        "chunks_delivered",
        "chunks",
        "tokens_quoted",
        "tokens_charged",
    ),
)
def list_jobs(gateway: Any, db: str, customer: str | None, state: str | None, limit: int) -> Any:
    """List jobs, newest first."""
    return gateway.list_jobs(db, customer, state, limit)


@job.command("cancel")
@click.argument("job_id")
@answers("{id} is {state}, {tokens_charged} tokens charged")
def cancel_job(gateway: Any, db: str, job_id: str) -> Any:
    """End a job, charged for what was delivered."""
    return gateway.cancel_job(db, job_id)


@admin.group()
def hold() -> None:
    """Tokens set aside for jobs."""


@hold.command("list")
@answers(rows="holds", columns=("hold_id", "customer_id", "job_id", "amount", "posted", "expires_at_ms"))
def list_holds(gateway: Any, db: str) -> Any:
    """List open holds; those that expire first come first."""
    return gateway.list_holds(db)


@hold.command("void")
@click.argument("hold_id")
@_REASON
@answers("{hold_id} is {state}")
def void_hold(gateway: Any, db: str, hold_id: str, reason: str) -> Any:
    """Free what a hold has not posted, and end its job."""
    return gateway.void_hold(db, hold_id, reason)
