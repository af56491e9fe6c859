"""Datagrams to messages and back. Pure: bytes in, values out, no clock and no socket.

python-osc reads and writes single messages. Bundles are walked here, because its own walk loops for ever on a negative
element size and recurses as deep as a datagram says; and type tags are checked here, because it drops those that it
does not know, which shifts every argument behind them.

Reading order: ``Message``, ``Unreadable``, ``decode_datagram``, ``encode_message``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.parsing.osc_types import ParseError as TypeParseError

Argument = str | int | float | bool | bytes | None | list[object] | tuple[int, int, int, int]

BUNDLE_DEPTH_MAX = 8
ELEMENTS_MAX = 64
IMMEDIATELY = 1  # The time tag that means now: 63 zero bits and a one (OSC 1.0, "Temporal Semantics").

_BUNDLE = b"#bundle\0"
_READABLE_TYPES = frozenset("ifsbhdtrmTFN[]")
# What python-osc raises on hostile bytes; UnicodeDecodeError is a ValueError.
_DECODE_ERRORS = (ParseError, TypeParseError, ValueError, IndexError, OverflowError, struct.error)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came. ``time_tag`` is that of the bundle around it (NTP, 32.32 bits), else ``IMMEDIATELY``."""

    address: str
    arguments: tuple[Argument, ...]
    time_tag: int = IMMEDIATELY


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that breaks the encoding. ``first`` is its first argument, where that much could be read."""

    reason: str
    address: str = ""
    first: Argument = None


def decode_datagram(datagram: bytes) -> list[Message | Unreadable]:
    """The messages of a datagram, in order. Never raises: a datagram whose frame is broken is one ``Unreadable``."""
    try:
        return list(_elements(datagram, IMMEDIATELY, 0))
    except _FrameError as error:
        return [Unreadable(str(error))]


def encode_message(address: str, types: str, values: Sequence[str | int | float]) -> bytes:
    """A message of ``i``, ``f`` and ``s`` arguments. A number too large for its type is sent as the largest it has."""
    builder = OscMessageBuilder(address)
    for kind, value in zip(types, values, strict=True):
        if kind == "s":
            # A null would end the string early, and a lone surrogate cannot be encoded.
            builder.add_arg(str(value).replace("\0", " ").encode("utf-8", "replace").decode(), "s")
        elif kind == "i":
            builder.add_arg(max(-(2**31), min(int(value), 2**31 - 1)), "i")
        else:
            builder.add_arg(float(value), "f")
    return bytes(builder.build().dgram)


class _FrameError(Exception):
    """The frame around the messages is broken, so nothing behind the break can be trusted."""


def _elements(data: bytes, time_tag: int, depth: int) -> Iterator[Message | Unreadable]:
    if not data.startswith(_BUNDLE):
        yield _message(data, time_tag)
        return
    if depth >= BUNDLE_DEPTH_MAX:
        raise _FrameError(f"expected bundles nested at most {BUNDLE_DEPTH_MAX} deep")
    if len(data) < 16:
        raise _FrameError(f"expected a bundle of at least 16 bytes, found {len(data)}")
    own_tag: int = struct.unpack_from(">Q", data, 8)[0]
    # OSC 1.0: an inner bundle's time must not be before the outer one's. "Immediately" is the smallest tag of all.
    inner_tag = max(time_tag, own_tag)
    index = 16
    count = 0
    while index < len(data):
        if len(data) - index < 4:
            raise _FrameError(f"expected the size of a bundle element, found {len(data) - index} bytes")
        size: int = struct.unpack_from(">I", data, index)[0]
        index += 4
        if size % 4 or not 4 <= size <= len(data) - index:
            raise _FrameError(
                f"expected a bundle element of 4 to {len(data) - index} bytes in steps of 4, found {size}"
            )
        for element in _elements(data[index : index + size], inner_tag, depth + 1):
            count += 1
            if count > ELEMENTS_MAX:
                raise _FrameError(f"expected at most {ELEMENTS_MAX} messages in a bundle")
            yield element
        index += size


def _message(data: bytes, time_tag: int) -> Message | Unreadable:
    if not data.startswith(b"/"):
        return Unreadable(f"expected a message that starts with '/', found {data[:8]!r}")
    if len(data) % 4:
        return Unreadable(f"expected a multiple of 4 bytes, found {len(data)}")
    address_end = _string_end(data, 0)
    tags_end = _string_end(data, address_end)
    tags = data[address_end:tags_end].rstrip(b"\0").decode("ascii", "replace")
    if not tags:
        # Very old senders leave the tags out; nothing can be told about arguments then.
        return _parse(data[:address_end], "", b"", time_tag)
    unknown = sorted(set(tags[1:]) - _READABLE_TYPES)
    if not tags.startswith(",") or unknown:
        found = f"type {unknown[0]!r} among {tags!r}" if unknown else f"type tags {tags!r}"
        first = _parse(data[:address_end], tags[1:2], data[tags_end:], time_tag)
        return _unreadable(data[:address_end], f"expected arguments of types i, f and s, found {found}", first)
    whole = _parse(data[:address_end], tags[1:], data[tags_end:], time_tag)
    if isinstance(whole, Unreadable):
        first = _parse(data[:address_end], tags[1:2], data[tags_end:], time_tag)
        return _unreadable(data[:address_end], whole.reason, first)
    return whole


def _string_end(data: bytes, start: int) -> int:
    """The offset behind an OSC string: its null included, padded to four bytes."""
    end = data.find(b"\0", start)
    return len(data) if end < 0 else end // 4 * 4 + 4


def _parse(address: bytes, types: str, payload: bytes, time_tag: int) -> Message | Unreadable:
    if set(types) - _READABLE_TYPES:
        return Unreadable(f"expected a type among i, f and s, found {types!r}")
    if not _is_whole(types, payload):
        return Unreadable(f"expected arguments of types {types!r} behind the address, found {len(payload)} bytes")
    tags = f",{types}".encode()
    try:
        parsed = OscMessage(address + tags + b"\0" * (4 - len(tags) % 4) + payload)
        return Message(str(parsed.address), tuple(parsed.params), time_tag)
    except _DECODE_ERRORS as error:
        return Unreadable(f"expected arguments of types {types!r} behind the address, found other bytes ({error})")


def _is_whole(types: str, payload: bytes) -> bool:
    """Whether the payload holds all its arguments: python-osc fills a number that is cut off with zeros."""
    end = 0
    for kind in types:
        if kind == "s":
            end = _string_end(payload, end)
        elif kind == "b":
            end += 4 + (int.from_bytes(payload[end : end + 4], "big") + 3) // 4 * 4
        else:
            end += 0 if kind in "TFN[]" else 8 if kind in "hdt" else 4
        if end > len(payload):
            return False
    return True


def _unreadable(address: bytes, reason: str, first: Message | Unreadable) -> Unreadable:
    arguments = first.arguments if isinstance(first, Message) else ()
    return Unreadable(reason, address.rstrip(b"\0").decode("utf-8", "replace"), arguments[0] if arguments else None)
