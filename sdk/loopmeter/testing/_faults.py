"""What may go wrong between a client and a gateway, as values for the script of a ``FakeGateway``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from loopmeter._models import JobState


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a problem instead of serving, for example ``Refuse(429, "rate_limited", {"Retry-After": "3"})``."""

    status: int
    code: str = "internal"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer at all; the request does not arrive."""


@dataclass(frozen=True, slots=True)
class Lose:
    """The request is served, but its answer is lost on the way."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Serve well, ``seconds`` later on the gateway's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """End the body behind its first ``size`` bytes: cleanly, or as a reset connection."""

    size: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Flip a bit of the byte at ``position`` of the body."""

    position: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send the first ``size`` bytes of the body twice."""

    size: int


@dataclass(frozen=True, slots=True)
class End:
    """End a stream before chunk ``chunks``. ``failed`` and ``cancelled`` end the job, ``running`` only the stream."""

    state: JobState
    chunks: int


Fault = Refuse | Unreachable | Lose | Delay | Cut | Corrupt | Repeat | End


class ConnectionReset(Exception):
    """How a body says that its connection breaks now. Becomes ``ConnectionFailed``, or a real reset."""


def damaged(body: Iterator[bytes], fault: Fault | None) -> Iterator[bytes]:
    """``body`` as it arrives under ``fault``; untouched by faults that are not about bytes."""
    match fault:
        case Cut(size, reset):
            return _cut(body, size, reset)
        case Corrupt(position):
            return _corrupt(body, position)
        case Repeat(size):
            return _repeat(body, size)
        case _:
            return body


def _cut(body: Iterator[bytes], size: int, reset: bool) -> Iterator[bytes]:
    for piece in body:
        if len(piece) >= size:
            yield piece[:size]
            break
        size -= len(piece)
        yield piece
    if reset:
        raise ConnectionReset


def _corrupt(body: Iterator[bytes], position: int) -> Iterator[bytes]:
    for piece in body:
        if 0 <= position < len(piece):
            piece = piece[:position] + bytes([piece[position] ^ 1]) + piece[position + 1 :]
            position = -1
        elif position >= 0:
            position -= len(piece)
        yield piece


def _repeat(body: Iterator[bytes], size: int) -> Iterator[bytes]:
    seen = b""
    for piece in body:
        if len(seen) < size <= len(seen) + len(piece):
            inside = size - len(seen)
            seen += piece[:inside]
            yield piece[:inside]
            yield seen
            yield piece[inside:]
        else:
            seen += piece if len(seen) < size else b""
            yield piece
