"""A log of every message, in and out, and its replay: what happened on stage can be seen, and made to happen again.

One JSON object a line: ``at_s`` since the beginning, ``way`` (``in`` or ``out``), ``client``, ``packet`` in base64, and
``text``, the packet in words, for readers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from loopmeter import LoopmeterError
from loopmeter_integrations.osc._clients import Client
from loopmeter_integrations.osc._codec import Message, decode_datagram

RECORDING_BYTES_MAX = 2**30


class BadRecording(LoopmeterError):
    """The file is not a recording of messages. The message names the line."""


class Recorder:
    """Write messages to ``path`` as they pass. Stops quietly at 1 GiB: a show must go on."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._file: IO[str] = path.open("w", encoding="utf-8", buffering=1)
        self._now = now
        self._began_s = now()

    def write(self, way: str, packet: bytes, client: Client) -> None:
        if self._file.tell() > RECORDING_BYTES_MAX:
            return
        words = [_words(element) for element in decode_datagram(packet)]
        line = {
            "at_s": round(self._now() - self._began_s, 6),
            "way": way,
            "client": str(client),
            "packet": base64.b64encode(packet).decode(),
            "text": "; ".join(words)[:500],
        }
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._file.close()


def read_recording(path: Path) -> list[tuple[float, Client, bytes]]:
    """The messages that came in: when, from whom, what. Their answers go nowhere. Raises ``BadRecording``."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadRecording(f"expected a message log of --record at {path}, found: {error}") from error
    return [message for number, line in enumerate(lines, 1) if (message := _read(path, number, line)) is not None]


def _read(path: Path, number: int, line: bytes) -> tuple[float, Client, bytes] | None:
    try:
        entry = json.loads(line)
        if entry["way"] != "in":
            return None
        host, _, port = entry["client"].partition(" ")[2].rpartition(":")
        packet = base64.b64decode(entry["packet"], validate=True)
        return float(entry["at_s"]), Client("replay", host, int(port)), packet
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecording(
            f"expected a message log of --record, found line {number} of {path}: {line[:80]!r} ({error!r})"
        ) from error


async def replay(messages: list[tuple[float, Client, bytes]], receive: Callable[[bytes, Client], None]) -> None:
    """Hand the messages over at the times that they came, counted from now."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for at_s, client, packet in messages:
        await asyncio.sleep(max(0.0, began_s + at_s - loop.time()))
        receive(packet, client)


def _words(element: object) -> str:
    if isinstance(element, Message):
        return " ".join([element.address, *(repr(argument)[:80] for argument in element.arguments)])
    return repr(element)[:200]
