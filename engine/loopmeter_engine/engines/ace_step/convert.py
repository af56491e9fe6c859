"""An ACE-Step 1.5 checkpoint from its original layout to diffusers', locally, without its remote code or its pickle.

The original keeps all networks in one file, told apart by prefixes. Its ``silence_latent.pt`` is a pickle and is left
alone: silence is encoded anew, by the checkpoint's own autoencoder, which is where that file came from.
"""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loopmeter_engine.engines.ace_step.checkpoint import (
    NETWORKS,
    OPTIONAL_NETWORKS,
    network_on_meta,
)
from loopmeter_engine.engines.libraries import quiet_libraries
from loopmeter_engine.engines.safetensors_check import (
    CheckpointFault,
    compare_shapes,
    folder_shapes,
    read_config,
    tensor_shapes,
)

SILENCE_LATENTS = 15_000
_SILENCE_S = 12  # Its middle third is farther from both ends than the encoder can see.
_PREFIXES = {
    "decoder.": "transformer",
    "encoder.": "condition_encoder",
    "tokenizer.": "audio_tokenizer",
    "detokenizer.": "audio_token_detokenizer",
}
_RENAMED = (
    (".q_proj.", ".to_q."),
    (".k_proj.", ".to_k."),
    (".v_proj.", ".to_v."),
    (".o_proj.", ".to_out.0."),
    (".q_norm.", ".norm_q."),
    (".k_norm.", ".norm_k."),
    ("proj_in.1.", "proj_in_conv."),
    ("proj_out.1.", "proj_out_conv."),
)
_CONFIG_SUFFIXES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")


def convert_checkpoint(source: Path, target: Path, variant: str | None = None) -> int:
    """Write ``target`` in diffusers' layout; how many tensors. Takes the memory of the largest part.

    Raises:
        CheckpointFault: ``source`` is not whole, or not this model; nothing is left at ``target``.
    """
    if target.exists():
        raise CheckpointFault(f"expected a new folder, found {target} there already; name another or remove it")
    model = _variant(source, variant)
    text = _text_encoder(source)
    shapes = tensor_shapes(model / "model.safetensors")
    folder_shapes(source / "vae"), folder_shapes(text)
    config = read_config(model, model.name)
    part_of = {name: _place(name) for name in shapes}
    partial = target.with_name(target.name + ".part")
    try:
        partial.mkdir(parents=True)
        shutil.copytree(source / "vae", partial / "vae", ignore=_only_whole)
        shutil.copytree(text, partial / "text_encoder", ignore=_only_whole)
        (partial / "tokenizer").mkdir()
        for name in _TOKENIZER_FILES:
            if (text / name).is_file():
                shutil.copy2(text / name, partial / "tokenizer" / name)
        for part in dict.fromkeys(part for part, _ in part_of.values()):
            names = {name: renamed for name, (owner, renamed) in part_of.items() if owner == part}
            _write_part(model, partial, part, names, config)
        (partial / "model_index.json").write_text(json.dumps({"_class_name": "AceStepPipeline"}), encoding="utf-8")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(shapes)


def _variant(source: Path, variant: str | None) -> Path:
    found = sorted(path.parent for path in source.glob("acestep-v15-*/model.safetensors"))
    if variant is not None:
        found = [path for path in found if path.name == variant]
    if len(found) != 1:
        names = ", ".join(sorted(path.parent.name for path in source.glob("*/model.safetensors"))) or "none"
        raise CheckpointFault(f"expected one folder acestep-v15-… with model.safetensors in {source}, found {names}")
    return found[0]


def _text_encoder(source: Path) -> Path:
    text = source / "Qwen3-Embedding-0.6B"
    for path in (text, source / "vae"):
        if not path.is_dir():
            raise CheckpointFault(
                f"expected the part {path.name} of an ACE-Step 1.5 checkpoint, found none in {source}"
            )
    return text


def _place(name: str) -> tuple[str, str]:
    """The part that a tensor belongs to, and its name there."""
    if name == "null_condition_emb":
        return "condition_encoder", name
    for prefix, part in _PREFIXES.items():
        if name.startswith(prefix):
            renamed = "." + name.removeprefix(prefix)
            for old, new in _RENAMED:
                renamed = renamed.replace(old, new)
            return part, renamed.removeprefix(".")
    raise CheckpointFault(f"expected tensors of {', '.join(_PREFIXES)}, found {name}; not an ACE-Step 1.5 model")


def _write_part(model: Path, folder: Path, part: str, names: dict[str, str], config: dict[str, Any]) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    (folder / part).mkdir()
    own = _config_of(part, config)
    (folder / part / "config.json").write_text(json.dumps(own), encoding="utf-8")
    tensors: dict[str, Tensor] = {}
    with safe_open(model / "model.safetensors", framework="pt") as file:
        for name, renamed in names.items():
            tensors[renamed] = file.get_tensor(name)
    if part == "condition_encoder":
        dtype = next(iter(tensors.values())).dtype
        tensors["silence_latent"] = _silence(folder / "vae").to(dtype)
    expected = {name: tuple(value.shape) for name, value in network_on_meta(folder, part).state_dict().items()}
    compare_shapes(part, {name: tuple(value.shape) for name, value in tensors.items()}, expected)
    save_file(tensors, folder / part / "diffusion_pytorch_model.safetensors")


def _config_of(part: str, config: dict[str, Any]) -> dict[str, Any]:
    """What the class of ``part`` asks for, from the one configuration of the original."""
    import diffusers
    from diffusers.pipelines.ace_step import modeling_ace_step

    name = (NETWORKS | OPTIONAL_NETWORKS)[part]
    network = getattr(diffusers, name, None) or getattr(modeling_ace_step, name)
    own = {key: config[key] for key in inspect.signature(network.__init__).parameters if key in config}
    if part != "transformer":
        own.pop("layer_types", None)  # The transformer's; the encoders have fewer layers.
        # The largest model has a wider transformer than encoder, and says so by a prefix.
        own |= {key: config[f"encoder_{key}"] for key in _CONFIG_SUFFIXES if config.get(f"encoder_{key}") is not None}
    return {"_class_name": name, **own}


def _silence(vae_folder: Path) -> Tensor:
    """(1, SILENCE_LATENTS, width): encoded silence, its steady middle repeated."""
    import diffusers

    with quiet_libraries(), torch.no_grad():
        vae = diffusers.AutoencoderOobleck.from_pretrained(
            vae_folder, local_files_only=True, use_safetensors=True
        ).eval()
        silence = torch.zeros(1, vae.config.audio_channels, _SILENCE_S * vae.config.sampling_rate)
        encoded = vae.encode(silence).latent_dist.mode().transpose(1, 2)
    third = encoded.shape[1] // 3
    head, middle = encoded[:, :third], encoded[:, third : 2 * third]
    return torch.cat([head, middle.repeat(1, -(-SILENCE_LATENTS // third), 1)], dim=1)[:, :SILENCE_LATENTS].contiguous()


def _only_whole(folder: str, names: list[str]) -> set[str]:
    """What is not copied: pickles and code."""
    return {name for name in names if not name.endswith((".safetensors", ".json", ".txt", ".jinja"))}
