"""The chunk protocol: how a loop travels, chunk by chunk, each with its meter. Bytes in, events out, no I/O.

The gateway writes with ``encode_chunk_event``; the client reads with ``ChunkDecoder``. A stream is

    preamble    b"LMCHUNK" and one byte, the version
    record *    type (1 byte), payload length (4), crc32 (4), payload; integers are big-endian

and the crc32 covers type, length and payload. The payloads are

    S  started     JSON of ``StreamStarted``; comes first, with the preamble
    C  chunk       length of the meter (4), JSON of ``ChunkMeter``, PCM
    K  keep-alive  nothing; may come anywhere after S while a job waits
    E  ended       JSON of ``StreamEnded``; nothing may follow

``_NEXT`` is the order of records as a table. Reading order: the events, ``encode_chunk_event``, ``ChunkDecoder``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loopmeter._exceptions import ChunkProtocolError
from loopmeter._models import ChunkMeter, JobState, Problem

CHUNKS_MEDIA_TYPE = "application/vnd.loopmeter.chunks"
CHUNKS_VERSION = 1
RECORD_BYTES_MAX = 8 * 2**20  # A chunk is 0.2 MB today; 8 MiB is half a minute of hifi.

_PREAMBLE = b"LMCHUNK" + bytes([CHUNKS_VERSION])
_HEADER = struct.Struct(">cII")
_LENGTH = struct.Struct(">I")


class StreamStarted(BaseModel):
    """What comes: chunks ``first_index .. chunks - 1`` of a job, PCM interleaved little-endian.

    ``frames`` is the length of the whole loop, also when the stream resumes in its middle. ``tokens_quoted`` is the
    price that is held, and the most that the job will cost; ``None`` from a gateway that does not say.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    job: str
    chunks: int = Field(ge=0)
    frames: int = Field(ge=0)
    sample_rate_hz: int = Field(ge=1)
    channels: int = Field(ge=1)
    bits: int = Field(multiple_of=8, ge=8, le=32)
    first_index: int = Field(default=0, ge=0)
    tokens_quoted: int | None = Field(default=None, ge=0)


@dataclass(frozen=True, slots=True)
class ChunkReceived:
    """One piece of sound and its meter. It is charged, and from now on it can be fetched again, free."""

    pcm: bytes
    meter: ChunkMeter

    @property
    def index(self) -> int:
        return self.meter.index


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The job waits or works; the connection is alive."""


class StreamEnded(BaseModel):
    """The last word of a stream. ``queued`` or ``running`` means: this server stops talking, come back for the rest."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    state: JobState
    tokens_charged: int
    problem: Problem | None = None


ChunkEvent = StreamStarted | ChunkReceived | KeepAlive | StreamEnded


def encode_chunk_event(event: ChunkEvent) -> bytes:
    """The bytes of one event. Those of ``StreamStarted`` carry the preamble, so a stream is the sum of its events.

    Raises:
        ValueError: the payload is larger than ``RECORD_BYTES_MAX``.
    """
    match event:
        case StreamStarted():
            return _PREAMBLE + _record(b"S", event.model_dump_json().encode())
        case ChunkReceived():
            meter = event.meter.model_dump_json().encode()
            return _record(b"C", _LENGTH.pack(len(meter)) + meter + event.pcm)
        case KeepAlive():
            return _record(b"K", b"")
        case StreamEnded():
            return _record(b"E", event.model_dump_json().encode())


def decode_chunk_record(data: bytes, channels: int, bits: int) -> ChunkReceived:
    """The chunk in one whole record, as a binary message of a live session carries it.

    Raises:
        ChunkProtocolError: not one whole chunk record, or not of this format.
    """
    if len(data) < _HEADER.size:
        raise ChunkProtocolError("truncated", f"expected a record of {_HEADER.size} bytes or more, found {len(data)}")
    kind, length, checksum = _HEADER.unpack_from(data)
    payload = memoryview(data)[_HEADER.size :]
    if kind != b"C" or len(payload) != length:
        raise ChunkProtocolError("malformed", f"expected one chunk of {length} bytes, found {kind!r} of {len(payload)}")
    if _checksum(kind, payload) != checksum:
        raise ChunkProtocolError("checksum", f"expected crc32 {checksum:08x}, found {_checksum(kind, payload):08x}")
    return _chunk(payload, channels, bits)


