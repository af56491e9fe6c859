"""What an operator does to API keys: on the gateway's database, also while it runs."""

from __future__ import annotations

from datetime import datetime

import click

from loopmeter._cli._admin import JSON_OPTION, Database, Moment, administration


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
@JSON_OPTION
@click.pass_obj
def create_key(
    obj: Database,
    customer: str,
    name: str,
    scopes: tuple[str, ...],
    expires: datetime | None,
    day_tokens: int | None,
    month_tokens: int | None,
    as_json: bool,
) -> None:
    """Make a key for a customer (id or name). It is shown this once."""
    with administration() as gateway:
        from loopmeter_gateway.accounts.keys import KeySpec, key_scopes
        from loopmeter_gateway.clock import to_ms

        expires_at_ms = None if expires is None else to_ms(expires)
        spec = KeySpec(name, key_scopes(scopes or ("make", "read")), expires_at_ms, day_tokens, month_tokens)
        result = gateway.create_key(obj.db, customer, spec)
    obj.print(result, as_json, "{key}")


@key.command("create-admin")
@JSON_OPTION
@click.pass_obj
def create_admin_key(obj: Database, as_json: bool) -> None:
    """Make a key for the addresses under /admin. It is shown this once."""
    with administration() as gateway:
        result = gateway.create_admin_key(obj.db)
    obj.print(result, as_json, "{key}")


@key.command("list")
@click.argument("customer", required=False)
@JSON_OPTION
@click.pass_obj
def list_keys(obj: Database, customer: str | None, as_json: bool) -> None:
    """List the keys of a customer (id or name), or without one those of operators."""
    with administration() as gateway:
        result = gateway.list_keys(obj.db, customer)
    columns = (
        "id",
        "name",
        "scopes",
        "state",
        "expires_at_ms",
        "last_used_at_ms",
        "day_tokens_max",
        "month_tokens_max",
    )
    obj.print_rows(result, as_json, "keys", columns)


@key.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=click.IntRange(min=0), default=86_400, show_default=True, help="Seconds that both work."
)
@JSON_OPTION
@click.pass_obj
def rotate_key(obj: Database, key_id: str, overlap: int, as_json: bool) -> None:
    """Make a key's successor. It is shown this once; the old key ends after the overlap."""
    with administration() as gateway:
        result = gateway.rotate_key(obj.db, key_id, overlap)
    obj.print(result, as_json, "{key}")


@key.command("revoke")
@click.argument("key_id")
@JSON_OPTION
@click.pass_obj
def revoke_key(obj: Database, key_id: str, as_json: bool) -> None:
    """End a key and its client tokens at once."""
    with administration() as gateway:
        result = gateway.revoke_key(obj.db, key_id)
    obj.print(result, as_json, "{id} is {state}")


@key.command("budget")
@click.argument("key_id")
@click.option("--day-tokens", type=click.IntRange(min=0), help="Default: all there is.")
@click.option("--month-tokens", type=click.IntRange(min=0), help="Default: all there is.")
@JSON_OPTION
@click.pass_obj
def set_budget(obj: Database, key_id: str, day_tokens: int | None, month_tokens: int | None, as_json: bool) -> None:
    """Set what a key, its successors and their client tokens may spend."""
    with administration() as gateway:
        result = gateway.set_budget(obj.db, key_id, day_tokens, month_tokens)
    obj.print(result, as_json, "{id}: day {day_tokens_max}, month {month_tokens_max}")
