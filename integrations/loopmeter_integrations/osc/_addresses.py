"""What the table of the protocol means for one message: its arguments read, its mistakes worded, the documentation.

Numbers are taken in either form: Pure Data sends all of them as floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from loopmeter_integrations.osc._codec import Argument, encode_message
from loopmeter_integrations.osc._table import (
    ERROR_CODES,
    ID,
    OPTIONS,
    REPLIES,
    REQUESTS,
    Kind,
    Parameter,
    Request,
)

ID_CHARACTERS_MAX = 120
PORT_MAX = 65_535

Value = str | int | float

_EXPECTED: dict[Kind, str] = {"s": "a string", "i": "a whole number", "f": "a number"}


class BadArguments(Exception):
    """The arguments are not those of the address. The message says which, what was expected, what was found."""


def request_id(first: Argument) -> str | None:
    """The caller's id, or ``None`` if that argument cannot be one. A number becomes its text: 7 and 7.0 are ``7``."""
    if isinstance(first, bool) or not isinstance(first, str | int | float):
        return None
    if isinstance(first, float) and math.isfinite(first) and first == int(first):
        first = int(first)
    text = str(first)
    return text if 0 < len(text) <= ID_CHARACTERS_MAX else None


def parse_arguments(request: Request, arguments: Sequence[Argument]) -> dict[str, Value]:
    """Names to values: all parameters, and those options that were given.

    Raises:
        BadArguments: naming the first argument that is wrong.
    """
    expected = _signature(request.parameters)
    required = len(request.parameters)
    if len(arguments) < required:
        missing = request.parameters[len(arguments)]
        raise BadArguments(
            f"{missing.name}: expected {_EXPECTED[missing.kind]} as argument {len(arguments) + 1}, found none; "
            f"send {request.address} {expected}"
        )
    values: dict[str, Value] = {}
    for parameter, argument in zip(request.parameters, arguments, strict=False):
        values[parameter.name] = _convert(parameter, argument)
    rest = arguments[required:]
    for name, argument in zip(rest[::2], rest[1::2], strict=False):
        if not isinstance(name, str) or name not in request.options:
            raise BadArguments(
                f"options: expected one of {', '.join(request.options)} with a value behind it, found {_found(name)}"
            )
        if name in values:
            raise BadArguments(f"{name}: expected it once, found it twice")
        value = values[name] = _convert(OPTIONS[name], argument)
        if name == "reply_port" and not (isinstance(value, int) and 1 <= value <= PORT_MAX):
            raise BadArguments(f"reply_port: expected 1 to {PORT_MAX}, found {_found(argument)}")
    if len(rest) % 2:
        raise BadArguments(
            f"options: expected pairs of a name and a value after {request.address} {expected}, "
            f"found {_found(rest[-1])} alone at the end"
        )
    return values


def encode_reply(address: str, values: Sequence[Value]) -> bytes:
    """A reply as a datagram, its arguments in the order and types of ``REPLIES``."""
    types = "".join(parameter.kind for parameter in REPLIES[address].parameters)
    return encode_message(address, types, values)


def markdown_tables() -> str:
    """The tables of ``docs/integrations/osc.md``."""
    lines = ["| send | answers | what it does |", "| --- | --- | --- |"]
    for request in REQUESTS.values():
        options = " `[s:name value …]`" if len(request.options) > 1 else " `[reply_port i]`"
        answers = ", ".join(f"`{answer}`" for answer in request.answers)
        lines.append(f"| `{request.address} {_signature(request.parameters)}`{options} | {answers} | {request.text} |")
    lines += ["", "| answer | meaning |", "| --- | --- |"]
    for reply in REPLIES.values():
        lines.append(f"| `{reply.address} {_signature(reply.parameters)}` | {reply.text} |")
    lines += ["", "| option | type | meaning |", "| --- | --- | --- |"]
    for option in OPTIONS.values():
        lines.append(f"| `{option.name}` | `{option.kind}` | {option.text} |")
    lines += ["", "| code | meaning |", "| --- | --- |"]
    for code, text in ERROR_CODES.items():
        lines.append(f"| `{code}` | {text} |")
    return "\n".join(lines) + "\n"


def _signature(parameters: Sequence[Parameter]) -> str:
    return " ".join(f"{parameter.kind}:{parameter.name}" for parameter in parameters)


def _convert(parameter: Parameter, argument: Argument) -> Value:
    """The argument as the table's type. A whole float may stand for ``i``, an int for ``f``; ids may be numbers."""
    if parameter is ID:
        text = request_id(argument)
        if text is not None:
            return text
        raise BadArguments(f"id: expected 1 to {ID_CHARACTERS_MAX} characters or a number, found {_found(argument)}")
    number = None if isinstance(argument, bool) or not isinstance(argument, int | float) else argument
    if parameter.kind == "s" and isinstance(argument, str):
        return argument
    if parameter.kind == "f" and number is not None and math.isfinite(number):
        return float(number)
    if parameter.kind == "i" and number is not None and math.isfinite(number) and number == int(number):
        return int(number)
    raise BadArguments(f"{parameter.name}: expected {_EXPECTED[parameter.kind]}, found {_found(argument)}")


def _found(argument: Argument) -> str:
    """A short description; never the contents of an array, which may be nested without end."""
    if isinstance(argument, str):
        return f"the string {argument[:40]!r}"
    if argument is None or isinstance(argument, bool):
        return {None: "nil", True: "true", False: "false"}[argument]
    if isinstance(argument, int | float):
        return f"the number {argument:g}"
    if isinstance(argument, bytes):
        return f"a blob of {len(argument)} bytes"
    return "an array"
