"""ACE-Step behind the contract: the real pipeline with tiny random weights."""

from __future__ import annotations

import base64
import math
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.engine.stepwise import StepwiseContract, made_as_predicted

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed, InvalidRequest
from loopmeter_engine.engines.ace_step import AceStepEngine
from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES, ask, duration_s
from loopmeter_engine.engines.ace_step.checkpoint import inspect_checkpoint, load_pipeline
from loopmeter_engine.engines.ace_step.engine import WINDOWS
from loopmeter_engine.engines.ace_step.sections import sections
from loopmeter_engine.engines.int8 import Int8Linear
from loopmeter_engine.engines.memory import choose_mode
from loopmeter_engine.engines.windows import GAIN, levelled
from loopmeter_engine.engines.words import key_words
from loopmeter_engine.testing import make_all

REQUEST = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92.5, bars=1, key="Am", seed=7, steps=2)
TASKS: dict[str, dict[str, Any]] = {
    "text2music": {},
    "cover": {"cover_strength": 0.5},
    "repaint": {"repaint_from_beat": 1.0, "repaint_to_beat": 3.0},
    "extract": {"track": "drums"},
    "lego": {"track": "bass"},
    "complete": {"tracks": ("drums", "bass")},
}


def asked_for(task: str, source_base64: str) -> LoopRequest:
    source = {} if task == "text2music" else {"source_audio_base64": source_base64}
    return LoopRequest.model_validate({**REQUEST.model_dump(), "task": task, **TASKS[task], **source})


class TestAceStepKeepsTheContract(StepwiseContract):
    short = REQUEST.model_copy(update={"steps": 1})
    long = REQUEST.model_copy(update={"steps": 1, "bars": 2})  # Four chunks.

    @pytest.fixture
    def engine(self, ace_step: AceStepEngine) -> AceStepEngine:
        return ace_step


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_exact_frames_at_the_predicted_work(
    ace_step: AceStepEngine, source_base64: str, task: str
) -> None:
    request = asked_for(task, source_base64).model_copy(update={"seed": 11})
    plan = ace_step.plan(request)
    chunks = made_as_predicted(ace_step, request)
    assert sum(chunk.frames for chunk in chunks) == plan.frames == round(4 * 60 / 92.5 * 48_000)


def test_a_piece_longer_than_the_window_is_made_in_sections(checkpoint: Path, ace_step: AceStepEngine) -> None:
    """68 latent frames by a window of 40: 40, then 13 of context and 27 new ones, then 13 and 1."""
    engine = AceStepEngine(checkpoint, device="cpu", window_latents=40)
    plan = engine.plan(REQUEST)
    parts = sections(engine.asked(plan.request), 40)
    assert [(part.asked.latents, part.context) for part in parts] == [(40, 0), (40, 13), (14, 13)]

    chunks = made_as_predicted(engine, REQUEST)
    assert sum(chunk.frames for chunk in chunks) == plan.frames == ace_step.plan(REQUEST).frames
    assert [chunk.pcm for chunk in chunks] == [chunk.pcm for chunk in make_all(engine, REQUEST, 1)]

    latents = engine._make_latents(plan.request)  # Anew: those above were made by other kernels, to be counted.
    jumps = engine._sound_of(latents).diff().abs().amax(dim=0)
    near = torch.zeros_like(jumps, dtype=torch.bool)
    for joint in (40, 67):
        near[joint * LATENT_FRAMES - 32 : joint * LATENT_FRAMES + 32] = True
    assert jumps[near].max() <= jumps[~near].max()
    again = AceStepEngine(checkpoint, device="cpu", window_latents=40)._latents(plan.request)
    assert torch.equal(latents, again)
    assert torch.allclose(latents[:40], engine._host.latents(parts[0].asked, plan.request.seed, None), atol=1e-5)


def test_every_length_is_asked_for_so_that_it_comes() -> None:
    """As the pipeline counts: rounded up, after a multiplication that rounds."""
    assert all(math.ceil(duration_s(latents) * 25.0) == latents for latents in range(1, 15_001))
    assert duration_s(50) == 2.0


def test_a_length_that_the_pipeline_miscounts_is_made(ace_step: AceStepEngine) -> None:
    """14 frames of 40 ms: 14 / 25 * 25 is more than 14."""
    asked = ask(ace_step.plan(REQUEST).request, 11 * LATENT_FRAMES, is_turbo=False)
    assert asked.latents == 14
    assert ace_step._host.latents(asked, 1, None).shape == (14, 8)


