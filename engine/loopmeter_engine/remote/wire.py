"""How leases travel between a gateway and an engine process: values to bytes and back, no I/O.

Plans and infos are JSON. The answer to a lease is a stream of records,

    kind (1 byte), length of meta, of pcm, of state (4 each), crc32 (4), meta, pcm, state; integers are big-endian

where the crc32 covers kind, lengths and payload. Kinds: ``C`` a chunk (meta: index and usage), ``F`` the engine failed
(meta: message), ``E`` the lease is done (meta: how many chunks). A stream that ends without ``F`` or ``E`` was cut.
Reading order: ``LeaseCall``, ``encode_chunk``, ``LeaseDecoder``.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from loopmeter import LiveRequest, LoopRequest
from loopmeter_engine.contract import (
    LEASE_CHUNKS_MAX,
    Applied,
    Chunk,
    EngineInfo,
    LiveChange,
    LiveChunk,
    LivePlan,
    Plan,
    ScoreSheet,
    Usage,
)

LEASE_MEDIA_TYPE = "application/vnd.loopmeter.lease"
PART_BYTES_MAX = 64 * 2**20  # A chunk is below 1 MB; a state of five minutes of latents is 2 MB.
BODY_BYTES_MAX = 128 * 2**20

INFO = TypeAdapter(EngineInfo)
PLAN = TypeAdapter(Plan)
LIVE_PLAN = TypeAdapter(LivePlan)
_APPLIED = TypeAdapter(tuple[Applied, ...])
_USAGE = TypeAdapter(Usage)
_HEADER = struct.Struct(">cIIII")
_LENGTHS = struct.Struct(">cIII")


class _Call(BaseModel):
    """``fingerprint`` is the engine's that the stream began with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_chunk: int = Field(ge=0)
    count: int = Field(ge=1, le=LEASE_CHUNKS_MAX)
    state_base64: str | None = Field(default=None, max_length=BODY_BYTES_MAX)
    fingerprint: str

    @property
    def state(self) -> bytes | None:
        return None if self.state_base64 is None else base64.b64decode(self.state_base64)


class LeaseCall(_Call):
    """The body of ``POST /lease``."""

    request: LoopRequest


class LiveLeaseCall(_Call):
    """The body of ``POST /lease-live``; ``changes`` is the session's whole log."""

    request: LiveRequest
    changes: tuple[LiveChange, ...] = ()


class PlanAnswer(BaseModel):
    """The answer of ``POST /plan``, and whose plan it is."""

    plan: Plan
    fingerprint: str


class Refusal(BaseModel):
    """Why a call was not answered. ``kind`` says which exception it was over there."""

    kind: Literal["invalid_request", "value", "failed", "fingerprint", "busy", "unauthenticated", "not_found"]
    message: str
    field: str = ""


def state_field(state: bytes | None) -> str | None:
    """A state as a call carries it."""
    return None if state is None else base64.b64encode(state).decode()


def encode_score(sheet: ScoreSheet) -> bytes:
    return json.dumps({"midi_base64": base64.b64encode(sheet.midi).decode(), "summary": sheet.summary}).encode()


def decode_score(data: bytes) -> ScoreSheet:
    """Raises ``ValueError`` or ``KeyError`` for what is no score."""
    values = json.loads(data)
    return ScoreSheet(midi=base64.b64decode(values["midi_base64"]), summary=values["summary"])


def encode_chunk(chunk: Chunk) -> bytes:
    meta = {"index": chunk.index, "frames": chunk.frames, "usage": _USAGE.dump_python(chunk.usage)}
    if isinstance(chunk, LiveChunk):
        meta["applied"] = _APPLIED.dump_python(chunk.applied)
    return _record(b"C", json.dumps(meta).encode(), chunk.pcm, chunk.state_after)


def encode_failure(message: str) -> bytes:
    return _record(b"F", message.encode())


def encode_end(chunks: int) -> bytes:
    return _record(b"E", str(chunks).encode())


def _record(kind: bytes, *parts: bytes) -> bytes:
    parts = (*parts, *(b"" for _ in range(3 - len(parts))))
    if max(map(len, parts)) > PART_BYTES_MAX:
        raise ValueError(f"expected parts of at most {PART_BYTES_MAX} bytes, found {[len(part) for part in parts]}")
    lengths = [len(part) for part in parts]
    payload = b"".join(parts)
    return _HEADER.pack(kind, *lengths, _checksum(kind, lengths, payload)) + payload


def _checksum(kind: bytes, lengths: list[int], payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTHS.pack(kind, *lengths)))


@dataclass(frozen=True, slots=True)
class LeaseFailed:
    """The engine over there raised ``EngineFailed``."""

    message: str


@dataclass(frozen=True, slots=True)
class LeaseDone:
    """The lease has given all its ``chunks``."""

    chunks: int


class LeaseDecoder:
    """Turns the bytes of a lease, split anywhere, into its events. Keeps at most one record and one ``receive``."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def receive(self, data: bytes) -> None:
        self._bytes += data

    def events(self) -> Iterator[Chunk | LeaseFailed | LeaseDone]:
        """Whatever is complete. Raises ``ValueError`` for bytes that are no lease."""
        while len(self._bytes) >= _HEADER.size:
            kind, *lengths, checksum = _HEADER.unpack_from(self._bytes)
            if kind not in (b"C", b"F", b"E") or max(lengths) > PART_BYTES_MAX:
                raise ValueError(f"expected a record of a lease, found one of kind {kind!r} and lengths {lengths}")
            end = _HEADER.size + sum(lengths)
            if len(self._bytes) < end:
                return
            payload = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            if _checksum(kind, lengths, payload) != checksum:
                raise ValueError(f"expected a record with the checksum {checksum:08x}, found other bytes")
            yield _event(kind, lengths, payload)


def _event(kind: bytes, lengths: list[int], payload: bytes) -> Chunk | LeaseFailed | LeaseDone:
    meta, pcm, state = payload[: lengths[0]], payload[lengths[0] : lengths[0] + lengths[1]], payload[-lengths[2] :]
    if kind == b"F":
        return LeaseFailed(meta.decode())
    if kind == b"E":
        return LeaseDone(int(meta))
    values = json.loads(meta)
    usage = _USAGE.validate_python(values["usage"])
    parts = (values["index"], pcm, values["frames"], usage, state if lengths[2] else b"")
    if "applied" in values:
        return LiveChunk(*parts, applied=_APPLIED.validate_python(values["applied"]))
    return Chunk(*parts)
