"""A checkpoint is whole, or it is refused by the name of its part; both layouts are one model."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from loopmeter._cli._program import program
from loopmeter_engine.engines.ace_step import AceStepEngine
from loopmeter_engine.engines.ace_step.checkpoint import inspect_checkpoint
from loopmeter_engine.engines.opening import ACE_STEP, MUSICGEN, STABLE_AUDIO, Weights, find_weights
from loopmeter_engine.engines.safetensors_check import CheckpointFault

WEIGHTS = "diffusion_pytorch_model.safetensors"


class _Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return open, (str(self._path), "w")


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def _remove(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def _cut(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def _cut_header(folder: Path) -> None:
    path = folder / "vae" / WEIGHTS
    path.write_bytes(path.read_bytes()[:20])


def _reshape(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    tensors = load_file(path)
    tensors["condition_embedder.bias"] = torch.zeros(7)
    save_file(tensors, path)


def _lose_tensor(folder: Path) -> None:
    path = folder / "condition_encoder" / WEIGHTS
    tensors = load_file(path)
    del tensors["null_condition_emb"]
    save_file(tensors, path)


def _reconfigure(folder: Path) -> None:
    path = folder / "vae" / "config.json"
    path.write_text("{")


def _lose_weights(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_remove, "expected the part vae of an ACE-Step 1.5 checkpoint"),
        (_cut, rf"transformer/{WEIGHTS}, found \d+; the file was cut short"),
        (_cut_header, rf"vae/{WEIGHTS} of 20 bytes without a whole header"),
        (_reshape, r"transformer: expected condition_embedder\.bias of shape \(32,\), found \(7,\)"),
        (_lose_tensor, "condition_encoder: expected the tensor null_condition_emb"),
        (_reconfigure, "vae: expected a readable configuration"),
        (_lose_weights, r"expected safetensors files in .*text_encoder, found none"),
    ],
)
def test_a_faulty_checkpoint_is_refused_by_the_name_of_its_part(
    copy: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(copy)
    with pytest.raises(CheckpointFault, match=said):
        AceStepEngine(copy, device="cpu")


def test_a_pickle_is_refused_and_never_read(copy: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (copy / "transformer" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(_Bomb(sprung)))
    with pytest.raises(CheckpointFault, match=r"diffusion_pytorch_model\.bin, a pickle, which can run code"):
        AceStepEngine(copy, device="cpu")
    assert not sprung.exists()


def test_without_the_audio_tokenizer_there_is_no_cover_and_the_list_says_why(copy: Path) -> None:
    shutil.rmtree(copy / "audio_tokenizer")
    info = AceStepEngine(copy, device="cpu").info()
    assert "cover" not in info.capabilities and "repaint" in info.capabilities
    assert any(note.startswith("cannot cover: it needs audio_tokenizer") for note in info.notes)


def test_the_environment_names_the_folder(checkpoint: Path) -> None:
    assert find_weights(ACE_STEP, {"LOOPMETER_ACE_STEP_DIR": str(checkpoint)}) == checkpoint


def test_no_checkpoint_says_where_one_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointFault, match=r"expected the folder of an ACE-Step .* LOOPMETER_ACE_STEP_DIR"):
        find_weights(ACE_STEP, {})


@pytest.mark.parametrize(
    ("weights", "advice"),
    [
        (ACE_STEP, "none in the hub's cache; fetch one: hf download ACE-Step/acestep-v15-xl-turbo-diffusers"),
        (MUSICGEN, "fetch one: hf download facebook/musicgen-small --include '*.safetensors' '*.json'"),
        (STABLE_AUDIO, "found none there; convert stabilityai/stable-audio-3-medium"),
    ],
    ids=lambda value: value.what if isinstance(value, Weights) else "",
)
def test_no_checkpoint_says_how_to_get_one(
    weights: Weights, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointFault, match=re.escape(advice)):
        find_weights(weights, {})


def original_layout(checkpoint: Path, folder: Path) -> None:
    """The same model as its authors publish it."""
    prefixes = {
        "transformer": "decoder.",
        "condition_encoder": "encoder.",
        "audio_tokenizer": "tokenizer.",
        "audio_token_detokenizer": "detokenizer.",
    }
    renamed = {
        ".to_q.": ".q_proj.",
        ".to_k.": ".k_proj.",
        ".to_v.": ".v_proj.",
        ".to_out.0.": ".o_proj.",
        ".norm_q.": ".q_norm.",
        ".norm_k.": ".k_norm.",
        "proj_in_conv.": "proj_in.1.",
        "proj_out_conv.": "proj_out.1.",
    }
    model = folder / "acestep-v15-base"
    model.mkdir(parents=True)
    tensors, config = {}, {}
    for part, prefix in prefixes.items():
        config |= json.loads((checkpoint / part / "config.json").read_text())
        for name, value in load_file(checkpoint / part / WEIGHTS).items():
            if name == "silence_latent":
                torch.save(value.transpose(1, 2), model / "silence_latent.pt")
                continue
            for new, old in renamed.items():
                name = name.replace(new, old)
            tensors[name if name == "null_condition_emb" else prefix + name] = value
    config |= json.loads((checkpoint / "transformer" / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config))
    save_file(tensors, model / "model.safetensors")
    shutil.copytree(checkpoint / "vae", folder / "vae")
    shutil.copytree(checkpoint / "text_encoder", folder / "Qwen3-Embedding-0.6B")
    shutil.copytree(checkpoint / "tokenizer", folder / "Qwen3-Embedding-0.6B", dirs_exist_ok=True)


def test_the_original_layout_is_converted_to_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    original_layout(checkpoint, tmp_path / "original")
    with pytest.raises(CheckpointFault, match=r"found the original one .* loopmeter engines convert"):
        inspect_checkpoint(tmp_path / "original")

    call = ["engines", "convert", str(tmp_path / "original"), str(tmp_path / "converted")]
    result = CliRunner().invoke(program, call)
    assert result.exit_code == 0, result.output

    inspect_checkpoint(tmp_path / "converted")
    for part in ("transformer", "condition_encoder", "audio_tokenizer", "audio_token_detokenizer", "vae"):
        before, after = (load_file(folder / part / WEIGHTS) for folder in (checkpoint, tmp_path / "converted"))
        assert before.keys() == after.keys()
        different = [name for name in before if not torch.equal(before[name], after[name])]
        assert different == (["silence_latent"] if part == "condition_encoder" else [])
    assert not list((tmp_path / "converted").rglob("*.pt"))


def test_a_conversion_that_fails_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    original_layout(checkpoint, tmp_path / "original")
    path = tmp_path / "original" / "acestep-v15-base" / "model.safetensors"
    tensors = load_file(path)
    tensors["decoder.condition_embedder.bias"] = torch.zeros(7)
    save_file(tensors, path)
    call = ["engines", "convert", str(tmp_path / "original"), str(tmp_path / "converted")]
    result = CliRunner().invoke(program, call)
    assert result.exit_code == 1
    assert "transformer: expected condition_embedder.bias of shape (32,), found (7,)" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


@pytest.mark.parametrize("config", [None, "{cut", "[]"], ids=["missing", "cut", "no object"])
def test_a_conversion_without_a_whole_configuration_says_so(
    checkpoint: Path, tmp_path: Path, config: str | None
) -> None:
    original_layout(checkpoint, tmp_path / "original")
    path = tmp_path / "original" / "acestep-v15-base" / "config.json"
    path.unlink() if config is None else path.write_text(config)
    result = CliRunner().invoke(
        program, ["engines", "convert", str(tmp_path / "original"), str(tmp_path / "converted")]
    )
    assert result.exit_code == 1
    assert "acestep-v15-base: expected a" in result.stderr and "config.json" in result.stderr
    assert not (tmp_path / "converted").exists()
