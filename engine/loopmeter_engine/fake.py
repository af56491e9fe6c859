"""A tiny deterministic engine, for tests and for people who write clients: no torch, no weights, no music.

It keeps every promise of ``contract.py`` at no cost: exact frames, a chunk table shaped like the real engine's, a
state that is really needed, leases that may be split anywhere. Each chunk is one steady tone drawn from a hash chain
over the request; the score is a metronome. A live session is the same, but that the tone changes where settings do.
"""

from __future__ import annotations

import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator, Sequence

from loopmeter import LAYERS, LiveRequest, LoopRequest
from loopmeter_engine.capabilities import refuse_unsupported
from loopmeter_engine.contract import (
    Chunk,
    EngineFailed,
    EngineInfo,
    LiveChange,
    LiveChunk,
    LivePlan,
    Plan,
    ScoreSheet,
    Usage,
)
from loopmeter_engine.exact import check_lease, check_live_lease, chunk_table, loop_frames, metronome, with_defaults
from loopmeter_engine.live_grid import Span, spans, spans_within

SAMPLE_RATE_HZ = 44_100
CHUNK_FRAMES = 32_768
FIRST_CHUNK_FRAMES = 22_528
DURATION_S_MAX = 300.0

_CAPABILITIES = frozenset({"hifi", "live", "midi"})
_STEPS = 8
_FLOPS_PER_FRAME_STEP = 250
_MEMORY_BYTES = 1 << 20
_DIGEST_BYTES = 32


