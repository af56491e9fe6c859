"""Completion in the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_WHERE = {
    "bash": 'eval "$(loopmeter completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(loopmeter completion zsh)" in ~/.zshrc',
    "fish": "loopmeter completion fish > ~/.config/fish/completions/loopmeter.fish",
}


@click.command(epilog="\b\nTo keep it:\n" + "\n".join(f"  {line}" for line in _WHERE.values()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "loopmeter", "_LOOPMETER_COMPLETE").source())
