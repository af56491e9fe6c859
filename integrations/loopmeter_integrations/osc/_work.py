"""What each request does, over the SDK. One coroutine per address; answers go out through ``reply``.

Reading order: ``Work``, ``loop``, then the small ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from loopmeter import (
    AsyncLoopmeter,
    BudgetExceeded,
    LiveRequest,
    LoopNotCompleted,
    LoopRequest,
    Quote,
    StreamStarted,
    wav_header,
    wav_padding,
)
from loopmeter_integrations.osc import _live
from loopmeter_integrations.osc._addresses import BadArguments, Value
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._files import AtomicFile, safe_name
from loopmeter_integrations.osc._library import MadeLoop
from loopmeter_integrations.osc._limits import SpendingCaps
from loopmeter_integrations.osc._sources import MATERIALS, MIDI, Material
from loopmeter_integrations.osc._spares import SpareFiles
from loopmeter_integrations.osc._table import PROTOCOL

# The request's own names for the arguments that the protocol calls otherwise.
FIELD_OF_ARGUMENT = {"bpm": "tempo_bpm"}
_NOT_OF_THE_REQUEST = frozenset({"id", "max_tokens", "reply_port", *(material.option for material in MATERIALS)})


@dataclass
class Work:
    """One request in the making. ``reply`` takes an address and the values behind the id.

    ``cancel_wanted`` is set by a cancel; ``job`` is known from the moment that the gateway has accepted the loop.
    ``payer`` is whose spending is capped; ``find`` gives the payer's loop of an id, ``made`` is called when there is
    another one; ``live`` steers a live session once it has started.
    """

    client: AsyncLoopmeter
    payer: Client
    caps: SpendingCaps
    folder: Path
    files: SpareFiles
    values: Mapping[str, Value]
    reply: Callable[..., None]
    find: Callable[[str], MadeLoop | None]
    made: Callable[[MadeLoop], None]
    cancel_wanted: bool = False
    job: str | None = None
    tokens_charged: int = 0
    live: _live.Steering | None = None


async def hello(work: Work) -> None:
    models = await work.client.models()
    engine = models[0].name if models else "none"
    work.reply("/loopmeter/welcome", version("loopmeter"), engine, PROTOCOL)


async def balance(work: Work) -> None:
    found = await work.client.balance()
    work.reply("/loopmeter/balance", found.available, found.held)


async def quote(work: Work) -> None:
    priced = await work.client.quote(_prompt(work), **await _options(work))
    work.reply("/loopmeter/quoted", priced.tokens, priced.frames, priced.chunks)


async def loop(work: Work) -> None:
    """Order, write as it comes. The folder is tried first: nothing is charged for one that cannot be written."""
    wav, midi = await work.files.take()
    with wav, midi:
        try:
            await _make(work, wav, midi)
        except LoopNotCompleted as ended:
            if ended.state != "cancelled":
                raise
            work.reply("/loopmeter/cancelled", ended.tokens_charged)


async def _make(work: Work, wav: AtomicFile, midi: AtomicFile) -> None:
    """One call to the gateway; under a spending cap two, since the price must be known before the order."""
    options, limit = await _options(work), work.values.get("max_tokens")
    limit = limit if isinstance(limit, int) else None
    if not work.caps.any:
        await _stream(work, wav, midi, options, None, limit)
        return
    priced = await work.client.quote(_prompt(work), **options)
    if limit is not None and priced.tokens > limit:
        raise BudgetExceeded(priced.tokens, limit)
    minute = work.caps.reserve(work.payer, priced.tokens, time.monotonic())
    try:
        await _stream(work, wav, midi, options, priced, None)
    finally:
        work.caps.settle(work.payer, minute, priced.tokens, work.tokens_charged)


async def _stream(
    work: Work, wav: AtomicFile, midi: AtomicFile, options: dict[str, Any], priced: Quote | None, limit: int | None
) -> None:
    if work.cancel_wanted:
        work.reply("/loopmeter/cancelled", 0)
        return
    async with work.client.loops.stream(_prompt(work), quote=priced, max_tokens=limit, **options) as stream:
        started = stream.started
        work.job = started.job
        work.reply("/loopmeter/accepted", started.job, await _price(work.client, started))
        work.files.prepare()
        if work.cancel_wanted:
            await cancel(work)
        await asyncio.to_thread(wav.write, _header(started))
        async for chunk in stream:
            work.tokens_charged = chunk.meter.tokens_total
            await asyncio.to_thread(wav.write, chunk.pcm)
            work.reply("/loopmeter/progress", chunk.index + 1, started.chunks, chunk.meter.tokens_total)
        await asyncio.to_thread(wav.write, wav_padding(started.frames, started.channels, started.bits))
        midi.write(await work.client.loops.midi(started.job))
    name = safe_name(str(work.values["id"]), started.job)
    wav_path = await asyncio.to_thread(wav.commit, f"{name}.wav")
    midi_path = await asyncio.to_thread(midi.commit, f"{name}.mid")
    bpm = work.values["bpm"]
    beats = int(work.values["bars"]) * int(work.values.get("beats_per_bar", 4))
    work.made(MadeLoop(wav_path, beats))
    work.reply("/loopmeter/ready", str(wav_path), str(midi_path), started.frames, bpm, stream.tokens_charged)


async def cancel(work: Work) -> None:
    """Stop the job at the gateway. ``loop`` then meets the end of its stream and answers."""
    work.cancel_wanted = True
    if work.job is not None:
        await work.client.loops.cancel(work.job)


async def _price(client: AsyncLoopmeter, started: StreamStarted) -> int:
    """What the gateway holds. An older gateway does not say it with the stream; then the job is asked."""
    if started.tokens_quoted is not None:
        return started.tokens_quoted
    return (await client.loops.get(started.job)).tokens_quoted


async def live(work: Work) -> None:
    """Play a live session until it ends."""
    await _live.run(work, _prompt(work), request_options(work.values))


WORK_OF_ADDRESS: dict[str, Callable[[Work], Coroutine[Any, Any, None]]] = {
    "/loopmeter/hello": hello,
    "/loopmeter/quote": quote,
    "/loopmeter/loop": loop,
    "/loopmeter/balance": balance,
    "/loopmeter/live/start": live,
}


def _prompt(work: Work) -> str:
    return str(work.values["prompt"])


async def _options(work: Work) -> dict[str, Any]:
    """The keyword arguments of the SDK, files included. Raises ``BadArguments``: no such file, or not of its kind."""
    options = request_options(work.values)
    for material in MATERIALS:
        if material.option in work.values:
            if material.field in options:
                raise BadArguments(f"{material.option}: expected it or {material.field}, found both")
            options[material.field] = await asyncio.to_thread(_read, work, material)
    return options


def _read(work: Work, material: Material) -> str:
    named = str(work.values[material.option])
    loop = work.find(named)
    if loop is not None:
        named = str(loop.path.with_suffix(".mid") if material is MIDI else loop.path)
    return material.read_base64(material.find(work.folder, named))


def request_options(values: Mapping[str, Value]) -> dict[str, Any]:
    """The keyword arguments of the SDK. It checks them and names what is wrong, as for every caller."""
    options: dict[str, Any] = {
        FIELD_OF_ARGUMENT.get(name, name): value
        for name, value in values.items()
        if name not in _NOT_OF_THE_REQUEST and name != "prompt"
    }
    assert options.keys() <= LoopRequest.model_fields.keys() | LiveRequest.model_fields.keys()
    options["key"] = options["key"] or None
    for name in ("layers", "tracks"):
        if name in options:
            options[name] = tuple(part.strip() for part in options[name].split(","))
    if "sections" in options:
        options["sections"] = tuple(_section(part) for part in options["sections"].split(","))
    return options


def _section(text: str) -> dict[str, str]:
    """``verse 8 0.5``: a name of any words, bars, and energy if there is a second number. The SDK checks them."""
    words = text.split()
    numbers = [word for word in words[1:] if word.replace(".", "", 1).isdigit()][-2:]
    fields = dict(zip(("bars", "energy"), numbers, strict=False))
    return {"name": " ".join(words[: len(words) - len(numbers)]), **fields}


def _header(started: StreamStarted) -> bytes:
    return wav_header(started.frames, started.sample_rate_hz, started.channels, started.bits)
