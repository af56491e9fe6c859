"""How fast an engine is, one stream at a time: ``python -m benchmarks.engine [NAME]``; ``measure`` gives its rows.

Everything is taken from outside, around the contract, so that any engine can be measured.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import table

from loopmeter import LoopRequest, Quality
from loopmeter_engine.contract import LEASE_CHUNKS_MAX, Chunk, Engine
from loopmeter_engine.registry import load_engine

FIRST_CHUNKS = 9
WARM = 4  # The chunks before this one are left out where chunks are compared.
WINDOW = 8  # Chunks whose median stands for a place in the stream.
TEMPO_BPM = 120.0
PROMPT = "deep house with bass, chords and a lead"


class Row(NamedTuple):
    """One figure in both qualities. ``bar`` is what the design asks for at first."""

    what: str
    standard: str
    hifi: str
    bar: str


class Stream(NamedTuple):
    """One long stream: seconds that each chunk took, seconds of sound, bytes of state after each chunk."""

    times_s: list[float]
    sound_s: float
    states: list[int]


def measure(engine: Engine, bars: int = 150) -> list[Row]:
    """Two streams of ``bars`` bars, 2 s each, and some short ones. At 10 times real time it takes 70 s."""
    standard, hifi = (_figures(engine, quality, bars) for quality in ("standard", "hifi"))
    bars_asked = ("10 x", "-", "-", "-", "1.1 x", "-")
    return [Row(what, one, other, bar) for (what, one), (_, other), bar in zip(standard, hifi, bars_asked, strict=True)]


def _figures(engine: Engine, quality: Quality, bars: int) -> list[tuple[str, str]]:
    _first_chunk_s(engine, quality, seed=0)  # Loads weights and wakes the threads; not counted.
    first = statistics.median(_first_chunk_s(engine, quality, seed) for seed in range(1, FIRST_CHUNKS + 1))
    stream = _stream(engine, quality, bars)
    whole = stream.times_s[:-1]  # The last chunk may be short.
    early, late = statistics.median(whole[WARM : WARM + WINDOW]), statistics.median(whole[-WINDOW:])
    return [
        ("speed, whole stream", f"{stream.sound_s / sum(stream.times_s):.1f} x real time"),
        ("first chunk of a new loop", f"{first * 1000:.0f} ms"),
        (f"chunk {WARM} (median of {WINDOW} from there)", f"{early * 1000:.1f} ms"),
        (f"chunk {len(whole) - 1} (median of the {WINDOW} to there)", f"{late * 1000:.1f} ms"),
        ("late chunk against early chunk", f"{late / early:.2f} x"),
        ("state, after an early and a late chunk", f"{stream.states[WARM]:,}; {stream.states[-2]:,} bytes"),
    ]


def _first_chunk_s(engine: Engine, quality: Quality, seed: int) -> float:
    """Reading the prompt, composing and the first chunk of sound; nothing of it was asked before."""
    request = LoopRequest(prompt=PROMPT, tempo_bpm=TEMPO_BPM, bars=4, quality=quality, seed=seed)
    began = time.perf_counter()
    next(engine.lease(request, 0, 1, None))
    return time.perf_counter() - began


def _stream(engine: Engine, quality: Quality, bars: int) -> Stream:
    request = LoopRequest(prompt=PROMPT, tempo_bpm=TEMPO_BPM, bars=bars, quality=quality)
    chunks = _chunks(engine, request)
    times_s: list[float] = []
    states: list[int] = []
    frames = 0
    while True:
        began = time.perf_counter()
        chunk = next(chunks, None)
        if chunk is None:
            return Stream(times_s, frames / engine.info().sample_rate_hz, states)
        times_s.append(time.perf_counter() - began)
        states.append(len(chunk.state_after))
        frames += chunk.frames


def _chunks(engine: Engine, request: LoopRequest) -> Iterator[Chunk]:
    """Lease after lease, as a gateway asks for them."""
    plan, state = engine.plan(request), None
    count = len(plan.chunk_frames)
    for start in range(0, count, LEASE_CHUNKS_MAX):
        for chunk in engine.lease(plan.request, start, min(LEASE_CHUNKS_MAX, count - start), state):
            state = chunk.state_after
            yield chunk


def main() -> None:
    engine = load_engine(sys.argv[1] if len(sys.argv) > 1 else "loopmeter")
    print(table.plain(Row._fields, measure(engine)))


if __name__ == "__main__":
    main()