def test_what_fits_is_asked_of_the_model_at_once(ace_step: AceStepEngine, source_base64: str) -> None:
    long = ace_step.plan(REQUEST.model_copy(update={"bars": 400})).request  # 17 minutes.
    assert [part.asked.latents for part in sections(ace_step.asked(long))] == [15_000, 11_199]
    (covered,) = sections(ace_step.asked(ace_step.plan(asked_for("cover", source_base64)).request))
    assert covered.context == 0 and covered.asked.words["task_type"] == "cover"


@pytest.mark.parametrize("task", [task for task in TASKS if task != "text2music"])
def test_a_task_whose_source_is_heard_whole_is_refused_beyond_the_window(
    checkpoint: Path, source_base64: str, task: str
) -> None:
    """68 latent frames, 3 of them behind the end: a window of 68 is enough, one of 67 is not."""
    request = asked_for(task, source_base64)
    assert AceStepEngine(checkpoint, device="cpu", window_latents=68).plan(request).frames == 124_541
    said = rf"expected a piece of at most 2\.56 s for {task}, .*, found 2\.60 s; ask for fewer bars"
    engine = AceStepEngine(checkpoint, device="cpu", window_latents=67)
    for refused in (engine.plan, engine.score, lambda request: engine.lease(request, 0, 1, None)):
        with pytest.raises(InvalidRequest, match=said) as caught:
            refused(request)
        assert caught.value.field == "bars"


def test_latents_are_the_pipelines_own(ace_step: AceStepEngine, checkpoint: Path) -> None:
    pipeline = load_pipeline(inspect_checkpoint(checkpoint), torch.float32)
    direct = pipeline(
        prompt=REQUEST.prompt,
        lyrics="[verse]\nla la",
        audio_duration=68 * 0.04,
        vocal_language="de",
        num_inference_steps=2,
        guidance_scale=4.0,
        shift=2.0,
        bpm=92,
        keyscale="A minor",
        timesignature="4",
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).audios[0]
    request = REQUEST.model_copy(update={"lyrics": "[verse]\nla la", "language": "de", "guidance": 4.0, "shift": 2.0})
    ours = ace_step._latents(ace_step.plan(request).request)
    assert torch.allclose(ours, direct, atol=1e-5, rtol=0)


def test_windows_decode_to_the_whole(ace_step: AceStepEngine) -> None:
    latents = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    vae = ace_step._host.pipeline.vae
    with torch.no_grad():
        whole = vae.decode(latents.T[None]).sample[0]
    edges = [0, 12 * LATENT_FRAMES, 37 * LATENT_FRAMES, 37 * LATENT_FRAMES + 777, 100 * LATENT_FRAMES]
    for start, stop in pairwise(edges):
        window = WINDOWS.decode(vae, latents, 0, start, stop, 100)
        assert torch.allclose(window, whole[:, start:stop], atol=1e-5, rtol=0)


def test_the_end_leads_into_the_start(ace_step: AceStepEngine) -> None:
    """Played round, the sound goes on as the model meant it behind the end: no jump larger than any inside."""
    sound = np.frombuffer(b"".join(chunk.pcm for chunk in make_all(ace_step, REQUEST)), "<i2").astype(float)
    jumps = np.abs(np.diff(sound, append=sound[0]))
    assert jumps[-1] <= jumps[:-1].max()


def test_the_gain_is_fixed_and_bends_instead_of_clipping() -> None:
    sound = torch.linspace(-3, 3, 1001)[None]
    out = levelled(sound)
    quiet = sound.abs() < 1.0
    assert torch.allclose(out[quiet], GAIN * sound[quiet])
    assert out.abs().max() <= 1.0 and bool((out.diff() >= 0).all())


def test_a_repaint_keeps_the_source_outside_of_its_beats(ace_step: AceStepEngine, source_base64: str) -> None:
    plans = [
        ace_step.plan(asked_for("repaint", source_base64).model_copy(update={"seed": seed})).request for seed in (1, 2)
    ]
    first, second = (ace_step._latents(request) for request in plans)
    painted = ask(plans[0], ace_step.plan(plans[0]).frames, is_turbo=False).repainted
    assert painted is not None
    start, stop = painted
    assert torch.equal(first[:start], second[:start]) and torch.equal(first[stop:], second[stop:])
    assert not torch.allclose(first[start:stop], second[start:stop])


