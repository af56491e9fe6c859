"""What every engine must get exactly right, once: the length of a loop, its chunk table, the bounds of a lease.

Torch-free and pure. Plug-ins may use it too; ``docs/write-an-engine.md`` does.
"""

from __future__ import annotations

import struct

from loopmeter import LoopRequest
from loopmeter_engine.contract import LEASE_CHUNKS_MAX, InvalidRequest, Plan

DEFAULT_TEMPO_BPM = 120.0
DEFAULT_BARS = 4
DEFAULT_KEY = "C"


def loop_frames(request: LoopRequest, sample_rate_hz: int) -> int:
    """The length that the contract asks for. ``request`` must have tempo and bars."""
    assert request.bars is not None and request.tempo_bpm is not None
    return round(request.bars * request.beats_per_bar * 60.0 / request.tempo_bpm * sample_rate_hz)


def with_defaults(request: LoopRequest, duration_s_max: float) -> LoopRequest:
    """The request with nothing left open, for engines that do not read the prompt: 120 bpm, 4 bars, in C.

    Raises:
        InvalidRequest: the loop would be longer than ``duration_s_max``.
    """
    resolved = request.model_copy(
        update={
            "tempo_bpm": request.tempo_bpm or DEFAULT_TEMPO_BPM,
            "bars": request.bars or DEFAULT_BARS,
            "key": request.key or DEFAULT_KEY,
        }
    )
    refuse_too_long(request, resolved, duration_s_max)
    return resolved


def refuse_too_long(request: LoopRequest, resolved: LoopRequest, duration_s_max: float) -> None:
    """Raises ``InvalidRequest`` with the field to change when ``resolved`` lasts longer than ``duration_s_max``."""
    assert resolved.bars is not None and resolved.tempo_bpm is not None
    duration_s = resolved.bars * resolved.beats_per_bar * 60.0 / resolved.tempo_bpm
    if duration_s > duration_s_max:
        raise InvalidRequest(
            "bars" if request.bars is not None else "tempo_bpm",
            f"expected at most {duration_s_max:g} s, found {duration_s:.1f} s "
            f"({resolved.bars} bars of {resolved.beats_per_bar} beats at {resolved.tempo_bpm:g} bpm); "
            "ask for fewer bars or a faster tempo",
        )


def chunk_table(frames: int, first_frames: int, chunk_frames: int) -> tuple[int, ...]:
    """A first chunk, then equal ones, then what is left. None is empty; the sum is ``frames``."""
    first = min(first_frames, frames)
    whole, rest = divmod(frames - first, chunk_frames)
    return (first, *[chunk_frames] * whole, *([rest] if rest else []))


def plan_in_chunks(
    resolved: LoopRequest, sample_rate_hz: int, table: tuple[int, ...], work: tuple[int, ...], memory_bytes: int
) -> Plan:
    """The plan of a request with nothing left open: chunks of ``table`` frames, each of ``work`` operations."""
    hifi = resolved.quality == "hifi"
    return Plan(
        request=resolved,
        frames=sum(table),
        sample_rate_hz=sample_rate_hz,
        channels=2 if hifi else 1,
        bits=24 if hifi else 16,
        chunk_frames=table,
        flops=sum(work),
        peak_memory_bytes=memory_bytes,
        first_chunk_flops=work[0],
    )


def check_lease(plan: Plan, start_chunk: int, count: int) -> None:
    """Raises ``ValueError`` for a lease that is too large or outside of the plan."""
    chunks = len(plan.chunk_frames)
    if not 1 <= count <= LEASE_CHUNKS_MAX:
        raise ValueError(f"expected a count of 1 to {LEASE_CHUNKS_MAX} chunks, found {count}; split the lease")
    if not 0 <= start_chunk <= chunks - count:
        raise ValueError(f"expected chunks inside 0..{chunks - 1}, found {start_chunk}..{start_chunk + count - 1}")


def check_live_lease(start_chunk: int, count: int) -> None:
    """As ``check_lease``, of an endless session."""
    if not 1 <= count <= LEASE_CHUNKS_MAX or start_chunk < 0:
        raise ValueError(
            f"expected 1 to {LEASE_CHUNKS_MAX} chunks from chunk 0 on, found {count} from {start_chunk}; "
            "split the lease"
        )


def metronome(request: LoopRequest) -> bytes:
    """A Standard MIDI File, format 0, 480 ticks a beat: one click per beat on the drum channel, accented on the bar.

    What an engine without a score of its own can honestly say of a loop: its tempo, its meter and its beats.
    """
    assert request.bars is not None and request.tempo_bpm is not None
    tempo_us = round(60_000_000 / request.tempo_bpm)
    events = [
        b"\x00\xff\x51\x03" + tempo_us.to_bytes(3, "big"),
        b"\x00\xff\x58\x04" + bytes((request.beats_per_bar, 2, 24, 8)),
    ]
    for beat in range(request.bars * request.beats_per_bar):
        note, velocity = (76, 112) if beat % request.beats_per_bar == 0 else (77, 80)
        # On for half a beat: 240 ticks, as the variable-length number 81 70.
        events.append(b"\x00" if beat == 0 else b"\x81\x70")
        events.append(bytes((0x99, note, velocity)) + b"\x81\x70" + bytes((0x89, note, 0)))
    events.append(b"\x81\x70\xff\x2f\x00")
    track = b"".join(events)
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track
