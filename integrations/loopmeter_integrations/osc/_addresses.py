"""The protocol as one table: addresses, arguments, answers. It parses, words the errors, and writes the documentation.

Read ``REQUESTS``, ``REPLIES`` and ``OPTIONS`` first. Every address works with the types ``i``, ``f`` and ``s`` alone,
and numbers are taken in either form: Pure Data sends all of them as floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loopmeter_integrations.osc._codec import Argument, encode_message

PROTOCOL = 1
ID_CHARACTERS_MAX = 120
PORT_MAX = 65_535
ERROR = "/loopmeter/error"

Kind = Literal["s", "i", "f"]
Value = str | int | float

_EXPECTED: dict[Kind, str] = {"s": "a string", "i": "a whole number", "f": "a number"}


class BadArguments(Exception):
    """The arguments are not those of the address. The message says which, what was expected, what was found."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument: its name, its OSC type, and what it means."""

    name: str
    kind: Kind
    text: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client may send. ``options`` are the pairs of name and value that may follow the arguments."""

    address: str
    parameters: tuple[Parameter, ...]
    options: tuple[str, ...]
    answers: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client gets back."""

    address: str
    parameters: tuple[Parameter, ...]
    text: str


_ID = Parameter("id", "s")
_LOOP = (
    _ID,
    Parameter("prompt", "s"),
    Parameter("bpm", "f"),
    Parameter("bars", "i"),
    Parameter("key", "s"),
    Parameter("quality", "s"),
)

OPTIONS: dict[str, Parameter] = {
    option.name: option
    for option in (
        Parameter("beats_per_bar", "i", "2 to 6; 4 unless told"),
        Parameter("seed", "i", "another seed, another loop; 0 unless told"),
        Parameter("layers", "s", "some of `drums,bass,chords,lead,pad,fx`, with commas between"),
        Parameter("model", "s", "the model, `loopmeter` unless told"),
        Parameter("solver", "s", "`euler`, `heun` or `ab2`"),
        Parameter("steps", "i", "denoising steps, 1 to 100"),
        Parameter("guidance", "f", "how closely the sound follows the prompt, 0 to 10"),
        Parameter("midi_base64", "s", "a Standard MIDI File to play, in base64; it must fit the datagram"),
        Parameter("max_tokens", "i", "refuse when the price is higher; nothing is charged then"),
        Parameter("reply_port", "i", "answer to this UDP port of the sender's host, not to the port it sent from"),
    )
}
_LOOP_OPTIONS = tuple(OPTIONS)
_QUOTE_OPTIONS = tuple(name for name in OPTIONS if name != "max_tokens")

REQUESTS: dict[str, Request] = {
    request.address: request
    for request in (
        Request(
            "/loopmeter/hello", (_ID,), ("reply_port",), ("/loopmeter/welcome",), "Is anybody there, and which engine?"
        ),
        Request(
            "/loopmeter/quote", _LOOP, _QUOTE_OPTIONS, ("/loopmeter/quoted",), "What would it cost? Holds nothing."
        ),
        Request(
            "/loopmeter/loop",
            _LOOP,
            _LOOP_OPTIONS,
            ("/loopmeter/accepted", "/loopmeter/progress", "/loopmeter/ready"),
            "Make a loop, and write it and its MIDI into the bridge's folder. An empty key leaves the key open.",
        ),
        Request(
            "/loopmeter/cancel",
            (_ID,),
            ("reply_port",),
            ("/loopmeter/cancelled",),
            "Stop the loop that was asked for under this id.",
        ),
        Request(
            "/loopmeter/balance",
            (_ID,),
            ("reply_port",),
            ("/loopmeter/balance",),
            "How many tokens are left?",
        ),
    )
}

REPLIES: dict[str, Reply] = {
    reply.address: reply
    for reply in (
        Reply(
            "/loopmeter/welcome",
            (_ID, Parameter("version", "s"), Parameter("engine", "s"), Parameter("protocol", "i")),
            "`version` is the bridge's, `engine` the gateway's first model.",
        ),
        Reply(
            "/loopmeter/quoted",
            (_ID, Parameter("tokens", "i"), Parameter("frames", "i"), Parameter("chunks", "i")),
            "The exact price and length.",
        ),
        Reply(
            "/loopmeter/accepted",
            (_ID, Parameter("job", "s"), Parameter("tokens", "i")),
            "The gateway makes it; `tokens` are held, and the most that it will cost.",
        ),
        Reply(
            "/loopmeter/progress",
            (_ID, Parameter("chunk", "i"), Parameter("chunks", "i"), Parameter("tokens", "i")),
            "Chunk number `chunk` of `chunks`, counted from 1, is here; `tokens` are charged so far.",
        ),
        Reply(
            "/loopmeter/ready",
            (
                _ID,
                Parameter("wav_path", "s"),
                Parameter("midi_path", "s"),
                Parameter("frames", "i"),
                Parameter("bpm", "f"),
                Parameter("tokens", "i"),
            ),
            "Both files are whole, at absolute paths; `tokens` were charged in all.",
        ),
        Reply(
            "/loopmeter/cancelled",
            (_ID, Parameter("tokens", "i")),
            "It stopped; `tokens` were charged for the chunks that had come.",
        ),
        Reply(
            "/loopmeter/balance",
            (_ID, Parameter("available", "i"), Parameter("held", "i")),
            "Tokens to spend, and tokens held for loops in the making.",
        ),
        Reply(
            ERROR,
            (_ID, Parameter("code", "s"), Parameter("message", "s")),
            "It did not work. `message` says what was expected, what was found and what to do.",
        ),
    )
}

ERROR_CODES: dict[str, str] = {
    "bad_arguments": "an argument is missing, of the wrong type, or out of range; the message names it",
    "unknown_address": "there is no such address",
    "malformed": "the datagram is not OSC, or carries argument types other than i, f, s",
    "duplicate_id": "a request with this id still runs for this client",
    "unknown_id": "no loop runs under this id for this client",
    "busy": "too many requests run at once, for this client or in all",
    "rate_limited": "too many messages a second",
    "time_tag": "the bundle's time tag is too far ahead, or too many messages wait already",
    "over_budget": "the price is above `max_tokens`; nothing was charged",
    "unreachable": "the gateway does not answer, or stopped answering",
    "failed": "the gateway could not finish the loop; delivered chunks are charged",
    "cannot_write": "the folder cannot be written; what was charged can be fetched from the gateway, free",
    "internal": "a fault of the bridge; its log has the details",
}


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
    if parameter is _ID:
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
