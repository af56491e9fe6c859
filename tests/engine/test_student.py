"""The distilled network: who gets it, at what price, and beside streams of its teacher."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from loopmeter import LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.low_rank import settle, tune
from loopmeter_engine.model.transformer import Transformer, TransformerConfig
from loopmeter_engine.sampling import DISTILLED, LASTING, Sampling, sampling_of
from loopmeter_engine.testing import make_all
from loopmeter_engine.weights_io import (
    STUDENT_DIFFERENCE,
    WEIGHTS,
    WeightsUnusable,
    load_student,
    load_transformer,
    save_difference,
)

REQUEST = LoopRequest(prompt="deep house", tempo_bpm=120, bars=2, beats_per_bar=4, seed=5)
PARTS = ("autoencoder.safetensors", "transformer.safetensors")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights with a student of random changes, which sounds like nothing else."""
    folder = tmp_path_factory.mktemp("weights")
    for name in PARTS:
        shutil.copy(WEIGHTS / name, folder / name)
    torch.manual_seed(1)
    network = load_transformer()
    tune(network, 2, ("qkv", "up"))
    found = {name: torch.randn_like(value) * 0.1 for name, value in settle(network).items()}
    save_difference(found, folder / STUDENT_DIFFERENCE)
    return folder


@pytest.fixture(scope="module")
def engine(weights: Path) -> LoopmeterEngine:
    return LoopmeterEngine(weights, device="cpu")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> LoopmeterEngine:
    folder = tmp_path_factory.mktemp("no_student")
    for name in PARTS:
        shutil.copy(WEIGHTS / name, folder / name)
    return LoopmeterEngine(folder, device="cpu")


def _pcm(engine: LoopmeterEngine, **update: object) -> bytes:
    return b"".join(chunk.pcm for chunk in make_all(engine, REQUEST.model_copy(update=update)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, DISTILLED),
        ({"steps": 1}, DISTILLED),
        ({"steps": 1, "bars": 100}, DISTILLED),
        ({"bars": 100}, LASTING),
        ({"steps": 4}, Sampling("euler", 4, 1.5)),
        ({"solver": "heun"}, Sampling("heun", 2, 1.5)),
        ({"steps": 1, "guidance": 2.0}, Sampling("euler", 1, 2.0)),
        ({"negative_prompt": "hiss"}, Sampling("euler", 2, 1.5)),
        ({"task": "cover"}, Sampling("euler", 2, 1.5)),
    ],
)
def test_the_student_serves_whoever_leaves_it_to_the_engine(asked: dict[str, object], expected: Sampling) -> None:
    assert sampling_of(REQUEST.model_copy(update=asked), has_student=True) == expected


def test_without_a_student_two_steps_are_the_default() -> None:
    assert sampling_of(REQUEST, has_student=False) == Sampling("euler", 2, 1.5)
    assert sampling_of(REQUEST.model_copy(update={"steps": 1}), has_student=False) == Sampling("euler", 1, 1.5)


def test_weights_without_a_student_sound_as_their_transformer_does(
    engine: LoopmeterEngine, without: LoopmeterEngine
) -> None:
    taught = {"solver": "euler", "steps": 2, "guidance": 1.5}
    assert _pcm(without) == _pcm(engine, **taught)
    assert _pcm(engine) not in (_pcm(engine, **taught), _pcm(engine, steps=1, guidance=1.0))
    assert engine.info().fingerprint != without.info().fingerprint


def test_the_students_work_is_predicted_and_less_than_half(engine: LoopmeterEngine, without: LoopmeterEngine) -> None:
    plan = engine.plan(REQUEST)
    assert plan.flops == sum(chunk.usage.flops for chunk in make_all(engine, plan.request))
    chunk = next(engine.lease(plan.request, 0, 1, None))
    with FlopCounterMode(display=False) as counter:
        list(engine.lease(plan.request, 1, 1, chunk.state_after))
    made = next(engine.lease(plan.request, 1, 1, chunk.state_after))
    assert made.usage.flops == counter.get_total_flops()
    assert plan.flops < 0.6 * without.plan(REQUEST).flops


def test_students_and_teachers_at_once_sound_as_each_alone(engine: LoopmeterEngine) -> None:
    asked = [{"seed": seed} | ({"guidance": 1.5} if seed % 2 else {}) for seed in range(6)]
    with ThreadPoolExecutor(1) as thread:  # On busy cores the main thread's team of threads waits for itself.
        alone = list(thread.map(lambda each: _pcm(engine, **each), asked))
    start = Barrier(len(asked))

    def together(update: dict[str, object]) -> bytes:
        start.wait()
        return _pcm(engine, **update)

    with ThreadPoolExecutor(len(asked)) as threads:
        assert list(threads.map(together, asked)) == alone
    assert engine.streams_in_one_pass > 1


def test_a_student_of_another_transformer_is_refused_by_name(weights: Path, tmp_path: Path) -> None:
    network = Transformer(TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32))
    tune(network, 2, ("qkv",))
    save_difference(settle(network), tmp_path / STUDENT_DIFFERENCE)
    shutil.copy(WEIGHTS / "transformer.safetensors", tmp_path)
    with pytest.raises(WeightsUnusable, match=r"student_difference\.safetensors does not belong to the weights"):
        load_student(tmp_path / "transformer.safetensors")
    shutil.copy(WEIGHTS / "transformer.safetensors", tmp_path / STUDENT_DIFFERENCE)
    with pytest.raises(WeightsUnusable, match="expected Difference weights"):
        load_student(tmp_path / "transformer.safetensors")
