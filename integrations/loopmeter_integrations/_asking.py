"""The arguments by which an adapter's command line describes a loop, and the loop made from them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from loopmeter import Loop, Loopmeter

_OPTIONS = ("tempo_bpm", "bars", "beats_per_bar", "key", "quality", "seed", "model")


def add_loop_arguments(parser: argparse.ArgumentParser, *, tempo: bool = True) -> None:
    """Add ``prompt`` and the options of a loop. Without ``tempo`` the host gives tempo and metre."""
    parser.add_argument("prompt")
    parser.add_argument("--bars", type=int, default=4)
    if tempo:
        parser.add_argument("--bpm", dest="tempo_bpm", type=float)
        parser.add_argument("--beats-per-bar", type=int, default=4)
    parser.add_argument("--key", help="such as Am or F#")
    parser.add_argument("--quality", choices=("standard", "hifi"), default="standard")
    parser.add_argument("--layers", help="some of drums,bass,chords,lead,pad,fx, with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="loopmeter")
    parser.add_argument("--max-tokens", type=int, help="refuse when the price is higher; nothing is charged then")
    parser.add_argument("--url", help="the gateway; default: LOOPMETER_URL")


def make_loop(arguments: argparse.Namespace, **of_the_host: Any) -> tuple[Loop, bytes]:
    """Quote, tell the price on stderr, make. Gives the loop and its MIDI. Raises as ``Loopmeter.loops.create``."""
    options: dict[str, Any] = {name: value for name, value in vars(arguments).items() if name in _OPTIONS}
    options |= of_the_host
    if arguments.layers:
        options["layers"] = tuple(layer.strip() for layer in arguments.layers.split(","))
    with Loopmeter(arguments.url) as client:
        quote = client.quote(arguments.prompt, **options)
        print(f"{quote.tokens} tokens for {quote.frames} frames", file=sys.stderr)
        loop = client.loops.create(arguments.prompt, quote=quote, max_tokens=arguments.max_tokens, **options)
        print(f"{loop.tokens_charged} tokens charged", file=sys.stderr)
        return loop, loop.midi()
