"""What an operator does to API keys: on the gateway's database, also while it runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from loopmeter._cli._admin import Moment, answers


@click.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.argument("customer")
@click.option("--name", default="", help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(["make", "read"]), help="Default: both.")
@click.option("--expires", type=Moment(), help="Default: never.")
@click.option("--day-tokens", type=click.IntRange(min=0), help="Most that it may spend in a day (UTC).")
@click.option("--month-tokens", type=click.IntRange(min=0), help="Most that it may spend in a month (UTC).")
@answers("{key}")
def create_key(
    gateway: Any,
    db: str,
    customer: str,
    name: str,
    scopes: tuple[str, ...],
    expires: datetime | None,
    day_tokens: int | None,
    month_tokens: int | None,
) -> Any:
    """Make a key for a customer (id or name). It is shown this once."""
    from loopmeter_gateway.accounts.keys import KeySpec, key_scopes
    from loopmeter_gateway.clock import to_ms

    expires_at_ms = None if expires is None else to_ms(expires)
    spec = KeySpec(name, key_scopes(scopes or ("make", "read")), expires_at_ms, day_tokens, month_tokens)
    return gateway.create_key(db, customer, spec)


@key.command("create-admin")
@answers("{key}")
def create_admin_key(gateway: Any, db: str) -> Any:
    """Make a key for the addresses under /admin. It is shown this once."""
    return gateway.create_admin_key(db)


@key.command("list")
@click.argument("customer", required=False)
@answers(
    rows="keys",
    columns=(
        "id",
        "name",
        "scopes",
        "state",
        "expires_at_ms",
        "last_used_at_ms",
        "day_tokens_max",
        "month_tokens_max",
    ),
)
def list_keys(gateway: Any, db: str, customer: str | None) -> Any:
    """List the keys of a customer (id or name), or without one those of operators."""
    return gateway.list_keys(db, customer)


@key.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=click.IntRange(min=0), default=86_400, show_default=True, help="Seconds that both work."
)
@answers("{key}")
def rotate_key(gateway: Any, db: str, key_id: str, overlap: int) -> Any:
    """Make a key's successor. It is shown this once; the old key ends after the overlap."""
    return gateway.rotate_key(db, key_id, overlap)


@key.command("revoke")
@click.argument("key_id")
@answers("{id} is {state}")
def revoke_key(gateway: Any, db: str, key_id: str) -> Any:
    """End a key and its client tokens at once."""
    return gateway.revoke_key(db, key_id)


@key.command("budget")
@click.argument("key_id")
@click.option("--day-tokens", type=click.IntRange(min=0), help="Default: all there is.")
@click.option("--month-tokens", type=click.IntRange(min=0), help="Default: all there is.")
@answers("{id}: day {day_tokens_max}, month {month_tokens_max}")
def set_budget(gateway: Any, db: str, key_id: str, day_tokens: int | None, month_tokens: int | None) -> Any:
    """Set what a key, its successors and their client tokens may spend."""
    return gateway.set_budget(db, key_id, day_tokens, month_tokens)
