"""Memory comes back by itself when a loop is done; Python's sweep for garbage, which comes late, has none to find."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from loopmeter import LivePrompt, LiveRequest, LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.processes.engine import ProcessEngine, engine_in_processes
from loopmeter_engine.processes.giving_back import IDLE_S
from loopmeter_engine.testing import make_all, make_live

LOOP = LoopRequest(prompt="deep house with bass", tempo_bpm=240, bars=1, quality="hifi")


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine(device="cpu")


@contextmanager
def swept() -> Iterator[list[object]]:
    """What only a sweep would let go of what the block leaves."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("guidance", [None, 2.0], ids=["student", "teacher"])
def test_a_loop_that_is_done_leaves_no_tensor_to_a_sweep(engine: LoopmeterEngine, guidance: float | None) -> None:
    with swept() as found:
        make_all(engine, LOOP.model_copy(update={"guidance": guidance}))
        engine._renderer.cache_clear()

    assert [one for one in found if isinstance(one, torch.Tensor)] == []


def test_a_session_that_is_done_leaves_no_tensor_to_a_sweep(engine: LoopmeterEngine) -> None:
    session = LiveRequest(prompts=(LivePrompt(text="funk"),), tempo_bpm=120)
    with swept() as found:
        make_live(engine, session, [], chunks=2, lease_chunks=2)
        engine._live_renderer.cache_clear()

    assert [one for one in found if isinstance(one, torch.Tensor)] == []


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="read from Linux's /proc")
def test_an_engine_process_comes_back_to_the_same_memory_after_every_fifty_loops() -> None:
    """Eight at a time, then silence until it gives back what the allocator kept: what stays does not grow.

    Not to the byte: the last sixteen loops stay prepared, and some are four times as long as others. Measured: 767,
    770, 804, 808 MB. What waited for a sweep was 100 MB by then.
    """
    engine = engine_in_processes("loopmeter", 1, cores=1)
    try:
        rests = [_rest_bytes(engine, range(first, first + 48)) for first in range(0, 192, 48)]
    finally:
        engine.close()

    assert max(rests[1:]) < 1.1 * rests[0], rests


def _rest_bytes(engine: ProcessEngine, seeds: range) -> int:
    """What the process holds once it has made these loops and given back the rest."""
    pid = engine.crew.pids[0]
    with ThreadPoolExecutor(8) as streams:
        list(streams.map(lambda seed: make_all(engine, _loop(seed)), seeds))
    busy, until_s = _resident_bytes(pid), time.monotonic() + 3 * IDLE_S
    while _resident_bytes(pid) > 0.9 * busy:
        assert time.monotonic() < until_s, f"expected less than {busy} bytes after {IDLE_S:g} s of silence"
        time.sleep(1)
    time.sleep(1)  # It may have been seen on its way.
    return _resident_bytes(pid)


def _loop(seed: int) -> LoopRequest:
    """Another length, genre and quality each time."""
    pick = random.Random(seed)
    return LoopRequest(
        prompt=pick.choice(["dusty lo-fi drums", "deep house with bass", "ambient pad", "jazz trio", "techno"]),
        tempo_bpm=pick.choice([90, 104.5, 120, 140]),
        bars=pick.choice([1, 2]),
        seed=seed,
        quality=pick.choice(["standard", "hifi"]),
    )


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
