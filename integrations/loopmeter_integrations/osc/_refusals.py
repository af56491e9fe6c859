"""Why something was not done, as a code and a sentence for ``/loopmeter/error``."""

from __future__ import annotations

import logging

from loopmeter import APIError, BudgetExceeded, ConnectionFailed, InvalidRequest, LoopmeterError, StreamInterrupted
from loopmeter_integrations.osc import _work
from loopmeter_integrations.osc._addresses import BadArguments
from loopmeter_integrations.osc._limits import CapReached
from loopmeter_integrations.osc._live import UnknownControl

log = logging.getLogger("loopmeter.osc")


class Refusal(Exception):
    """The request cannot be met. ``code`` is one of the table; ``message`` says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def explain(error: Exception) -> tuple[str, str]:
    """The code and the message for an error of the SDK or of the disk. Fields are named as in the address table."""
    if isinstance(error, InvalidRequest) and error.errors:
        names = {field: argument for argument, field in _work.FIELD_OF_ARGUMENT.items()}
        parts = [f"{names.get(e.field, e.field)}: expected {e.expected}, found {e.found}" for e in error.errors]
        return "bad_arguments", "; ".join(parts)
    if isinstance(error, APIError | Refusal):
        return error.code, error.message
    if isinstance(error, CapReached):
        return error.code, str(error)
    if isinstance(error, BadArguments | UnknownControl):
        return "bad_arguments", str(error)
    if isinstance(error, BudgetExceeded):
        return "over_budget", error.message
    if isinstance(error, ConnectionFailed | StreamInterrupted):
        return "unreachable", error.message
    if isinstance(error, LoopmeterError):
        return "failed", error.message
    if isinstance(error, OSError):
        return "cannot_write", f"expected a folder that can be written, found: {error}; check its rights and its space"
    log.error("fault of the bridge", exc_info=error)
    return "internal", f"the bridge failed with {type(error).__name__}; its log has the details"
