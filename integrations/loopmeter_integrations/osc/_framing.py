"""OSC packets in a byte stream, in both framings that are in use. Pure: bytes in, packets out.

OSC 1.1 frames packets on a stream with SLIP (RFC 1055); OSC 1.0, and liblo unless told otherwise, put four bytes of
big-endian length before each. The first byte tells them apart: a length below 16 MiB begins with 0x00, a SLIP stream
with END, or with the ``/`` or ``#`` of its first packet where a sender leaves the leading END out.

Reading order: ``Deframer``, ``frame``.
"""

from __future__ import annotations

from enum import Enum

PACKET_BYTES_MAX = 65_536  # As large as a datagram can be; nothing that is larger fits the protocol.

_END, _ESCAPE, _ESCAPED_END, _ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
_PREFIX_BYTES = 4


class Framing(Enum):
    """How packets are told apart in a stream."""

    LENGTH = "length"
    SLIP = "slip"


class BadFrame(Exception):
    """The stream cannot be followed any further. The message says what was expected and what came."""


def framing_of(first: int) -> Framing | None:
    """The framing that a stream with this first byte uses; ``None`` if it is neither."""
    if first == 0:
        return Framing.LENGTH
    return Framing.SLIP if first in (_END, ord("/"), ord("#")) else None


class Deframer:
    """Turns the bytes of one stream, split anywhere, into packets. Keeps at most ``packet_bytes_max`` and one read."""

    def __init__(self, framing: Framing, packet_bytes_max: int = PACKET_BYTES_MAX) -> None:
        self.framing = framing
        self._packet_bytes_max = packet_bytes_max
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[bytes]:
        """The packets that ``data`` completes, in order. Empty SLIP packets, which pad the line, are left out.

        Raises:
            BadFrame: a packet is too large, or an escape stands for nothing. Packets before it are lost with it.
        """
        self._buffer += data
        return self._lengths() if self.framing is Framing.LENGTH else self._ends()

    def _lengths(self) -> list[bytes]:
        packets = []
        start = 0
        while len(self._buffer) - start >= _PREFIX_BYTES:
            size = int.from_bytes(self._buffer[start : start + _PREFIX_BYTES], "big")
            self._check(size)
            stop = start + _PREFIX_BYTES + size
            if stop > len(self._buffer):
                break
            packets.append(bytes(self._buffer[start + _PREFIX_BYTES : stop]))
            start = stop
        del self._buffer[:start]
        return packets

    def _ends(self) -> list[bytes]:
        *whole, rest = bytes(self._buffer).split(bytes([_END]))
        self._buffer[:] = rest
        self._check(len(rest) // 2)  # Escaping doubles a packet at the most.
        packets = [_unescaped(packet) for packet in whole if packet]
        for packet in packets:
            self._check(len(packet))
        return packets

    def _check(self, size: int) -> None:
        if size > self._packet_bytes_max:
            raise BadFrame(f"expected a packet of at most {self._packet_bytes_max} bytes, found {size}")


def frame(packet: bytes, framing: Framing) -> bytes:
    """The packet as it goes into the stream."""
    if framing is Framing.LENGTH:
        return len(packet).to_bytes(_PREFIX_BYTES, "big") + packet
    escaped = packet.replace(bytes([_ESCAPE]), bytes([_ESCAPE, _ESCAPED_ESCAPE]))
    escaped = escaped.replace(bytes([_END]), bytes([_ESCAPE, _ESCAPED_END]))
    return bytes([_END]) + escaped + bytes([_END])


def _unescaped(packet: bytes) -> bytes:
    first, *parts = packet.split(bytes([_ESCAPE]))
    plain = bytearray(first)
    for part in parts:
        if not part or part[0] not in (_ESCAPED_END, _ESCAPED_ESCAPE):
            raise BadFrame(f"expected 0xdc or 0xdd behind the escape 0xdb, found {part[:1].hex() or 'nothing'}")
        plain.append(_END if part[0] == _ESCAPED_END else _ESCAPE)
        plain += part[1:]
    return bytes(plain)
