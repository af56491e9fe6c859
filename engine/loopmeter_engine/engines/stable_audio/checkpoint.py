"""Say what is wrong with a Stable Audio 3 checkpoint, load it. Nothing is downloaded or unpickled.

Every part is loaded as one fixed class of diffusers or transformers, whatever the checkpoint calls itself, after its
tensors were compared with what its own configuration asks for (``safetensors_check.py``).
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loopmeter_engine.engines.libraries import aligned, build_on_meta, quiet_libraries
from loopmeter_engine.engines.opening import STABLE_AUDIO
from loopmeter_engine.engines.safetensors_check import (
    CheckpointFault,
    compare_shapes,
    fingerprint_of,
    folder_shapes,
    part_folder,
    read_config,
    refuse_pickles,
)

MODEL = STABLE_AUDIO.what
NETWORKS = {
    "transformer": "StableAudio3DiTModel",
    "vae": "AutoencoderSAME",
    "duration_embedder": "StableAudio3DurationEmbedder",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in diffusers' layout whose parts are whole. ``parts`` are its networks, of shapes alone."""

    folder: Path
    parts: Mapping[str, Any]
    distilled: bool  # Few steps, and the guidance is in its weights.
    parameters: int
    largest_part: int
    fingerprint: str


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Check every part of a checkpoint without loading any.

    Raises:
        CheckpointFault: naming the part that is missing, cut, misshapen or a pickle.
    """
    if not folder.is_dir():
        raise CheckpointFault(f"expected the folder of {MODEL}, found nothing at {folder}")
    refuse_pickles(folder)
    parts = {name: network_on_meta(folder, name) for name in (*NETWORKS, "text_encoder")}
    sizes: dict[str, int] = {}
    files: list[Path] = []
    for name, network in parts.items():
        found = folder_shapes(folder / name)
        compare_shapes(name, found, {key: tuple(value.shape) for key, value in network.state_dict().items()})
        sizes[name] = sum(math.prod(shape) for shape in found.values())
        files += (folder / name).glob("*.safetensors")
    if not (part_folder(folder, "tokenizer", MODEL) / "tokenizer.json").is_file():
        raise CheckpointFault(f"expected a tokenizer in {folder / 'tokenizer'}, found no tokenizer.json")
    return Checkpoint(
        folder=folder,
        parts=parts,
        distilled=bool(_scheduler_config(folder).get("stochastic_sampling", False)),
        parameters=sum(sizes.values()),
        largest_part=max(sizes.values()),
        fingerprint=fingerprint_of(files),
    )


def network_on_meta(folder: Path, part: str) -> Any:
    """A part as its configuration describes it, of shapes alone. Raises ``CheckpointFault``."""
    import diffusers
    import transformers

    config = read_config(part_folder(folder, part, MODEL), part)
    if part == "text_encoder":
        make = functools.partial(_text_encoder, transformers, config)
        return build_on_meta(part, "T5Gemma", make)
    network = getattr(diffusers, NETWORKS[part])
    return build_on_meta(part, NETWORKS[part], lambda: network.from_config(config))


def load_pipeline(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """``diffusers.StableAudio3Pipeline``, on the CPU, in ``dtype``. Its kin are made of the same parts."""
    import diffusers
    import transformers

    folder = checkpoint.folder
    options = {"local_files_only": True, "use_safetensors": True}
    with quiet_libraries():
        parts: dict[str, Any] = {
            part: getattr(diffusers, name).from_pretrained(folder / part, torch_dtype=dtype, **options)
            for part, name in NETWORKS.items()
        }
        parts["text_encoder"] = transformers.T5GemmaEncoderModel.from_pretrained(
            folder / "text_encoder", dtype=dtype, **options
        )
        parts = {name: aligned(network.eval()) for name, network in parts.items()}
        parts["tokenizer"] = transformers.AutoTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True, trust_remote_code=False
        )
        parts["scheduler"] = diffusers.FlowMatchEulerDiscreteScheduler.from_config(_scheduler_config(folder))
        return diffusers.StableAudio3Pipeline(**parts)


def _text_encoder(transformers: Any, config: dict[str, Any]) -> Any:
    return transformers.T5GemmaEncoderModel(transformers.T5GemmaConfig.from_dict(config))


def _scheduler_config(folder: Path) -> dict[str, Any]:
    path = part_folder(folder, "scheduler", MODEL) / "scheduler_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointFault(f"scheduler: expected a readable configuration at {path}, found: {error}") from error
    return config