class FakeEngine:
    """Make tones behind the engine contract.

    ``chunk_delay_s`` is slept before each chunk, through ``sleep``. ``streams_at_once`` is what ``info`` says; it may
    be any number, since nothing is shared between calls. ``fail_at_chunk`` raises ``EngineFailed`` instead
    of making that chunk: every time, or only the first ``fail_times`` times.

    >>> engine = FakeEngine()
    >>> engine.plan(LoopRequest(prompt="drums", tempo_bpm=120, bars=1)).chunk_frames
    (22528, 32768, 32768, 136)
    """

    def __init__(
        self,
        *,
        chunk_delay_s: float = 0.0,
        fail_at_chunk: int | None = None,
        fail_times: int | None = None,
        streams_at_once: int = 1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chunk_delay_s = chunk_delay_s
        self._fail_at_chunk = fail_at_chunk
        self._failures_left: float = math.inf if fail_times is None else fail_times
        self._streams_at_once = streams_at_once
        self._sleep = sleep

    def info(self) -> EngineInfo:
        return EngineInfo(
            name="fake",
            version="1",
            fingerprint="fake-1",
            sample_rate_hz=SAMPLE_RATE_HZ,
            capabilities=_CAPABILITIES,
            duration_s_max=DURATION_S_MAX,
            licence="Apache-2.0",
            streams_at_once=self._streams_at_once,
            output_rights="yours, to use and to sell",
        )

    def plan(self, request: LoopRequest) -> Plan:
        resolved = _resolve(request)
        frames = loop_frames(resolved, SAMPLE_RATE_HZ)
        channels, bits = (2, 24) if resolved.quality == "hifi" else (1, 16)
        table = chunk_table(frames, FIRST_CHUNK_FRAMES, CHUNK_FRAMES)
        return Plan(
            request=resolved,
            frames=frames,
            sample_rate_hz=SAMPLE_RATE_HZ,
            channels=channels,
            bits=bits,
            chunk_frames=table,
            flops=_flops(resolved, frames),
            peak_memory_bytes=_MEMORY_BYTES,
            first_chunk_flops=_flops(resolved, table[0]),
        )

    def score(self, request: LoopRequest) -> ScoreSheet:
        resolved = _resolve(request)
        summary: dict[str, object] = {
            "tempo_bpm": resolved.tempo_bpm,
            "bars": resolved.bars,
            "beats_per_bar": resolved.beats_per_bar,
            "key": resolved.key,
            "layers": ["drums"],
        }
        return ScoreSheet(midi=metronome(resolved), summary=summary)

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        check_lease(plan, start_chunk, count)
        identity = hashlib.sha256(plan.request.model_dump_json().encode()).digest()
        digest = _replay(identity, start_chunk) if state is None else _open_state(identity, start_chunk, state)
        return self._make(plan, identity, digest, range(start_chunk, start_chunk + count))

    def plan_live(self, request: LiveRequest) -> LivePlan:
        resolved = _resolve_live(request)
        channels, bits = (2, 24) if resolved.quality == "hifi" else (1, 16)
        return LivePlan(
            request=resolved,
            sample_rate_hz=SAMPLE_RATE_HZ,
            channels=channels,
            bits=bits,
            chunk_frames=CHUNK_FRAMES,
            flops_per_chunk=_flops(resolved, CHUNK_FRAMES),
            peak_memory_bytes=_MEMORY_BYTES,
        )

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        plan = self.plan_live(request)
        check_live_lease(start_chunk, count)
        identity = hashlib.sha256(plan.request.model_dump_json().encode()).digest()
        played = spans(plan.request, changes, plan.chunk_frames, plan.sample_rate_hz)
        digest = identity
        if state is not None:
            digest = _open_state(identity, start_chunk, state)
        else:
            for index in range(start_chunk):
                digest = _advance(digest + _settings_of(_of_chunk(played, index)))
        return self._make_live(plan, played, identity, digest, range(start_chunk, start_chunk + count))

    def _make_live(
        self, plan: LivePlan, played: list[Span], identity: bytes, digest: bytes, indexes: range
    ) -> Iterator[LiveChunk]:
        for index in indexes:
            self._wait_or_fail(index)
            start = index * CHUNK_FRAMES
            heard = _of_chunk(played, index)
            pcm = b""
            for span, stop in zip(heard, [*(after.frame for after in heard[1:]), start + CHUNK_FRAMES], strict=True):
                tone = _advance(digest + _settings_of([span]))
                pcm += _tone(tone, stop - max(start, span.frame), plan.channels, plan.bits)
            digest = _advance(digest + _settings_of(heard))
            yield LiveChunk(
                index=index,
                pcm=pcm,
                frames=CHUNK_FRAMES,
                usage=_usage(plan.request, CHUNK_FRAMES),
                state_after=_seal_state(identity, index + 1, digest),
                applied=tuple(change for span in heard if span.frame >= start for change in span.applied),
            )

    def _wait_or_fail(self, index: int) -> None:
        if self._chunk_delay_s > 0:
            self._sleep(self._chunk_delay_s)
        if index == self._fail_at_chunk and self._failures_left > 0:
            self._failures_left -= 1
            raise EngineFailed(f"chunk {index} failed because the engine was built with fail_at_chunk={index}")

    def _make(self, plan: Plan, identity: bytes, digest: bytes, indexes: range) -> Iterator[Chunk]:
        for index in indexes:
            self._wait_or_fail(index)
            frames = plan.chunk_frames[index]
            yield Chunk(
                index=index,
                pcm=_tone(digest, frames, plan.channels, plan.bits),
                frames=frames,
                usage=_usage(plan.request, frames),
                state_after=_seal_state(identity, index + 1, _advance(digest)),
            )
            digest = _advance(digest)


def _resolve(request: LoopRequest) -> LoopRequest:
    refuse_unsupported(request, "fake", _CAPABILITIES)
    return with_defaults(request, DURATION_S_MAX)


def _resolve_live(request: LiveRequest) -> LiveRequest:
    return request.model_copy(
        update={
            "tempo_bpm": request.tempo_bpm or 120.0,
            "key": request.key or "C",
            "layers": request.layers or LAYERS,
            "density": 0.5 if request.density is None else request.density,
            "intensity": 0.5 if request.intensity is None else request.intensity,
        }
    )


def _of_chunk(played: list[Span], index: int) -> list[Span]:
    return spans_within(played, index * CHUNK_FRAMES, (index + 1) * CHUNK_FRAMES)


def _settings_of(heard: list[Span]) -> bytes:
    return b"".join(b"%d" % span.frame + span.request.model_dump_json().encode() for span in heard)


def _flops(resolved: LoopRequest | LiveRequest, frames: int) -> int:
    return frames * (resolved.steps or _STEPS) * _FLOPS_PER_FRAME_STEP


def _usage(resolved: LoopRequest | LiveRequest, frames: int) -> Usage:
    """Figures of a plausible size, equal at every call: this engine has no device to measure."""
    return Usage(
        frames=frames,
        steps=resolved.steps or _STEPS,
        flops=_flops(resolved, frames),
        device_seconds=frames / SAMPLE_RATE_HZ / 40,
        peak_memory_bytes=_MEMORY_BYTES,
    )


# The chain: chunk k is drawn from digest k, digest 0 is the request's, and each digest is the hash of the one before.
# So chunk k cannot be made without the state after k - 1, or the way there.


def _advance(digest: bytes) -> bytes:
    return hashlib.sha256(digest).digest()


def _replay(identity: bytes, start_chunk: int) -> bytes:
    digest = identity
    for _ in range(start_chunk):
        digest = _advance(digest)
    return digest


def _seal_state(identity: bytes, next_chunk: int, digest: bytes) -> bytes:
    return digest + hashlib.sha256(identity + struct.pack("<I", next_chunk) + digest).digest()


def _open_state(identity: bytes, start_chunk: int, state: bytes) -> bytes:
    digest = state[:_DIGEST_BYTES]
    if state != _seal_state(identity, start_chunk, digest):
        raise EngineFailed(
            f"expected the state after chunk {start_chunk - 1} of this request, found {len(state)} other bytes; "
            "pass the state_after of that chunk, or None to replay"
        )
    return digest


def _tone(digest: bytes, frames: int, channels: int, bits: int) -> bytes:
    """Interleaved little-endian PCM: a steady tone of 110 to 441 Hz at -12 dB, in whole numbers on every machine."""
    period = 100 + int.from_bytes(digest[:2], "little") % 301
    half = period / 2
    scale = 1 << (bits - 3)
    cycle = bytearray()
    for step in range(period):
        # One parabola up, one down: close enough to a sine, and exact.
        x = step % half / half
        sample = round(4 * x * (1 - x) * scale) * (1 if step < half else -1)
        cycle += sample.to_bytes(bits // 8, "little", signed=True) * channels
    frame_bytes = channels * bits // 8
    return (bytes(cycle) * (frames // period + 1))[: frames * frame_bytes]
