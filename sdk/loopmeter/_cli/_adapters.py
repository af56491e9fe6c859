"""Adapters: what brings loops into one program. Each is loaded only when it is called."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def adapters(as_json: bool) -> None:
    """List the adapters for DAWs and games that are installed. Loads none of them."""
    from loopmeter_integrations.adapters import adapter_names

    found = adapter_names()
    if as_json:
        click.echo(json.dumps({"adapters": [{"name": name, "target": target} for name, target in found.items()]}))
        return
    for name in found:
        click.echo(name)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def adapter(ctx: click.Context, name: str, arguments: tuple[str, ...]) -> None:
    """Bring a loop into one program; see: loopmeter adapter NAME --help."""
    from loopmeter_integrations.adapters import load_adapter

    ctx.exit(load_adapter(name)(arguments))
