"""``loopmeter cache``: what was paid for before and is kept on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from loopmeter._cache import LoopCache
from loopmeter._cli._options import JSON_OPTION


@click.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Default: LOOPMETER_CACHE, or yours.")
@click.option("--clear", is_flag=True, help="Remove every loop from it.")
@JSON_OPTION
def cache(folder: Path | None, clear: bool, as_json: bool) -> None:
    """Show the cache of finished loops, or clear it."""
    kept = LoopCache(folder)
    removed = kept.clear() if clear else 0
    stats = kept.stats()
    if as_json:
        click.echo(json.dumps({"folder": str(kept.folder), "removed": removed, **stats._asdict()}))
    else:
        gone = f", {removed} removed" if clear else ""
        click.echo(f"{kept.folder}: {stats.entries} loops, {stats.bytes} of {stats.bytes_max} bytes{gone}")
