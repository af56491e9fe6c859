"""What an operator does: run a gateway or a bridge, keep customers.

Each command loads the part that it starts only when it is called, because the library goes without them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from loopmeter._exceptions import LoopmeterError
from loopmeter._settings import api_key_or_environment, url_or_environment

_DEFAULT_DB = "sqlite:///loopmeter.db"
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Say which extra to install when a module is missing, and what is wrong with an address or a file."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"expected the module {error.name!r}, found none; install it with: pip install 'loopmeter[{extra}]'"
        ) from error
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8130, show_default=True, help="0 takes a free one.")
@click.option("--db", default=_DEFAULT_DB, show_default=True, help="Database address.")
@click.option(
    "--engine",
    default="loopmeter",
    show_default=True,
    help="loopmeter, fake, one that is installed, or http://HOST:PORT of one that is served.",
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder for encoded files.")
@click.option(
    "--engine-deadline",
    "deadline_s",
    type=click.FloatRange(min=0.1),
    help="Seconds that the engine gets for one chunk; default 120.",
)
def serve(host: str, port: int, db: str, engine: str, data: Path | None, deadline_s: float | None) -> None:
    """Run gateway and engine in one process, until SIGINT or SIGTERM."""
    with needs("engine,gateway"):
        from loopmeter_engine.contract import EngineError
        from loopmeter_gateway import server

        try:
            server.serve(host=host, port=port, db=db, engine=engine, data=data, deadline_s=deadline_s)
        except EngineError as error:
            raise click.ClickException(str(error)) from error


@click.command()
@click.option("--listen", default="127.0.0.1:9130", show_default=True, metavar="HOST:PORT", help="UDP and TCP address.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for loops.")
@click.option("--url", help="The gateway; default: LOOPMETER_URL.")
@click.option("--allow-remote", is_flag=True, help="Listen beyond loopback. Whoever reaches the port spends the key.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Hear only these, as 192.168.1.0/24. May be repeated.")
@click.option("--tokens-per-client-hour", type=click.IntRange(0), help="What one client may spend in an hour.")
@click.option("--tokens-per-hour", type=click.IntRange(0), help="What all clients together may spend in an hour.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Log every message to this file.")
@click.option("--replay", type=click.Path(dir_okay=False, path_type=Path), help="Ask again what such a log was asked.")
def bridge(
    listen: str,
    out: Path,
    url: str | None,
    allow_remote: bool,
    allow: tuple[str, ...],
    tokens_per_client_hour: int | None,
    tokens_per_hour: int | None,
    record: Path | None,
    replay: Path | None,
) -> None:
    """Answer OSC messages with loops, until SIGINT or SIGTERM."""
    with needs("osc"):
        from loopmeter_integrations.osc import BridgeSettings, parse_networks, run

        try:
            settings = BridgeSettings(
                allow=parse_networks(allow),
                tokens_per_client_hour=tokens_per_client_hour,
                tokens_per_hour=tokens_per_hour,
                record=record,
                replay=replay,
            )
            gateway, key = url_or_environment(url), api_key_or_environment(None)
            run(listen, out, gateway, key, allow_remote=allow_remote, settings=settings)
        except LoopmeterError as error:
            raise click.ClickException(str(error)) from error


@click.group()
@click.option("--db", default=_DEFAULT_DB, show_default=True, help="Database address of the gateway.")
@_JSON
@click.pass_context
def admin(ctx: click.Context, db: str, as_json: bool) -> None:
    """Keep customers, keys and tokens, also while the gateway runs."""
    ctx.obj = _Admin(db, as_json)


class _Admin:
    """The database that ``admin`` was called for, and how to print."""

    def __init__(self, db: str, as_json: bool) -> None:
        self.db = db
        self._as_json = as_json

    def print(self, result: dict[str, object], as_json: bool, sentence: str) -> None:
        click.echo(json.dumps(result) if as_json or self._as_json else sentence.format(**result))


@contextmanager
def _administration() -> Iterator[None]:
    with needs("gateway"):
        from loopmeter_gateway.problems import Refused

        try:
            yield
        except Refused as refused:
            raise click.ClickException(refused.detail) from refused


@admin.group()
def customer() -> None:
    """Customers."""


@customer.command("create")
@click.argument("name")
@click.option("--plan", default="standard", show_default=True)
@_JSON
@click.pass_obj
def create_customer(obj: _Admin, name: str, plan: str, as_json: bool) -> None:
    """Make a customer without tokens."""
    with _administration():
        from loopmeter_gateway import admin as gateway_admin

        result = gateway_admin.create_customer(obj.db, name, plan)
    obj.print(result, as_json, "customer {customer_id}")


@admin.group()
def key() -> None:
    """API keys."""


@key.command("create")
@click.argument("customer")
@_JSON
@click.pass_obj
def create_key(obj: _Admin, customer: str, as_json: bool) -> None:
    """Make a key for a customer (id or name). It is shown this once."""
    with _administration():
        from loopmeter_gateway import admin as gateway_admin

        result = gateway_admin.create_key(obj.db, customer)
    obj.print(result, as_json, "{key}")


@admin.command()
@click.argument("customer")
@click.argument("tokens", type=click.IntRange(min=1))
@_JSON
@click.pass_obj
def grant(obj: _Admin, customer: str, tokens: int, as_json: bool) -> None:
    """Give tokens to a customer (id or name)."""
    with _administration():
        from loopmeter_gateway import admin as gateway_admin

        result = gateway_admin.grant(obj.db, customer, tokens)
    obj.print(result, as_json, "available {available} tokens")