def _chunk(payload: memoryview, channels: int, bits: int) -> ChunkReceived:
    meter_end = _LENGTH.size
    if len(payload) >= meter_end:
        meter_end += _LENGTH.unpack_from(payload)[0]
    if len(payload) < meter_end:
        raise ChunkProtocolError("malformed", f"expected a meter of {meter_end} bytes, found {len(payload)}")
    meter = _parse(ChunkMeter, bytes(payload[_LENGTH.size : meter_end]))
    pcm = bytes(payload[meter_end:])
    pcm_bytes = meter.frames * channels * bits // 8
    if len(pcm) != pcm_bytes:
        raise ChunkProtocolError("malformed", f"expected {pcm_bytes} bytes of PCM, found {len(pcm)}")
    return ChunkReceived(pcm, meter)


def _record(kind: bytes, payload: bytes) -> bytes:
    if len(payload) > RECORD_BYTES_MAX:
        raise ValueError(f"expected a payload of at most {RECORD_BYTES_MAX} bytes, found {len(payload)}")
    return _HEADER.pack(kind, len(payload), _checksum(kind, payload)) + payload


def _checksum(kind: bytes, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(kind + _LENGTH.pack(len(payload))))


class _State(Enum):
    PREAMBLE = "the preamble"
    STARTED = "a started record"
    CHUNKS = "a chunk, keep-alive or ended record"
    DONE = "the end of the stream"


_NEXT: dict[tuple[_State, bytes], _State] = {
    (_State.STARTED, b"S"): _State.CHUNKS,
    (_State.CHUNKS, b"C"): _State.CHUNKS,
    (_State.CHUNKS, b"K"): _State.CHUNKS,
    (_State.CHUNKS, b"E"): _State.DONE,
}

_Payload = TypeVar("_Payload", bound=BaseModel)


