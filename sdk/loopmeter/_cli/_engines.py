"""What an operator does with engines: list them, run one for another machine.

Each command loads the part that it starts only when it is called, because the library goes without them.
"""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Column, Table

from loopmeter._cli._operator import needs

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(invoke_without_command=True)
@click.option("--names", is_flag=True, help="Only what is installed; start none of them.")
@_JSON
@click.pass_context
def engines(ctx: click.Context, names: bool, as_json: bool) -> None:
    """List the engines that are installed: what each can do, where its weights are, or why it cannot run.

    Each is asked in a process of its own, so that one which breaks is a line of this list.
    """
    if ctx.invoked_subcommand is not None:
        return
    with needs("engine"):
        from loopmeter_engine.inspection import EngineDescription, describe_engines
        from loopmeter_engine.registry import engine_names
    found = [EngineDescription(entry) for entry in engine_names()] if names else describe_engines()
    if as_json:
        rows = [engine.entry._asdict() if names else engine.as_json() for engine in found]
        click.echo(json.dumps({"engines": rows}))
        return
    heads = ["name", "distribution", "version"] + ([] if names else ["licence", "can", "weights, or why it cannot run"])
    table = Table(*(Column(head, overflow="fold") for head in heads), box=None)
    for engine in found:
        entry = engine.entry
        licence = engine.licence + ("" if engine.commercial in (None, True) else " (non-commercial)")
        state = engine.problem or "; ".join(part for part in (engine.weights or "needs none", *engine.notes) if part)
        about = [] if names else [licence, ", ".join(engine.capabilities), state]
        table.add_row(entry.name, entry.distribution, entry.version, *about)
    Console().print(table)
