"""``loopmeter bake``: the price of a game's music first, then the music."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loopmeter._cli._options import URL_OPTION, client_of
from loopmeter._cli._prediction import making_s, seconds
from loopmeter._cli._table import print_table
from loopmeter._exceptions import LoopmeterError
from loopmeter._models import ChunkMeter
from loopmeter.bake import BakePlan, InvalidMusicFile, Pack, PlannedItem, load_music, plan_bake
from loopmeter.bake import bake as bake_pack


@click.command()
@click.argument("music", type=click.Path(dir_okay=False, path_type=Path), default="music.toml")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="The pack's folder; default: its name."
)
@click.option("--max-tokens", type=click.IntRange(min=0), help="Budget of this bake; default: max_tokens of the file.")
@click.option("--yes", is_flag=True, help="Take the price that is shown, whatever it is.")
@click.option("--dry-run", is_flag=True, help="Show what would be made and what it would cost; make nothing.")
@click.option("--fresh", is_flag=True, help="Make everything anew, changed or not.")
@click.option("--prune", is_flag=True, help="Remove files of the former pack that nobody wants any more.")
@click.option("--jobs", type=click.IntRange(1, 16), default=2, show_default=True, help="Loops made at a time.")
@URL_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bake(
    music: Path,
    output: Path | None,
    max_tokens: int | None,
    yes: bool,
    dry_run: bool,
    fresh: bool,
    prune: bool,
    jobs: int,
    url: str | None,
    as_json: bool,
) -> None:
    """Render the loops and stems of MUSIC (a TOML file) into a folder for a game.

    Only what is new or has changed is made, and paid. The price is shown before anything is ordered; give a budget
    with --max-tokens or in the file, or agree to the price.
    """
    try:
        wanted = load_music(music)
        with client_of(url) as client:
            plan = plan_bake(client, wanted, output or Path(wanted.pack.name), fresh=fresh)
            budget = max_tokens if max_tokens is not None else wanted.pack.max_tokens
            if not as_json:
                _show(plan, budget, client.balance().available)
            if dry_run:
                pack = None
            else:
                limit = plan.tokens if yes else _agreed(plan, budget, as_json)
                with _progress(plan, as_json) as on_chunk:
                    pack = bake_pack(client, plan, max_tokens=limit, jobs=jobs, prune=prune, on_chunk=on_chunk)
    except InvalidMusicFile as error:
        raise click.UsageError(error.message) from error
    except LoopmeterError as error:
        error.idempotency_key = None  # The pack's journal keeps the keys: running the same command again is enough.
        raise
    except OSError as error:
        raise click.ClickException(f"the pack cannot be written: {error}") from error
    if as_json:
        click.echo(json.dumps(_summary(plan, budget, pack)))
    elif pack is not None:
        click.echo(f"{plan.folder}: {len(pack.manifest.files())} files, {_charged(plan, pack)} tokens charged")


def _agreed(plan: BakePlan, budget: int | None, as_json: bool) -> int:
    """The budget, or the price if a person at the terminal agrees to it."""
    if budget is not None:
        return budget
    if plan.tokens == 0:
        return 0
    if as_json or not sys.stdin.isatty():
        raise click.UsageError(
            f"expected a budget for {plan.tokens} tokens, found none; pass --max-tokens {plan.tokens}, "
            "or --yes, or set max_tokens under [pack]"
        )
    click.confirm(f"Spend {plan.tokens} tokens?", abort=True)
    return plan.tokens


def _show(plan: BakePlan, budget: int | None, available: int) -> None:
    table = Table(box=None, show_footer=True)
    table.add_column("file", footer="in all")
    table.add_column("why")
    table.add_column("seconds", justify="right")
    table.add_column("tokens", justify="right", footer=str(plan.tokens))
    for planned in plan.items:
        quote = planned.quote
        length = f"{quote.frames / quote.sample_rate_hz:.1f}" if quote is not None else ""
        table.add_row(planned.item.file_stem, planned.reason, length, str(planned.tokens))
    print_table(table)
    ordered = [planned.quote for planned in plan.items if planned.quote is not None]
    if ordered and (work_s := making_s(ordered)) is not None:
        click.echo(f"predicted: about {seconds(work_s)} to make them, one after the other")
    limit = f", budget {budget}" if budget is not None else ""
    click.echo(f"available {available} tokens{limit}")
    if plan.orphans:
        click.echo(f"no longer wanted (--prune removes them): {', '.join(plan.orphans)}")


@contextmanager
def _progress(plan: BakePlan, as_json: bool) -> Iterator[Callable[[PlannedItem, ChunkMeter], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal, transient=True) as progress:
        task = progress.add_task("chunks", total=sum(one.quote.chunks for one in plan.items if one.quote is not None))
        yield lambda planned, _: progress.update(task, advance=1, description=planned.item.file_stem)


def _charged(plan: BakePlan, pack: Pack) -> int:
    files = pack.manifest.files()
    made = [one.item.file_stem for one in plan.items if one.quote is not None]
    return sum(files[file_stem].tokens_charged for file_stem in made)


def _summary(plan: BakePlan, budget: int | None, pack: Pack | None) -> dict[str, object]:
    files = pack.manifest.files() if pack is not None else {}
    return {
        "folder": str(plan.folder),
        "complete": pack is not None and pack.manifest.complete,
        "max_tokens": budget,
        "tokens_planned": plan.tokens,
        "tokens_charged": _charged(plan, pack) if pack is not None else 0,
        "orphans": list(plan.orphans),
        "files": [
            {
                "file": planned.item.file_stem,
                "reason": planned.reason,
                "tokens": planned.tokens,
                "frames": planned.quote.frames if planned.quote is not None else None,
                "path": files[planned.item.file_stem].audio.path if files else None,
            }
            for planned in plan.items
        ],
    }