class ChunkDecoder:
    """Turns the bytes of a stream, split anywhere, into its events.

    Chunks come in order, without gaps, each once; a stream that says ``completed`` has given its last chunk. Events
    before a violation are given before it is raised, and it is raised again at every later call. At most one
    record and the bytes of one ``receive`` are kept in memory.

        decoder = ChunkDecoder()
        for data in body:
            decoder.receive(data)
            for event in decoder.events():
                ...
        decoder.receive_end()
        for event in decoder.events():  # raises if the stream was cut short
            ...
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at_end = False
        self._state = _State.PREAMBLE
        self._started: StreamStarted | None = None
        self._next_index = 0
        self._error: ChunkProtocolError | None = None

    @property
    def done(self) -> bool:
        """Whether the ended record has been given."""
        return self._state is _State.DONE

    @property
    def bytes_missing(self) -> int:
        """How many more bytes it takes, at least, until ``next_event`` can say more; 1 if that is not known."""
        size = _HEADER.size
        if self._state is _State.PREAMBLE:
            size += len(_PREAMBLE)
        elif len(self._buffer) >= size:
            size += min(_HEADER.unpack_from(self._buffer)[1], RECORD_BYTES_MAX)
        return max(1, size - len(self._buffer))

    def receive(self, data: bytes) -> None:
        """Add bytes; ``events`` gives what they complete."""
        if self._error is None:  # Behind an error nothing is read any more.
            self._buffer += data

    def receive_end(self) -> None:
        """Say that no bytes will follow."""
        self._at_end = True

    def events(self) -> Iterator[ChunkEvent]:
        """The events that are complete now.

        Raises:
            ChunkProtocolError: the bytes break the protocol, or ended too early. ``kind`` says which.
        """
        while (event := self.next_event()) is not None:
            yield event

    def next_event(self) -> ChunkEvent | None:
        """The next complete event, or ``None``: more bytes are needed, or the stream is done. Raises as ``events``."""
        if self._error is not None:
            raise self._error
        try:
            return self._next_event()
        except ChunkProtocolError as error:
            self._error = error
            raise

    def _next_event(self) -> ChunkEvent | None:
        if self._state is _State.PREAMBLE and not self._take_preamble():
            return None
        record = self._whole_record()
        if record is None:
            return None
        kind, payload = record
        following = _NEXT.get((self._state, kind))
        if following is None:
            raise ChunkProtocolError("order", f"expected {self._state.value}, found a record of type {kind!r}")
        event = self._read(kind, payload)
        size = _HEADER.size + len(payload)
        payload.release()  # A buffer that is looked at cannot be shortened.
        del self._buffer[:size]
        self._state = following
        return event

    def _take_preamble(self) -> bool:
        found = bytes(self._buffer[: len(_PREAMBLE)])
        if not _PREAMBLE.startswith(found):
            raise ChunkProtocolError(
                "malformed",
                f"expected a stream of {CHUNKS_MEDIA_TYPE} version {CHUNKS_VERSION}, found {found!r}; "
                "check that the address is a Loopmeter gateway and that both sides are of one version",
            )
        if len(found) < len(_PREAMBLE):
            return self._needs_more()
        del self._buffer[: len(_PREAMBLE)]
        self._state = _State.STARTED
        return True

    def _whole_record(self) -> tuple[bytes, memoryview] | None:
        """The type of the first record and a view of its payload, once all of it is here."""
        if self._state is _State.DONE:
            if self._buffer:
                raise ChunkProtocolError("order", f"expected {self._state.value}, found {len(self._buffer)} more bytes")
            return None
        if len(self._buffer) < _HEADER.size:
            self._needs_more()
            return None
        kind, length, checksum = _HEADER.unpack_from(self._buffer)
        if length > RECORD_BYTES_MAX:
            raise ChunkProtocolError("too_large", f"expected at most {RECORD_BYTES_MAX} bytes, found {length}")
        if len(self._buffer) < _HEADER.size + length:
            self._needs_more()
            return None
        with memoryview(self._buffer) as view:
            payload = view[_HEADER.size : _HEADER.size + length]
        if _checksum(kind, payload) != checksum:
            raise ChunkProtocolError("checksum", f"expected crc32 {checksum:08x}, found {_checksum(kind, payload):08x}")
        return kind, payload

    def _needs_more(self) -> bool:
        if self._at_end:
            raise ChunkProtocolError(
                "truncated",
                f"expected {self._state.value}, found the end of the stream with {len(self._buffer)} bytes pending",
            )
        return False

    def _read(self, kind: bytes, payload: memoryview) -> ChunkEvent:
        match kind:
            case b"S":
                self._started = _parse(StreamStarted, bytes(payload))
                self._next_index = self._started.first_index
                return self._started
            case b"C":
                return self._read_chunk(payload)
            case b"E":
                return self._read_ended(bytes(payload))
            case _:
                return KeepAlive()

    def _read_chunk(self, payload: memoryview) -> ChunkReceived:
        assert self._started is not None
        chunk = _chunk(payload, self._started.channels, self._started.bits)
        if chunk.index != self._next_index or chunk.index >= self._started.chunks:
            raise ChunkProtocolError(
                "order", f"expected chunk {self._next_index} of {self._started.chunks}, found chunk {chunk.index}"
            )
        self._next_index += 1
        return chunk

    def _read_ended(self, payload: bytes) -> StreamEnded:
        assert self._started is not None
        ended = _parse(StreamEnded, payload)
        if ended.state == "completed" and self._next_index < self._started.chunks:
            raise ChunkProtocolError(
                "order", f"expected chunk {self._next_index} of {self._started.chunks}, found the end of the job"
            )
        return ended


def _parse(model: type[_Payload], payload: bytes) -> _Payload:
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise ChunkProtocolError("malformed", f"expected JSON of {model.__name__}, found: {error}") from error
