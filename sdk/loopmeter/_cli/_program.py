"""All commands under one name, and what the program says and returns when one of them fails."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Never

import click

from loopmeter._cli import (
    _account,
    _adapters,
    _admin,
    _bake,
    _cache,
    _commands,
    _completion,
    _engines,
    _keys,
    _operator,
    _reports,
)
from loopmeter._cli._options import OPTION_OF_FIELD
from loopmeter._exceptions import (
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    LoopmeterError,
    StreamInterrupted,
)
from loopmeter._settings import installed_version

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
    """Every error becomes one sentence on stderr and an exit code; with ``--json`` one object on stdout instead."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LoopmeterError as error:
            names = _NAME_IN_MUSIC_FILE if ctx.invoked_subcommand == "bake" else OPTION_OF_FIELD
            self._end(ctx, _sentence(error, names), exit_code(error), _fields(error))
        except KeyboardInterrupt:
            self._end(ctx, "interrupted", 130, {"code": "interrupted"})
        except click.ClickException as error:
            if not ctx.meta[_AS_JSON]:
                raise
            self._end(ctx, error.format_message(), error.exit_code, {"code": "usage"})

    def _end(self, ctx: click.Context, message: str, code: int, fields: dict[str, object]) -> Never:
        if ctx.meta[_AS_JSON]:
            click.echo(json.dumps({"error": {"message": message, **fields, "exit_code": code}}))
        else:
            click.echo(f"loopmeter: {message}", err=True)
        ctx.exit(code)


_AS_JSON = "loopmeter.as_json"
_NAME_IN_MUSIC_FILE = {
    "midi_base64": "midi",
    "source_audio_base64": "source",
    "reference_audio_base64": "reference",
}


def _sentence(error: LoopmeterError, names: Mapping[str, str]) -> str:
    """``names`` says what the user calls the fields of a request."""
    what = str(error)
    for field, name in names.items():
        what = re.sub(rf"\b{field}: ", f"{name}: ", what)
    parts = [what, *getattr(error, "__notes__", ())]
    if error.retryable and error.idempotency_key is not None:
        parts.append(f"run it again with --idempotency-key {error.idempotency_key}: nothing is made or charged twice")
    return "; ".join(parts)


def _fields(error: LoopmeterError) -> dict[str, object]:
    """An error as a program reads it."""
    return {
        "code": error.code,
        "advice": error.advice,
        "status": error.status,
        "request_id": error.request_id,
        "retryable": error.retryable,
        "idempotency_key": error.idempotency_key,
        "errors": [field.model_dump() for field in error.errors] if isinstance(error, InvalidRequest) else [],
    }


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


@click.group(cls=_Program, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version(), prog_name="loopmeter")
@click.option("-v", "--verbose", is_flag=True, help="Log every call to stderr; keys are never shown.")
@click.pass_context
def program(ctx: click.Context, verbose: bool) -> None:
    """Music loops on tap, with the price before the call.

    LOOPMETER_URL names the gateway (default http://127.0.0.1:8130), LOOPMETER_API_KEY holds the key.
    """
    if verbose or sys.stderr.isatty():  # Who waits at a terminal is told what for.
        ctx.with_resource(_logged(logging.DEBUG if verbose else logging.INFO))


@contextmanager
def _logged(level: int) -> Iterator[None]:
    log, handler = logging.getLogger("loopmeter"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("loopmeter: %(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


for command in (
    _commands.loop,
    _commands.quote,
    _commands.usage,
    _account.preview,
    _account.balance,
    _account.models,
    _account.prices,
    _account.job,
    _account.cancel,
    _completion.completion,
    _bake.bake,
    _cache.cache,
    _operator.serve,
    _operator.bridge,
    _engines.engines,
    _engines.engine,
    _engines.conform,
    _admin.admin,
    _adapters.adapters,
    _adapters.adapter,
):
    program.add_command(command)
for part in (_keys.key, _reports.audit, _reports.margin, _reports.simulate, _reports.export, _reports.outbox):
    _admin.admin.add_command(part)
