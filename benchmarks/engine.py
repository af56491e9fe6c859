"""How fast an engine is, with one stream and with eight: ``python -m benchmarks.engine [NAME]``.

``measure`` gives the rows. Everything is taken from outside, around the contract, so that any engine can be measured.
One stream is measured in this process; eight are, as ``loopmeter serve`` makes them, in as many as suit the engine, and
in turn with that in this one.
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from benchmarks import table

from loopmeter import LoopRequest, Quality
from loopmeter_engine.contract import LEASE_CHUNKS_MAX, Engine
from loopmeter_engine.processes.count import default_processes
from loopmeter_engine.registry import load_engine, open_engine

FIRST_CHUNKS = 9
EARLY = 4  # The chunk that late ones are compared with; before it a stream is still warming up.
COMPARED = 4  # Chunks made at a time, early and late in turn, so that whatever else the machine does hits both.
ROUNDS = 9
TEMPO_BPM = 120.0
BAR_S = 4 * 60 / TEMPO_BPM
LOOP_BARS, LOOPS = 8, 5
STREAMS, STREAM_BARS, STREAM_ROUNDS = 8, 4, 3
PROMPT = "deep house with bass, chords and a lead"


class Row(NamedTuple):
    """One figure in both qualities. ``bar`` is what the design asks for at first."""

    what: str
    standard: str
    hifi: str
    bar: str


class Place(NamedTuple):
    """A chunk number in a stream, the state from which the chunk is made, and the peak of memory by then."""

    number: int
    state: bytes
    peak_memory_bytes: int


def measure(engine: Engine, served: Engine | None = None, bars: int = 150) -> list[Row]:
    """Two streams of ``bars`` bars, 2 s each, and some short ones. At 10 times real time it takes 80 s.

    ``served`` is the same engine as a gateway has it; None if that is no other.
    """
    standard, hifi = (_figures(engine, served, quality, bars) for quality in ("standard", "hifi"))
    asked = ("10 x", "10 x", "-", "-", "-", "1.1 x", "flat", "flat", "-", "25 x", "2 x", "-", "-")[: len(standard)]
    return [Row(what, one, other, bar) for (what, one), (_, other), bar in zip(standard, hifi, asked, strict=True)]


def served_engine(name: str) -> Engine | None:
    """The engine called ``name`` in as many processes as ``loopmeter serve`` takes; None if it takes none."""
    count = default_processes(name)
    return open_engine(name, processes=count) if count else None


def _figures(engine: Engine, served: Engine | None, quality: Quality, bars: int) -> list[tuple[str, str]]:
    _first_chunk_s(engine, quality, seed=0)  # Loads weights and wakes the threads; not counted.
    first_s = statistics.median(_first_chunk_s(engine, quality, seed) for seed in range(1, FIRST_CHUNKS + 1))
    request = LoopRequest(prompt=PROMPT, tempo_bpm=TEMPO_BPM, bars=bars, quality=quality)
    stream_s, early, late = _stream(engine, request)
    loop_s = statistics.median(
        _stream(engine, request.model_copy(update={"bars": LOOP_BARS, "seed": seed}))[0] for seed in range(LOOPS)
    )
    times_s: dict[Place, list[float]] = {early: [], late: []}
    for _ in range(ROUNDS):
        for place, found in times_s.items():
            found.append(_chunk_s(engine, request, place))
    early_s, late_s = statistics.median(times_s[early]), statistics.median(times_s[late])
    return [
        (f"speed, loop of {LOOP_BARS * BAR_S:.0f} s", f"{LOOP_BARS * BAR_S / loop_s:.1f} x real time"),
        (f"speed, piece of {bars * BAR_S:.0f} s", f"{bars * BAR_S / stream_s:.1f} x real time"),
        ("first chunk of a new loop", f"{first_s * 1000:.0f} ms"),
        (f"chunk {early.number}", f"{early_s * 1000:.1f} ms"),
        (f"chunk {late.number}", f"{late_s * 1000:.1f} ms"),
        (f"chunk {late.number} against chunk {early.number}", f"{late_s / early_s:.2f} x"),
        ("state before each", f"{len(early.state):,}; {len(late.state):,} bytes"),
        ("peak memory before each", f"{early.peak_memory_bytes / 1e6:.0f}; {late.peak_memory_bytes / 1e6:.0f} MB"),
        *_side_by_side(engine, served, quality),
    ]


def _side_by_side(engine: Engine, served: Engine | None, quality: Quality) -> list[tuple[str, str]]:
    """Eight streams, one after another and at once, as they are served and in this process, in turn."""
    requests = [
        LoopRequest(prompt=PROMPT, tempo_bpm=TEMPO_BPM, bars=STREAM_BARS, quality=quality, seed=seed)
        for seed in range(STREAMS)
    ]
    states = [next(engine.lease(request, 0, 1, None)).state_after for request in requests]
    engines = {"served": served, "here": engine}
    speeds = {(one, at_once): list[float]() for one in engines.values() if one for at_once in (1, STREAMS)}
    for number in range(STREAM_ROUNDS + (served is not None)):
        for (one, at_once), found in speeds.items():
            speed = _speed(one, requests, states, at_once)
            if number or served is None:  # In their first round, processes prepare the streams.
                found.append(speed)
    medians = [statistics.median(found) for found in speeds.values()]
    where = f", in {served.info().processes} processes" if served else ""
    rows = [
        (f"{STREAMS} streams, one after another{where}", f"{medians[0]:.1f} x real time in all"),
        (f"{STREAMS} streams at once{where}", f"{medians[1]:.1f} x real time in all"),
        ("at once against one after another", f"{medians[1] / medians[0]:.2f} x"),
    ]
    if served:
        rows += [
            ("one after another; at once, in one process", "; ".join(f"{found:.1f}" for found in medians[2:]) + " x"),
            ("at once against one after another, in one process", f"{medians[3] / medians[2]:.2f} x"),
        ]
    return rows


def _speed(engine: Engine, requests: list[LoopRequest], states: list[bytes], at_once: int) -> float:
    """Seconds of sound in a second, of all streams together, all past their first chunk."""

    def stream(request: LoopRequest, state: bytes) -> float:
        count = min(LEASE_CHUNKS_MAX, len(engine.plan(request).chunk_frames) - 1)
        rate_hz = engine.plan(request).sample_rate_hz
        return sum(chunk.frames for chunk in engine.lease(request, 1, count, state)) / rate_hz

    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        sound_s = sum(pool.map(stream, requests, states))
        return sound_s / (time.perf_counter() - began)


def _first_chunk_s(engine: Engine, quality: Quality, seed: int) -> float:
    """Reading the prompt, composing and the first chunk of sound; nothing of it was asked before."""
    request = LoopRequest(prompt=PROMPT, tempo_bpm=TEMPO_BPM, bars=4, quality=quality, seed=seed)
    began = time.perf_counter()
    next(engine.lease(request, 0, 1, None))
    return time.perf_counter() - began


def _stream(engine: Engine, request: LoopRequest) -> tuple[float, Place, Place]:
    """Seconds for the whole loop, lease after lease as a gateway asks for them, and an early and a late place."""
    count = len(engine.plan(request).chunk_frames)
    late_index = count - 1 - COMPARED  # The last chunk may be short.
    places: dict[int, Place] = {}
    state: bytes | None = None
    began = time.perf_counter()
    for start in range(0, count, LEASE_CHUNKS_MAX):
        for chunk in engine.lease(request, start, min(LEASE_CHUNKS_MAX, count - start), state):
            state = chunk.state_after
            if chunk.index + 1 in (EARLY, late_index):
                places[chunk.index + 1] = Place(chunk.index + 1, state, chunk.usage.peak_memory_bytes)
    return time.perf_counter() - began, places[EARLY], places[late_index]


def _chunk_s(engine: Engine, request: LoopRequest, place: Place) -> float:
    began = time.perf_counter()
    made = len(list(engine.lease(request, place.number, COMPARED, place.state)))
    return (time.perf_counter() - began) / made


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "loopmeter"
    print(table.plain(Row._fields, measure(load_engine(name), served_engine(name))))


if __name__ == "__main__":
    main()
