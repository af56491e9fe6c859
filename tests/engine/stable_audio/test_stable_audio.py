"""Stable Audio 3 behind the contract: the real pipelines with tiny random weights."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload_with_hook
from benchmarks.tiny_stable_audio import LATENT, save_tiny_stable_audio
from safetensors.torch import load_file, save_file
from tests.engine.ace_step.conftest import make_source
from tests.engine.stepwise import StepwiseContract, made_as_predicted

from loopmeter import LoopRequest
from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engines.libraries import working_device
from loopmeter_engine.engines.safetensors_check import CheckpointFault
from loopmeter_engine.engines.stable_audio import StableAudioEngine
from loopmeter_engine.engines.stable_audio.checkpoint import inspect_checkpoint, load_pipeline

REQUEST = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=120, bars=1, key="Am", seed=7, steps=2)
TASKS: dict[str, dict[str, Any]] = {
    "text2music": {},
    "cover": {"cover_strength": 0.5},
    "repaint": {"repaint_from_beat": 1.0, "repaint_to_beat": 3.0},
}
SOURCE = make_source()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_stable_audio(tmp_path_factory.mktemp("stable-audio") / "tiny")


@pytest.fixture(scope="module")
def stable_audio(checkpoint: Path) -> StableAudioEngine:
    return StableAudioEngine(checkpoint, device="cpu")


def asked_for(task: str) -> LoopRequest:
    source = {} if task == "text2music" else {"source_audio_base64": SOURCE}
    return LoopRequest.model_validate({**REQUEST.model_dump(), "task": task, **TASKS[task], **source})


class TestStableAudioKeepsTheContract(StepwiseContract):
    short = REQUEST.model_copy(update={"steps": 1})
    long = REQUEST.model_copy(update={"steps": 1, "tempo_bpm": 92.5})  # 2.6 s, three chunks.

    @pytest.fixture
    def engine(self, stable_audio: StableAudioEngine) -> StableAudioEngine:
        return stable_audio


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_exact_frames_at_the_predicted_work(stable_audio: StableAudioEngine, task: str) -> None:
    request = asked_for(task).model_copy(update={"seed": 11})
    plan = stable_audio.plan(request)
    chunks = made_as_predicted(stable_audio, request)
    assert sum(chunk.frames for chunk in chunks) == plan.frames == 88_200


def test_latents_are_the_pipelines_own(stable_audio: StableAudioEngine, checkpoint: Path) -> None:
    pipeline = load_pipeline(inspect_checkpoint(checkpoint), torch.float32)
    direct = pipeline(
        "dusty lo-fi drums, 120 bpm, A minor",
        duration=(23 * 4096 - 1) / 44_100,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).audios[0]
    ours = stable_audio.draw(stable_audio.plan(REQUEST).request, 7)
    assert torch.allclose(ours, direct.T, atol=1e-5, rtol=0)


def test_windows_decode_to_the_whole(stable_audio: StableAudioEngine) -> None:
    latents = torch.randn(60, LATENT, generator=torch.Generator().manual_seed(0))
    vae = stable_audio.vae()
    with torch.no_grad():
        whole = vae.decode(latents.T[None]).sample[0]
    for start, stop in pairwise([0, 6 * 4096, 20 * 4096, 20 * 4096 + 777, 60 * 4096]):
        window = stable_audio._windows.decode(vae, latents, 0, start, stop, 60)
        assert torch.allclose(window, whole[:, start:stop], atol=1e-5, rtol=0)


def test_a_repaint_keeps_the_source_outside_of_its_beats(stable_audio: StableAudioEngine) -> None:
    request = stable_audio.plan(asked_for("repaint")).request
    first, second = (stable_audio.draw(request, seed) for seed in (1, 2))
    painted = stable_audio.asked(request).repainted
    assert painted is not None
    start, stop = painted
    assert torch.equal(first[:start], second[:start]) and torch.equal(first[stop:], second[stop:])
    assert not torch.allclose(first[start:stop], second[start:stop])


def test_a_stronger_cover_stays_nearer_to_its_source(stable_audio: StableAudioEngine) -> None:
    requests = [asked_for("cover").model_copy(update={"cover_strength": strength}) for strength in (0.2, 0.95)]
    far, near = (stable_audio.plan(request).request for request in requests)
    source = stable_audio._encoded(stable_audio.asked(near))
    away = [float((stable_audio.draw(request, 7) - source).abs().mean()) for request in (near, far)]
    assert away[0] < away[1]


def test_a_part_that_waits_in_main_memory_is_given_its_input_where_it_computes(stable_audio: StableAudioEngine) -> None:
    """Offload takes the part to the device when it is called, but not what it is called with."""
    vae = copy.deepcopy(stable_audio.vae())
    assert working_device(vae) == torch.device("cpu")
    cpu_offload_with_hook(vae, torch.device("meta"))
    assert (vae.device, working_device(vae)) == (torch.device("cpu"), torch.device("meta"))
    sound = torch.zeros(1, 2, 4 * vae.downsampling_ratio)
    assert vae.encode(sound.to(working_device(vae))).latents.device == torch.device("meta")


def test_only_the_base_model_knows_guidance_and_only_for_text(stable_audio: StableAudioEngine, tmp_path: Path) -> None:
    guided = REQUEST.model_copy(update={"guidance": 4.0})
    with pytest.raises(InvalidRequest, match="part of this model's weights"):
        stable_audio.plan(guided)
    base = StableAudioEngine(save_tiny_stable_audio(tmp_path / "base", base=True), device="cpu")
    assert "guidance" in base.info().capabilities
    resolved = base.plan(guided).request
    assert not torch.allclose(base.draw(resolved, 7), base.draw(base.plan(REQUEST).request, 7))
    with pytest.raises(InvalidRequest, match="a cover is made without it"):
        base.plan(asked_for("cover").model_copy(update={"guidance": 4.0}))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"task": "cover"}, "source_audio_base64", "expected a source for cover"),
        ({"task": "repaint", "source_audio_base64": SOURCE, "repaint_to_beat": 9.0}, "repaint_to_beat", "at most 4"),
        ({"layers": ("drums",)}, "layers", "Stable Audio does not know it"),
        ({"track": "drums"}, "track", "expected an engine that can do extract or lego"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_request_names_its_field(
    stable_audio: StableAudioEngine, fields: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        stable_audio.plan(REQUEST.model_copy(update=fields))
    assert caught.value.field == field


WEIGHTS = "diffusion_pytorch_model.safetensors"


def _pickled(folder: Path) -> None:
    (folder / "vae" / "model.ckpt").write_bytes(b"\x80\x04.")


def _cut(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-9])


def _misshapen(folder: Path) -> None:
    path = folder / "duration_embedder" / WEIGHTS
    save_file(load_file(path) | {"linear.bias": torch.zeros(7)}, path)


def _lost(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_pickled, r"expected safetensors alone, found .*model\.ckpt, a pickle"),
        (_cut, rf"transformer/{WEIGHTS}, found \d+; the file was cut short"),
        (_misshapen, r"duration_embedder: expected linear\.bias of shape \(16,\), found \(7,\)"),
        (_lost, "expected the part text_encoder of a Stable Audio 3 checkpoint"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_by_name(
    checkpoint: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    harm(tmp_path / "copy")
    with pytest.raises(CheckpointFault, match=said):
        inspect_checkpoint(tmp_path / "copy")
