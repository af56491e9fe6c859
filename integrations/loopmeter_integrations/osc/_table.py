"""The protocol as tables of addresses, arguments, answers, options and error codes. ``_addresses.py`` reads them.

Every address works with the types ``i``, ``f`` and ``s`` alone. The documentation is written from these tables, and
so is the description that the bridge gives over HTTP. Reading order: ``REQUESTS``, ``REPLIES``, ``OPTIONS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROTOCOL = 1
ERROR = "/loopmeter/error"

Kind = Literal["s", "i", "f"]


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


ID = Parameter("id", "s")
_LOOP = (
    ID,
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
            "/loopmeter/hello", (ID,), ("reply_port",), ("/loopmeter/welcome",), "Is anybody there, and which engine?"
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
            (ID,),
            ("reply_port",),
            ("/loopmeter/cancelled",),
            "Stop the loop that was asked for under this id.",
        ),
        Request(
            "/loopmeter/balance",
            (ID,),
            ("reply_port",),
            ("/loopmeter/balance",),
            "How many tokens are left?",
        ),
        Request(
            "/loopmeter/subscribe",
            (ID, Parameter("topic", "s"), Parameter("lease_s", "f")),
            ("reply_port",),
            ("/loopmeter/subscribed", "/loopmeter/heartbeat"),
            "Be told about a topic, `heartbeat`, until the lease runs out; ask again to renew it, with 0 to end it.",
        ),
    )
}

REPLIES: dict[str, Reply] = {
    reply.address: reply
    for reply in (
        Reply(
            "/loopmeter/welcome",
            (ID, Parameter("version", "s"), Parameter("engine", "s"), Parameter("protocol", "i")),
            "`version` is the bridge's, `engine` the gateway's first model.",
        ),
        Reply(
            "/loopmeter/quoted",
            (ID, Parameter("tokens", "i"), Parameter("frames", "i"), Parameter("chunks", "i")),
            "The exact price and length.",
        ),
        Reply(
            "/loopmeter/accepted",
            (ID, Parameter("job", "s"), Parameter("tokens", "i")),
            "The gateway makes it; `tokens` are held, and the most that it will cost.",
        ),
        Reply(
            "/loopmeter/progress",
            (ID, Parameter("chunk", "i"), Parameter("chunks", "i"), Parameter("tokens", "i")),
            "Chunk number `chunk` of `chunks`, counted from 1, is here; `tokens` are charged so far.",
        ),
        Reply(
            "/loopmeter/ready",
            (
                ID,
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
            (ID, Parameter("tokens", "i")),
            "It stopped; `tokens` were charged for the chunks that had come.",
        ),
        Reply(
            "/loopmeter/balance",
            (ID, Parameter("available", "i"), Parameter("held", "i")),
            "Tokens to spend, and tokens held for loops in the making.",
        ),
        Reply(
            "/loopmeter/subscribed",
            (ID, Parameter("topic", "s"), Parameter("lease_s", "f")),
            "From now on, for `lease_s` seconds, at most 3,600.",
        ),
        Reply(
            "/loopmeter/heartbeat",
            (ID, Parameter("count", "i"), Parameter("running", "i"), Parameter("gateway", "s")),
            "Once a second: `running` requests are in the making, the gateway was last found `up` or `down`.",
        ),
        Reply(
            "/loopmeter/late",
            (ID, Parameter("address", "s"), Parameter("late_ms", "f")),
            "The time tag of a message for `address` had passed by `late_ms`, so it runs at once.",
        ),
        Reply(
            ERROR,
            (ID, Parameter("code", "s"), Parameter("message", "s")),
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
    "cap_client": "this client would spend more than `--tokens-per-client-hour`; nothing was charged",
    "cap_hour": "all clients together would spend more than `--tokens-per-hour`; nothing was charged",
    "over_budget": "the price is above `max_tokens`; nothing was charged",
    "unreachable": "the gateway does not answer, or stopped answering",
    "failed": "the gateway could not finish the loop; delivered chunks are charged",
    "cannot_write": "the folder cannot be written; what was charged can be fetched from the gateway, free",
    "internal": "a fault of the bridge; its log has the details",
}
