"""Every benchmark in one run: ``python -m scripts.bench`` prints tables and writes docs/benchmarks.md.

What is compared was measured side by side, in this run, on this machine. Takes three to four minutes on two cores.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import textwrap
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from benchmarks import attention, clients, engine, engines, gateway, latents, ledger, sdk, table

from loopmeter_engine.registry import load_engine

_TITLE = "# Benchmarks"
_HOW = (
    "Written by `make bench`. Medians, unless a column says otherwise; what is compared was measured side by side, in "
    "one run. The bars are those that the first version was to reach."
)


class Part(NamedTuple):
    """One table and what it means."""

    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description="Measure speed; write a table.")
    parser.add_argument("--engine", default="loopmeter", help="the engine to measure; default: loopmeter")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"), help="default: docs/benchmarks.md")
    given = parser.parse_args(arguments)
    conditions, began = machine(), time.monotonic()
    print(conditions)
    parts = []
    name = given.engine
    for part in (
        engine_part(name), attention_part(), latents_part(), clients_part(name), gateway_part(), ledger_part(),
        sdk_part(),
        engines_part(),
    ):  # fmt: skip
        print(f"\n{part.title}\n{table.plain(part.header, part.rows)}")
        parts.append(part)
    given.out.write_text(page(conditions, parts))
    print(f"\n{given.out} written after {time.monotonic() - began:.0f} s")


def engine_part(name: str) -> Part:
    about = (
        f"The engine `{name}` alone, with default settings: one stream at a time in one process, and eight in as many "
        "as `loopmeter serve` takes on this machine; beside that, in turn with it, eight in one process. `standard` "
        "is one channel of 16 bit, `hifi` two of 24 bit. A chunk is 0.74 s of sound, the first one shorter. Loops "
        "take one step of the student, pieces of more than a minute four of its teacher; the chunks are the piece's."
    )
    rows = engine.measure(load_engine(name), engine.served_engine(name))
    return Part("The engine", about, engine.Row._fields, rows)


def attention_part() -> Part:
    about = (
        "One pass of our network over pieces of several lengths, weights random: linear attention block by block, as "
        "the engine runs it; over the whole at once; and the same layers with PyTorch's fused softmax attention over "
        "the whole. The article's figures are those of its own system."
    )
    return Part("Linear against softmax attention", about, attention.Row._fields, attention.measure())


def latents_part() -> Part:
    about = (
        "The same network makes the same stereo sound as latents, which are then decoded, and as samples, 64 values a "
        "frame in both, passes as the engine does them, weights random. Memory is that of a pass over the whole at "
        "once, as in training; in a stream it does not depend on the length. The article's own figures do not give its "
        "170 x either."
    )
    return Part("Latents against samples", about, latents.Row._fields, latents.measure())


def clients_part(name: str) -> Part:
    about = (
        f"Gateway (SQLite on disk, engine `{name}`), OSC bridge and client as three processes on the same cores, over "
        "loopback. Each request is for a new loop and meets an idle engine; the time contains reading the prompt, "
        "composing, the price, the hold, and, for the first chunk, its sound, its charge and its way."
    )
    return Part("What a client waits for", about, clients.Row._fields, clients.measure(name))


def gateway_part() -> Part:
    about = (
        "The gateway against the same server without keys, price, hold, ledger or database, both with an engine that "
        "costs nothing but the stated pace."
    )
    return Part("What the gateway adds", about, gateway.Row._fields, gateway.measure())


def ledger_part() -> Part:
    about = (
        "Charges of 64 streams at once against raw commits: one row of a table with a key and nothing else, through "
        "the database's own driver, by as many connections as the gateway writes with (1 and 8). A charge is all that "
        "is written for a chunk: job, hold, entry, meter, engine's state; durable like the raw commit. In groups, as "
        "the gateway does it, and each in a transaction of its own. Processor time is that of the gateway's process."
    )
    return Part("Charges against raw commits", about, ledger.Row._fields, ledger.measure())


def sdk_part() -> Part:
    about = (
        "Framed chunks from a gateway process with the engine `fake`: new loops (60 s, hifi) and a stored one (120 s). "
        "Bare httpx counts bytes, the SDK checks and unpacks them. Import is processor time of a fresh process, beside "
        "one that imports nothing."
    )
    return Part("What the SDK adds", about, sdk.Row._fields, sdk.measure())


def engines_part() -> Part:
    about = (
        "ACE-Step through diffusers with random weights of a sixteenth of its width, against one call of its pipeline "
        "for as much sound; and a fake engine in a process of its own, killed between two chunks and started again."
    )
    return Part("Other engines", about, engines.Row._fields, engines.measure())


def machine() -> str:
    """The conditions, in words."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{datetime.date.today()}: {cores} cores of a shared machine ({_processor()}), {device}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')} with {torch.get_num_threads()} threads. "
        f"Load average before the run: {load:.1f}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def page(conditions: str, parts: Sequence[Part]) -> str:
    """The documentation page, in Markdown."""
    blocks = [_TITLE, _filled(_HOW), _filled(conditions)]
    for part in parts:
        blocks += [f"## {part.title}", _filled(part.about), table.markdown(part.header, part.rows)]
    return "\n\n".join(blocks) + "\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False)


if __name__ == "__main__":
    main()