@pytest.fixture
def with_lora(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint, and in it the LoRA ``tape``."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, folder)
    (folder / "loras").mkdir()
    dice = torch.Generator().manual_seed(0)
    lora = {
        "transformer.layers.0.self_attn.to_q.lora_A.weight": torch.randn(2, 32, generator=dice),
        "transformer.layers.0.self_attn.to_q.lora_B.weight": torch.randn(32, 2, generator=dice),
    }
    save_file(lora, folder / "loras" / "tape.safetensors")
    return folder


def test_a_reference_and_a_lora_change_the_music(with_lora: Path, source_base64: str) -> None:
    engine = AceStepEngine(with_lora, device="cpu")

    plain = engine._latents(engine.plan(REQUEST).request)
    with_reference = engine._latents(
        engine.plan(REQUEST.model_copy(update={"reference_audio_base64": source_base64})).request
    )
    with_lora = engine._latents(engine.plan(REQUEST.model_copy(update={"lora": "tape"})).request)
    again = engine._make_latents(engine.plan(REQUEST).request)

    assert not torch.allclose(plain, with_reference) and not torch.allclose(plain, with_lora)
    assert torch.equal(plain, again)
    with pytest.raises(InvalidRequest, match=r"installed LoRAs \(tape\), found 'vinyl'"):
        engine.plan(REQUEST.model_copy(update={"lora": "vinyl"}))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"task": "cover"}, "source_audio_base64", "expected a source for cover"),
        ({"source_audio_base64": "AAAA"}, "source_audio_base64", "expected no source for text2music"),
        ({"task": "cover", "source_audio_base64": "AAAA"}, "source_audio_base64", "expected a WAV, FLAC or Ogg"),
        ({"reference_audio_base64": "?"}, "reference_audio_base64", "expected a WAV, FLAC or Ogg"),
        ({"task": "repaint", "repaint_to_beat": 99.0}, "repaint_to_beat", "up to at most 4, found 0 to 99"),
        ({"task": "lego"}, "track", "expected the track to lego"),
        ({"layers": ("drums",)}, "layers", "ACE-Step does not know it"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_request_names_its_field(
    ace_step: AceStepEngine, source_base64: str, fields: dict[str, Any], field: str, said: str
) -> None:
    if fields.get("task") in ("repaint", "lego"):
        fields = {**fields, "source_audio_base64": source_base64}
    with pytest.raises(InvalidRequest, match=said) as caught:
        ace_step.plan(REQUEST.model_copy(update=fields))
    assert caught.value.field == field


def test_a_turbo_model_says_what_it_cannot(turbo_checkpoint: Path, source_base64: str) -> None:
    engine = AceStepEngine(turbo_checkpoint, device="cpu")
    assert {"cover", "repaint"} <= engine.info().capabilities and "lego" not in engine.info().capabilities
    with pytest.raises(InvalidRequest, match="needs a base model, this is turbo") as caught:
        engine.plan(asked_for("lego", source_base64))
    assert caught.value.field == "task"
    with pytest.raises(InvalidRequest, match="part of this turbo model's weights"):
        engine.plan(REQUEST.model_copy(update={"guidance": 3.0}))


@pytest.mark.parametrize("wrong", ["cut", "another chunk's", "empty"])
def test_a_wrong_state_is_refused(ace_step: AceStepEngine, wrong: str) -> None:
    chunks = make_all(ace_step, REQUEST)
    state = {"cut": chunks[0].state_after[:-3], "another chunk's": chunks[1].state_after, "empty": b""}[wrong]
    with pytest.raises(EngineFailed, match="expected the state after chunk 0"):
        list(ace_step.lease(REQUEST, 1, 1, state))


def test_a_conformed_loop_is_exact_or_fails_saying_why(
    ace_step: AceStepEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights play noise without beats; a decoder that plays drums is put in their place."""
    from tests.engine.conform.drifting import drifting

    request = REQUEST.model_copy(update={"conform": True, "seed": 3})
    made = drifting(4, bars=4)
    sound = torch.from_numpy(np.repeat(made.sound, 2, axis=0)).float()
    request = request.model_copy(update={"tempo_bpm": made.tempo_bpm * 48_000 / 44_100})
    monkeypatch.setattr(AceStepEngine, "_decode_all", lambda *_: sound)
    plan = ace_step.plan(request)
    chunks = make_all(ace_step, request, 1)
    assert sum(len(chunk.pcm) for chunk in chunks) == 2 * plan.frames
    (again,) = ace_step.lease(request, 1, 1, chunks[0].state_after)
    assert again.pcm == chunks[1].pcm

    monkeypatch.setattr(AceStepEngine, "_decode_all", lambda *_: torch.zeros(2, 100_000))
    with pytest.raises(EngineFailed, match="none of 3 seeds could be conformed"):
        make_all(ace_step, request.model_copy(update={"seed": 99}))


def test_a_piece_to_be_conformed_is_decoded_in_windows_at_the_predicted_work(checkpoint: Path) -> None:
    """Four bars are 335 latent frames made: four windows of 100 at most, with 9 to each side, and never the whole."""
    engine = AceStepEngine(checkpoint, device="cpu")
    request = engine.plan(REQUEST.model_copy(update={"conform": True, "bars": 4, "steps": 1})).request
    latents = engine.draw(request, 5)
    widths: list[int] = []
    hook = engine.vae().decoder.register_forward_pre_hook(lambda _, given: widths.append(given[0].shape[-1]))
    sound = engine._decode_all(latents)
    hook.remove()

    total = len(latents)
    assert widths == [109, 118, 118, total - 291] and 300 < total <= 400
    whole = WINDOWS.decode(engine.vae(), latents, 0, 0, total * LATENT_FRAMES, total)
    assert torch.allclose(sound, whole, atol=1e-5)
    decoding = sum(engine.decoding_flops(width) for width in widths)
    assert engine.plan(request).first_chunk_flops == engine.denoising_flops(request) + decoding


@pytest.mark.parametrize(
    ("key", "words"),
    [("Am", "A minor"), ("F#", "F# major"), ("Eb minor", "D# minor"), ("Bbmaj", "A# major"), ("", "")],
)
def test_keys_are_said_in_the_models_words(key: str, words: str) -> None:
    assert key_words(key) == words


@pytest.mark.parametrize(
    ("device", "free_gb", "mode"),
    [
        ("cpu", 64, "float32"),
        ("cpu", 8, "bfloat16"),
        ("cpu", 4.5, "bfloat16, weights of layers in int8"),
        ("cuda", 24, "bfloat16"),
        ("cuda", 5, "bfloat16, parts offloaded to main memory"),
        ("cuda", 3.5, "bfloat16, weights of layers in int8, parts offloaded to main memory"),
    ],
)
def test_the_memory_mode_follows_what_is_free(device: str, free_gb: float, mode: str) -> None:
    assert str(choose_mode(device, int(free_gb * 1e9), 2_400_000_000, 1_600_000_000, 1_800_000_000)) == mode


def test_weights_in_int8_take_less_memory_and_cost_the_same(with_lora: Path, ace_step: AceStepEngine) -> None:
    """Random weights play noise, where errors are as large as they get: of the latents 5 %; bfloat16 alone has 2 %."""
    found = inspect_checkpoint(with_lora)
    room = int(1.31 * (found.packable + 2 * (found.parameters - found.packable)))
    engine = AceStepEngine(with_lora, device="cpu", memory_bytes=room)
    assert "weights of layers in int8" in engine.info().notes[0]
    assert engine.info().fingerprint != ace_step.info().fingerprint

    request = REQUEST.model_copy(update={"steps": 8})
    plan, full = engine.plan(request), ace_step.plan(request)
    assert replace(plan, peak_memory_bytes=0) == replace(full, peak_memory_bytes=0)
    assert plan.peak_memory_bytes < full.peak_memory_bytes
    chunks = made_as_predicted(engine, request)
    assert [chunk.pcm for chunk in chunks] == [chunk.pcm for chunk in make_all(engine, request, 1)]

    latents, exact = engine._latents(plan.request), ace_step._latents(full.request)
    assert 0.0 < (latents - exact).norm() / exact.norm() < 0.05
    assert _weight_bytes(engine.pipeline) < 2 * found.parameters < _weight_bytes(ace_step.pipeline)
    tape = engine._latents(engine.plan(request.model_copy(update={"lora": "tape"})).request)
    assert not torch.allclose(tape, latents, atol=0.1)


def test_a_matrix_in_int8_is_within_half_a_step_of_its_rows() -> None:
    linear = torch.nn.Linear(64, 16)
    packed = Int8Linear(linear)
    steps = linear.weight.abs().amax(dim=1, keepdim=True) / 127
    assert bool(((packed.weight - linear.weight).abs() <= 0.501 * steps).all())
    sound = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(packed(sound), torch.nn.functional.linear(sound, packed.weight, linear.bias))
    assert packed.packed.dtype == torch.int8 and not dict(packed.named_parameters()).keys() & {"weight"}


def _weight_bytes(pipeline: Any) -> int:
    networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    tensors = [tensor for part in networks for tensor in (*part.parameters(), *part.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_too_little_memory_is_said_in_numbers() -> None:
    with pytest.raises(MemoryError, match=r"expected 6\.2 GB of free memory for 2400 M weights, found 1\.0 GB"):
        choose_mode("cuda", 10**9, 2_400_000_000, 1_600_000_000)


def test_sound_that_comes_in_is_bounded(ace_step: AceStepEngine) -> None:
    header_only = base64.b64encode(b"RIFF\0\0\0\0WAVE").decode()
    with pytest.raises(InvalidRequest, match="expected a WAV, FLAC or Ogg file in base64"):
        ace_step.plan(REQUEST.model_copy(update={"task": "cover", "source_audio_base64": header_only}))
