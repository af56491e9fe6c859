"""Streams side by side: the same sound as alone, to the bit, one network pass for all that wait."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from loopmeter import LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory, Transformer, TransformerConfig
from loopmeter_engine.stopping import LeaseStopped, stop_when
from loopmeter_engine.testing import make_all

PROMPTS = ("dusty lo-fi drums", "deep house bass and chords", "warm pad", "techno, driving", "jazz, brushes")


def test_eight_streams_at_once_sound_as_each_alone() -> None:
    engine = LoopmeterEngine(device="cpu", cores=2)
    requests = [
        LoopRequest(
            prompt=PROMPTS[index % len(PROMPTS)],
            tempo_bpm=100 + 7 * index,
            bars=1 + index % 2,
            seed=index,
            quality="hifi" if index % 3 == 0 else "standard",
            guidance=1.5 if index % 4 == 0 else None,
        )
        for index in range(8)
    ]

    def sound(request: LoopRequest) -> bytes:
        return b"".join(chunk.pcm for chunk in make_all(engine, request))

    with ThreadPoolExecutor(1) as thread:  # On busy cores the main thread's team of threads waits for itself.
        alone = list(thread.map(sound, requests))
    start = threading.Barrier(8)

    def together(request: LoopRequest) -> bytes:
        start.wait()
        return sound(request)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(together, requests)) == alone
    assert engine.streams_in_one_pass > 1


def test_a_stream_that_nobody_wants_stops_before_its_next_pass_and_harms_no_other() -> None:
    engine = LoopmeterEngine(device="cpu")
    request = LoopRequest(prompt="techno", tempo_bpm=120, bars=1)
    before = next(engine.lease(request, 0, 1, None)).pcm
    asked = 0

    def unwanted() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with stop_when(unwanted), pytest.raises(LeaseStopped):
        next(engine.lease(request, 0, 1, None))
    assert asked == 4
    assert next(engine.lease(request, 0, 1, None)).pcm == before


def test_a_stream_off_the_main_thread_computes_without_a_team_of_its_own() -> None:
    engine, before = LoopmeterEngine(device="cpu"), torch.get_num_threads()

    def threads_after_a_lease() -> int:
        torch.set_num_threads(2)  # Holds for the thread that asks.
        next(engine.lease(LoopRequest(prompt="pad", tempo_bpm=120, bars=1), 0, 1, None))
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads_after_a_lease).result() == 1
    assert torch.get_num_threads() == before


@pytest.fixture
def network() -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32)).eval()


def _pass(network: Transformer, memory: Memory) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, ...]]]:
    x, score = torch.randn(1, BLOCK_FRAMES, 64), torch.randn(1, BLOCK_FRAMES, 64)
    return x, score, network.modulations(torch.randn(1, 32), torch.rand(1, 1))


@torch.inference_mode()
def test_streams_at_other_places_keep_their_own_time_and_memory(network: Transformer) -> None:
    """Two streams whose memories are at different positions, run by threads that must meet in one pass."""
    first, second = network.init_memory(1), network.init_memory(1)
    for _ in range(3):
        _, second = network.block(*_pass(network, second), second, absorb=True)
    work = [(*_pass(network, memory), memory) for memory in (first, second)]
    alone = [network.block(*each, absorb=True) for each in work]
    batcher = PassBatcher(network)
    with ThreadPoolExecutor(2) as threads:
        with batcher.turn():  # Both have to wait, and so go together.
            running = [threads.submit(batcher.run, *each, absorb=True) for each in work]
            while len(batcher._alone) < 2:
                pass
        together = [each.result(timeout=30) for each in running]
    assert batcher.largest == 2
    for (velocity, memory), (wanted, after) in zip(together, alone, strict=True):
        assert torch.allclose(velocity, wanted, atol=1e-6)
        assert memory.position == after.position
        for found, expected in zip(memory.keys_values + memory.tail, after.keys_values + after.tail, strict=True):
            assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_no_more_streams_compute_at_once_than_there_are_cores_and_their_meters_add_up(
    network: Transformer, cores: int
) -> None:
    batcher = PassBatcher(network, cores=cores)
    computing, most, counting = 0, 0, threading.Lock()

    @torch.inference_mode()
    def stream(number: int) -> float:
        nonlocal computing, most
        x, score, mods = _pass(network, memory := network.init_memory(1))
        seconds = 0.0
        for _ in range(20):
            with batcher.turn() as turn:
                with counting:
                    computing += 1
                    most = max(most, computing)
                torch.randn(100, 100) @ torch.randn(100, 100)
                with counting:
                    computing -= 1
                batcher.run(x, score, mods, memory, absorb=number % 2 == 0)
            seconds += turn.seconds
        return seconds

    began_s = time.perf_counter()
    with ThreadPoolExecutor(6) as threads:
        metered_s = sum(threads.map(stream, range(6)))
    assert 1 <= most <= cores
    assert 0 < metered_s <= cores * (time.perf_counter() - began_s)


@torch.inference_mode()
def test_passes_that_gather_are_shared_out_among_free_cores(network: Transformer) -> None:
    memory = network.init_memory(1)
    work = [(*_pass(network, memory), memory) for _ in range(6)]
    batcher = PassBatcher(network, passes_max=4)
    with ThreadPoolExecutor(6) as threads:
        with batcher.turn():
            running = [threads.submit(batcher.run, *each) for each in work]
            while len(batcher._alone) < 6:
                pass
        for each, asked in zip(running, work, strict=True):
            alone, _ = network.block(*asked)
            assert torch.allclose(each.result(timeout=30)[0], alone, atol=1e-6)
    assert batcher.largest == 4


@torch.inference_mode()
def test_a_pass_that_breaks_is_heard_of_by_its_stream_and_stops_no_other(network: Transformer) -> None:
    memory = network.init_memory(1)
    x, score, mods = _pass(network, memory)
    batcher = PassBatcher(network)
    with pytest.raises(RuntimeError):
        batcher.run(x[:, :3], score, mods, memory)
    velocity, _ = batcher.run(x, score, mods, memory)
    assert velocity.shape == x.shape
