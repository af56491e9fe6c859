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
_DECK = Parameter("deck", "i")
_WHEN = Parameter("when", "s")

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
        Parameter("midi", "s", "whose notes to play: the id of a loop of yours, or a MIDI file in the folder"),
        Parameter("midi_base64", "s", "a Standard MIDI File to play, in base64; it must fit the datagram"),
        Parameter("chords", "s", "one a bar, as `Am F C G`, or several, as `Am F | C G`"),
        Parameter("swing", "f", "0 to 1; 1 is a full triplet"),
        Parameter("density", "f", "few or many notes, 0 to 1"),
        Parameter("intensity", "f", "soft or hard, 0 to 1"),
        Parameter("sections", "s", "a whole piece: name, bars and, if you like, energy, as `intro 4 0.3, verse 8`"),
        Parameter("stems", "i", "1: as the sum of its layers, each of which is then a stem of it to the sample"),
        Parameter("task", "s", "what an engine that can do more than make loops should do, as `repaint`"),
        Parameter("lyrics", "s", "what is sung, where the engine sings"),
        Parameter("language", "s", "of the lyrics, as `en`"),
        Parameter("source", "s", "what a task works on: the id of a loop of yours, or a sound file in the folder"),
        Parameter("reference", "s", "the same, for its timbre alone"),
        Parameter("source_audio_base64", "s", "a WAV, FLAC or Ogg file in base64; it must fit the packet"),
        Parameter("reference_audio_base64", "s", "the same, for its timbre alone"),
        Parameter("negative_prompt", "s", "what should not be heard"),
        Parameter("cover_strength", "f", "how closely a cover follows its source, 0 to 1"),
        Parameter("repaint_from_beat", "f", "where a repaint begins"),
        Parameter("repaint_to_beat", "f", "where a repaint ends"),
        Parameter("track", "s", "the one to extract or to add, as `bass`"),
        Parameter("tracks", "s", "those to complete, with commas between"),
        Parameter("lora", "s", "the name of a style that the engine has"),
        Parameter("shift", "f", "of the engine's noise schedule, 1 to 5"),
        Parameter("conform", "i", "1: measure the beats of what came out, and place them on the grid"),
        Parameter("max_tokens", "i", "refuse when the price is higher; nothing is charged then"),
        Parameter("fade_s", "f", "how long a change fades, up to its boundary; 0.005 unless told, at most 30"),
        Parameter("reply_port", "i", "answer to this UDP port of the sender's host, not to the port it sent from"),
    )
}
_LOOP_OPTIONS = tuple(name for name in OPTIONS if name != "fade_s")
_LIVE_OPTIONS = (
    "beats_per_bar",
    "seed",
    "layers",
    "model",
    "solver",
    "steps",
    "guidance",
    "density",
    "intensity",
    "max_tokens",
    "reply_port",
)
_QUOTE_OPTIONS = tuple(name for name in _LOOP_OPTIONS if name != "max_tokens")

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
            "/loopmeter/live/start",
            (ID, *_LOOP[1:3], *_LOOP[4:]),
            _LIVE_OPTIONS,
            (
                "/loopmeter/live/started",
                "/loopmeter/live/chunk",
                "/loopmeter/live/applied",
                "/loopmeter/live/warning",
                "/loopmeter/live/ended",
            ),
            "Begin an endless piece. Each chunk is a WAV file of its own; 3 s are made ahead, the last 64 files are "
            "kept.",
        ),
        Request(
            "/loopmeter/live/set",
            (ID, Parameter("name", "s"), Parameter("value", "f")),
            ("reply_port",),
            ("/loopmeter/live/applied",),
            "Steer it: `bpm`, `density` or `intensity`; a layer such as `drums`, 0 or 1; or `prompt:` and words, by "
            "weight.",
        ),
        Request(
            "/loopmeter/live/stop",
            (ID,),
            ("reply_port",),
            ("/loopmeter/live/ended",),
            "End it.",
        ),
        Request(
            "/loopmeter/play",
            (ID, _DECK, Parameter("loop", "s"), _WHEN),
            ("fade_s", "reply_port"),
            ("/loopmeter/waiting", "/loopmeter/scheduled", "/loopmeter/started", "/loopmeter/replaced"),
            "Play a loop on a deck, 1 to 8. `loop` is the id that you asked for it under, also while it is in the "
            "making, or the name of its WAV file. `when` is `now`, `beat`, `bar`, or a number of bars such as "
            "`4 bars`. A loop that comes late starts at the next boundary; what plays goes on until then.",
        ),
        Request(
            "/loopmeter/swap",
            (ID, _DECK, Parameter("loop", "s"), _WHEN),
            ("fade_s", "reply_port"),
            ("/loopmeter/waiting", "/loopmeter/scheduled", "/loopmeter/started", "/loopmeter/replaced"),
            "The same, where something plays already.",
        ),
        Request(
            "/loopmeter/stop",
            (ID, _DECK, _WHEN),
            ("fade_s", "reply_port"),
            ("/loopmeter/scheduled", "/loopmeter/stopped", "/loopmeter/replaced"),
            "Stop a deck.",
        ),
        Request(
            "/loopmeter/gain",
            (ID, _DECK, Parameter("gain", "f"), Parameter("ramp_s", "f")),
            ("reply_port",),
            ("/loopmeter/gain",),
            "Change the gain of a deck, a factor of 0 to 4, over `ramp_s` seconds.",
        ),
        Request(
            "/loopmeter/clock",
            (ID,),
            ("reply_port",),
            ("/loopmeter/clock",),
            "Which beat is it?",
        ),
        Request(
            "/loopmeter/tempo",
            (ID, Parameter("bpm", "f")),
            ("reply_port",),
            ("/loopmeter/clock",),
            "Change the tempo of our own clock, or of the Link session.",
        ),
        Request(
            "/loopmeter/output",
            (ID,),
            ("reply_port",),
            ("/loopmeter/output",),
            "Does it sound, and has it stuttered?",
        ),
        Request(
            "/loopmeter/subscribe",
            (ID, Parameter("topic", "s"), Parameter("lease_s", "f")),
            ("reply_port",),
            ("/loopmeter/subscribed", "/loopmeter/heartbeat", "/loopmeter/beat"),
            "Be told about a topic until the lease runs out: `heartbeat`, `beat`, or `decks` for everything that "
            "starts and stops, the output included. Ask again to renew it, with 0 to end it.",
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
            "/loopmeter/beat",
            (ID, Parameter("bar", "i"), Parameter("beat", "i"), Parameter("bpm", "f")),
            "Beat `beat` of bar `bar` begins, both counted from 0.",
        ),
        Reply(
            "/loopmeter/waiting",
            (ID, _DECK, Parameter("loop", "s")),
            "The loop is in the making; it will be scheduled when it is ready.",
        ),
        Reply(
            "/loopmeter/scheduled",
            (ID, _DECK, Parameter("beat", "f"), Parameter("in_s", "f")),
            "It will happen at `beat` of the clock, in `in_s` seconds. Comes again if the clock jumps.",
        ),
        Reply(
            "/loopmeter/started",
            (ID, _DECK, Parameter("beat", "f"), Parameter("wav", "s")),
            "The loop `wav` starts at `beat`, now.",
        ),
        Reply(
            "/loopmeter/stopped",
            (ID, _DECK, Parameter("beat", "f")),
            "The deck falls silent at `beat`, now.",
        ),
        Reply(
            "/loopmeter/replaced",
            (ID, _DECK),
            "It will not happen: another change for the same deck came before it.",
        ),
        Reply(
            "/loopmeter/gain",
            (ID, _DECK, Parameter("gain", "f")),
            "The deck is on its way to this gain.",
        ),
        Reply(
            "/loopmeter/clock",
            (ID, Parameter("source", "s"), Parameter("bpm", "f"), Parameter("beat", "f"), Parameter("peers", "i")),
            "The clock is `own`, `link`, `midi` or `jack`; 0 bpm is a clock that stands still.",
        ),
        Reply(
            "/loopmeter/output",
            (
                ID,
                Parameter("state", "s"),
                Parameter("output", "s"),
                Parameter("rate_hz", "i"),
                Parameter("xruns", "i"),
                Parameter("why", "s"),
            ),
            "`plays`, `lost` (tried again every second; `why` says what is in the way), or `none`. `output` is `jack` "
            "or `portaudio`, `xruns` is how often it was not served in time.",
        ),
        Reply(
            "/loopmeter/live/started",
            (
                ID,
                Parameter("job", "s"),
                Parameter("rate_hz", "i"),
                Parameter("chunk_frames", "i"),
                Parameter("tokens_per_minute", "i"),
            ),
            "It plays: chunks of `chunk_frames` frames.",
        ),
        Reply(
            "/loopmeter/live/chunk",
            (
                ID,
                Parameter("chunk", "i"),
                Parameter("wav_path", "s"),
                Parameter("frames", "i"),
                Parameter("tokens", "i"),
            ),
            "Chunk number `chunk`, counted from 0, is a whole file; play them one behind the other. `tokens` so far.",
        ),
        Reply(
            "/loopmeter/live/applied",
            (ID, Parameter("name", "s"), Parameter("chunk", "i"), Parameter("bar", "i")),
            "The change of `name` holds from bar `bar` on, which begins in chunk `chunk`.",
        ),
        Reply(
            "/loopmeter/live/warning",
            (ID, Parameter("reason", "s"), Parameter("tokens_left", "i"), Parameter("seconds_left", "f")),
            "The money is nearly spent: `budget` or `no_tokens`.",
        ),
        Reply(
            "/loopmeter/live/ended",
            (ID, Parameter("reason", "s"), Parameter("chunks", "i"), Parameter("tokens", "i")),
            "It ended: `stopped`, `budget`, `no_tokens`, `lost`, `idle` or `failed`.",
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
    "nothing_plays": "nothing plays on the deck",
    "no_output": "the bridge has no output to play through",
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
