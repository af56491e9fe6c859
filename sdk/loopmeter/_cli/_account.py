"""What a customer reads and stops: prices of many loops, tokens, models, jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from loopmeter._cli._options import JSON_OPTION, URL_OPTION, client_of, given_options, request_options
from loopmeter._cli._prediction import making_s, seconds
from loopmeter._cli._table import print_table
from loopmeter._models import Job


@click.command()
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@request_options
@URL_OPTION
@JSON_OPTION
def preview(prompts: tuple[str, ...], url: str | None, as_json: bool, **options: Any) -> None:
    """Ask for the prices of several loops, with totals; nothing is held."""
    with client_of(url) as client:
        found = client.preview(prompts, **given_options(client, options))
        available = client.balance().available
    if as_json:
        items = [
            {"prompt": item.request.prompt, "quality": item.request.quality, **item.quote.model_dump(mode="json")}
            for item in found
        ]
        click.echo(json.dumps({"tokens": found.tokens, "duration_s": found.duration_s, "items": items}))
        return
    rows = found.rows()
    table = Table(box=None, show_footer=True)
    for name, total in zip(("prompt", "quality", "seconds", "tokens"), rows[-1], strict=True):
        table.add_column(name, total, justify="right" if name in ("seconds", "tokens") else "left")
    for row in rows[:-1]:
        table.add_row(*map(Text, row))
    print_table(table)
    if found and (work_s := making_s(item.quote for item in found)) is not None:
        click.echo(f"predicted: about {seconds(work_s)} to make them all, one after the other")
    left = available - found.tokens
    click.echo(f"{available} tokens available, " + (f"{left} left after all" if left >= 0 else f"{-left} too few"))


@click.command()
@URL_OPTION
@JSON_OPTION
def balance(url: str | None, as_json: bool) -> None:
    """Show the tokens: available, held and posted."""
    with client_of(url) as client:
        found = client.balance()
    click.echo(
        found.model_dump_json()
        if as_json
        else f"available {found.available}, held {found.held}, posted {found.posted} tokens"
    )


@click.command()
@URL_OPTION
@JSON_OPTION
def models(url: str | None, as_json: bool) -> None:
    """List the models that this key may use."""
    with client_of(url) as client:
        found = client.models()
    _print(
        found,
        as_json,
        "models",
        ("name", "version", "duration_s_max", "sample_rate_hz", "capabilities", "licence"),
    )


@click.command()
@URL_OPTION
@JSON_OPTION
def prices(url: str | None, as_json: bool) -> None:
    """Show the price book in force."""
    with client_of(url) as client:
        book = client.price_book()
    if as_json:
        click.echo(book.model_dump_json())
        return
    click.echo(
        f"{book.name}, version {book.version}: {book.base_tokens} tokens for up to {book.included_s} s, "
        f"then {book.extra_tokens_per_s} for each started second; hifi +{book.hifi_percent} %"
    )
    for peak in book.peaks:
        click.echo(f"from {peak.start} to {peak.end} {book.time_zone}: +{peak.percent} %")
    for plan in book.plans:
        discount = f"-{plan.discount_percent} %" if plan.discount_percent else "full price"
        click.echo(f"plan {plan.name}: {discount}, at most {plan.duration_s_max} s")


@click.command()
@click.argument("job_id", metavar="JOB")
@URL_OPTION
@JSON_OPTION
def job(job_id: str, url: str | None, as_json: bool) -> None:
    """Show a job: how far it is, and its bill."""
    with client_of(url) as client:
        _print_job(client.loops.get(job_id), as_json)


@click.command()
@click.argument("job_id", metavar="JOB")
@URL_OPTION
@JSON_OPTION
def cancel(job_id: str, url: str | None, as_json: bool) -> None:
    """Stop a job; what was delivered stays charged, the rest is free again."""
    with client_of(url) as client:
        _print_job(client.loops.cancel(job_id), as_json)


def _print_job(found: Job, as_json: bool) -> None:
    if as_json:
        click.echo(found.model_dump_json())
        return
    click.echo(
        f"{found.id} {found.state}: {found.chunks_delivered} of {found.chunks} chunks, "
        f"{found.tokens_charged} of {found.tokens_quoted} tokens charged"
    )


def _print(found: Sequence[BaseModel], as_json: bool, name: str, columns: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps({name: [entry.model_dump(mode="json") for entry in found]}))
        return
    table = Table(*columns, box=None)
    for entry in found:
        table.add_row(*(Text(_shown(getattr(entry, column))) for column in columns))
    print_table(table)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
