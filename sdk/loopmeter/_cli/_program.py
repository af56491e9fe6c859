"""All commands under one name, and what the program says and returns when one of them fails."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Never

import click

from loopmeter._cli import _bake, _commands, _operator
from loopmeter._exceptions import (
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    LoopmeterError,
    StreamInterrupted,
)

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the gateway refused, or the loop did not complete
  2    wrong use of the command, or a wrong field
  3    the price is above --max-tokens or above the balance
  4    the gateway cannot be reached
  130  interrupted; a loop in the making was cancelled
"""


class _Program(click.Group):
    """Every error becomes one sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LoopmeterError as error:
            _fail(ctx, str(error), exit_code(error))
        except KeyboardInterrupt:
            _fail(ctx, "interrupted", 130)


def exit_code(error: LoopmeterError) -> int:
    """The exit code for an error, as ``EXIT_CODES`` says."""
    match error:
        case InvalidRequest():
            return 2
        case BudgetExceeded() | InsufficientTokens():
            return 3
        case ConnectionFailed() | StreamInterrupted():
            return 4
        case _:
            return 1


def _fail(ctx: click.Context, message: str, code: int) -> Never:
    click.echo(f"loopmeter: {message}", err=True)
    ctx.exit(code)


@click.group(cls=_Program, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("loopmeter"), prog_name="loopmeter")
def program() -> None:
    """Music loops on tap, with the price before the call.

    LOOPMETER_URL names the gateway (default http://127.0.0.1:8130), LOOPMETER_API_KEY holds the key.
    """


for command in (
    _commands.loop,
    _commands.quote,
    _commands.usage,
    _bake.bake,
    _operator.serve,
    _operator.bridge,
    _operator.engines,
    _operator.admin,
):
    program.add_command(command)
