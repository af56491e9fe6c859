"""What an operator reads and sends on: audit, margin, simulation, exports. ``_admin.py`` has the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from loopmeter._cli._admin import JSON_OPTION, Database, Moment, administration

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Money(click.ParamType[int]):
    """An amount such as 1.25, as millionths."""

    name = "AMOUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            micros = Decimal(str(value)) * 1_000_000
        except InvalidOperation:
            micros = Decimal(-1)
        if micros < 0 or micros != micros.to_integral_value():
            self.fail(f"expected an amount such as 1.25, with at most six decimals, found {value!r}", param, ctx)
        return int(micros)


def _period(command: _Command) -> _Command:
    for name, text in (("--until", "Jobs that ended before."), ("--since", "Jobs that ended from then on.")):
        command = click.option(name, type=Moment(), help=text)(command)
    return command


def _rates(command: _Command) -> _Command:
    for name, text in (
        ("--device-hour", "What an hour of the device costs."),
        ("--token-price", "What one token is sold for, in the same money."),
    ):
        command = click.option(name, type=_Money(), default="0", help=text)(command)
    return command


@click.command()
@JSON_OPTION
@click.pass_obj
def audit(obj: Database, as_json: bool) -> None:
    """Add up the books anew. Exit code 1 if a balance is not explained by its entries."""
    with administration() as gateway:
        result = gateway.audit(obj.db)
    obj.print(result, as_json, "sum {posted_sum}, open holds {open_holds}")
    if result["faults"] or result["posted_sum"]:
        raise click.ClickException("; ".join(result["faults"]) or "the entries do not sum to zero")


@click.command()
@_period
@_rates
@JSON_OPTION
@click.pass_obj
def margin(obj: Database, /, since: datetime | None, until: datetime | None, as_json: bool, **rates: int) -> None:
    """Show tokens sold against device seconds and their cost, per model, plan and customer.

    Revenue and margin are what is left after refunds.
    """
    with administration() as gateway:
        result = gateway.margin(obj.db, since, until, _rates_of(rates))
    rows = [
        row | {name: _money(row[f"{name}_micros"]) for name in ("revenue", "cost", "margin")} for row in result["rows"]
    ]
    columns = ("model", "plan", "customer", "jobs", "tokens_sold", "tokens_refunded", "device_seconds")
    shown = result if as_json else {"rows": rows}
    obj.print_rows(shown, as_json, "rows", (*columns, "revenue", "cost", "margin"))


@click.command()
@click.argument("price_book")
@_period
@_rates
@JSON_OPTION
@click.pass_obj
def simulate(
    obj: Database, /, price_book: str, since: datetime | None, until: datetime | None, as_json: bool, **rates: int
) -> None:
    """Price past usage again, under another book: a name, or a TOML file. Nothing changes.

    Refunds are left out, before and after: compare with 'margin' only where there were none.
    """
    with administration() as gateway:
        text = Path(price_book).read_text(encoding="utf-8") if price_book.endswith(".toml") else price_book
        result = gateway.simulate(obj.db, text, since, until, _rates_of(rates))
    columns = ("name", "jobs", "seconds", "tokens_before", "tokens_after", "percent")
    rows = [*result["customers"], *result["lengths"], result["total"]]
    obj.print_rows(result, as_json, "total", columns, rows)
    if not as_json and any(rates.values()):
        before, after = (_money(result[f"margin_{side}_micros"]) for side in ("before", "after"))
        click.echo(f"margin {before} -> {after} (cost {_money(result['cost_micros'])}; refunds are not taken off)")


def _rates_of(rates: dict[str, int]) -> Any:
    from loopmeter_gateway.money.reports import Rates

    return Rates(token_micros=rates["token_price"], device_hour_micros=rates["device_hour"])


def _money(micros: int) -> str:
    return f"{Decimal(micros) / 1_000_000:.2f}"


@click.command()
@_period
@click.option("-o", "--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="CSV file.")
@click.pass_obj
def export(obj: Database, since: datetime | None, until: datetime | None, output: Any) -> None:
    """Write what was made and paid as CSV, job by job."""
    with administration() as gateway:
        gateway.export_csv(obj.db, since, until, output)


@click.group()
def outbox() -> None:
    """Usage events for billing systems (CloudEvents): each is sent at least once, under an id that stays."""


@outbox.command("show")
@click.option("--target", default="openmeter", show_default=True, help="Whose next events.")
@click.pass_obj
def show_outbox(obj: Database, target: str) -> None:
    """Print the events that a target would be sent next, as a JSON object."""
    with administration() as gateway:
        click.echo(json.dumps(gateway.pending_events(obj.db, target)))


@outbox.command("send")
@click.option("--target", type=click.Choice(["openmeter", "stripe"]), required=True)
@click.option("--url", required=True, help="The target's address.")
@click.option("--token-env", default="LOOPMETER_TARGET_TOKEN", show_default=True, help="Variable with its token.")
@JSON_OPTION
@click.pass_obj
def send_outbox(obj: Database, target: str, url: str, token_env: str, as_json: bool) -> None:
    """Send what the target has not taken yet. Run it from a timer; what fails is sent again."""
    with administration() as gateway:
        from loopmeter_gateway.money.targets import TARGETS, TargetFailed

        taker = TARGETS[target](url, os.environ.get(token_env, ""))
        try:
            result = gateway.send_outbox(obj.db, target, taker)
        except TargetFailed as error:
            raise click.ClickException(str(error)) from error
    obj.print(result, as_json, "{sent} events sent")
