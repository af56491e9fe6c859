"""Memory comes back by itself when a loop is done; Python's sweep for garbage, which comes late, has none to find."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from loopmeter import LivePrompt, LiveRequest, LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.processes.engine import engine_in_processes
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
def test_memory_of_an_engine_process_is_flat_once_it_is_warm() -> None:
    """Eight loops at a time. What eight streams need at their worst is reached in the first hundred loops."""
    engine = engine_in_processes("loopmeter", 1, cores=1)
    try:
        with ThreadPoolExecutor(8) as streams:
            list(streams.map(lambda seed: make_all(engine, _loop(seed)), range(96)))
            warm = _resident_bytes(engine.crew.pids[0])
            for first in range(96, 384, 96):
                list(streams.map(lambda seed: make_all(engine, _loop(seed)), range(first, first + 96)))
                assert _resident_bytes(engine.crew.pids[0]) < 1.05 * warm
    finally:
        engine.close()


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
