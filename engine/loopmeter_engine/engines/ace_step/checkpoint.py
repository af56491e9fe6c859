"""Say what is wrong with an ACE-Step 1.5 checkpoint, load it. Nothing is downloaded, unpickled or run from it.

Every part is loaded as one fixed class of diffusers or transformers, whatever the checkpoint calls itself, after its
tensors were compared with what its own configuration asks for (``safetensors_check.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loopmeter_engine.engines.int8 import pack, packed_weights
from loopmeter_engine.engines.libraries import aligned, build_on_meta, quiet_libraries
from loopmeter_engine.engines.opening import ACE_STEP
from loopmeter_engine.engines.safetensors_check import (
    CheckpointFault,
    Shape,
    compare_shapes,
    fingerprint_of,
    folder_shapes,
    part_folder,
    read_config,
    refuse_pickles,
)

MODEL = ACE_STEP.what
NETWORKS = {
    "transformer": "AceStepTransformer1DModel",
    "condition_encoder": "AceStepConditionEncoder",
    "vae": "AutoencoderOobleck",
}
# Not the tokenizers of a cover: a small error there is another code.
PACKED = ("transformer", "condition_encoder", "text_encoder")
OPTIONAL_NETWORKS = {
    "audio_tokenizer": "AceStepAudioTokenizer",
    "audio_token_detokenizer": "AceStepAudioTokenDetokenizer",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in diffusers' layout whose parts are whole. ``missing`` are optional parts that it lacks.

    ``packable`` of its ``parameters`` weights can be kept in eight bits.
    """

    folder: Path
    missing: frozenset[str]
    is_turbo: bool
    parameters: int
    packable: int
    fingerprint: str

    @property
    def loras(self) -> Mapping[str, Path]:
        """LoRAs by name: the safetensors files in its folder ``loras``."""
        return {path.stem: path for path in sorted((self.folder / "loras").glob("*.safetensors"))}


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Check every part of a checkpoint without loading any. Takes milliseconds.

    Raises:
        CheckpointFault: naming the part that is missing, cut, misshapen or a pickle; or the original layout.
    """
    if not folder.is_dir():
        raise CheckpointFault(f"expected the folder of an ACE-Step 1.5 checkpoint, found nothing at {folder}")
    if not (folder / "transformer").is_dir() and any(folder.glob("*/silence_latent.pt")):
        raise CheckpointFault(
            f"expected diffusers' layout, found the original one at {folder}; "
            f"convert it with: loopmeter engines convert {folder} NEW_FOLDER"
        )
    refuse_pickles(folder)
    parameters = packable = 0
    files: list[Path] = []
    for part, name in (NETWORKS | OPTIONAL_NETWORKS).items():
        if part in OPTIONAL_NETWORKS and not (folder / part).is_dir():
            continue
        found = folder_shapes(_part(folder, part))
        compare_shapes(part, found, _expected(folder, part, name))
        parameters += sum(math.prod(shape) for shape in found.values())
        packable += packed_weights(found) if part in PACKED else 0
        files += (folder / part).glob("*.safetensors")
    text = folder_shapes(_part(folder, "text_encoder"))
    parameters += sum(math.prod(shape) for shape in text.values())
    _check_text_encoder(folder, text)
    if not any((_part(folder, "tokenizer") / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointFault(f"expected a tokenizer in {folder / 'tokenizer'}, found no tokenizer.json")
    config = _config(folder, "transformer")
    return Checkpoint(
        folder=folder,
        missing=frozenset(part for part in OPTIONAL_NETWORKS if not (folder / part).is_dir()),
        is_turbo=bool(config.get("is_turbo")) or config.get("model_version") == "turbo",
        parameters=parameters,
        packable=packable + packed_weights(text),
        fingerprint=fingerprint_of([*files, *(folder / "text_encoder").glob("*.safetensors")]),
    )


def load_pipeline(checkpoint: Checkpoint, dtype: torch.dtype, *, int8: bool = False) -> Any:
    """``diffusers.AceStepPipeline`` with every part that is there, on the CPU, in ``dtype``.

    With ``int8`` each part is packed before the next one is read.
    """
    import diffusers
    import transformers
    from diffusers.pipelines.ace_step import modeling_ace_step

    folder = checkpoint.folder
    options = {"local_files_only": True, "use_safetensors": True, "torch_dtype": dtype}
    parts: dict[str, Any] = {}

    def made(part: str, network: Any) -> Any:
        return aligned(pack(network.eval()) if int8 and part in PACKED else network.eval())

    with quiet_libraries():
        for part, name in (NETWORKS | OPTIONAL_NETWORKS).items():
            if part not in checkpoint.missing:
                network = getattr(diffusers, name, None) or getattr(modeling_ace_step, name)
                parts[part] = made(part, network.from_pretrained(folder / part, **options))
        text_encoder = transformers.Qwen3Model.from_pretrained(
            folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=dtype
        )
        parts["text_encoder"] = made("text_encoder", text_encoder)
        parts["tokenizer"] = transformers.AutoTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True, trust_remote_code=False
        )
        # The pipeline works its own schedule out, so nothing of it is the checkpoint's.
        parts["scheduler"] = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0)
        pipeline = diffusers.AceStepPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def network_on_meta(folder: Path, part: str) -> torch.nn.Module:
    """A part as its configuration describes it, of shapes alone: no memory, no values."""
    import diffusers
    from diffusers.pipelines.ace_step import modeling_ace_step

    name = (NETWORKS | OPTIONAL_NETWORKS)[part]
    network = getattr(diffusers, name, None) or getattr(modeling_ace_step, name)
    config = _config(folder, part)
    return build_on_meta(part, name, lambda: network.from_config(config))


def text_encoder_on_meta(folder: Path) -> torch.nn.Module:
    """The text encoder as its configuration describes it, of shapes alone."""
    import transformers

    config = _config(folder, "text_encoder")
    return build_on_meta(
        "text_encoder", "Qwen3", lambda: transformers.Qwen3Model(transformers.Qwen3Config.from_dict(config))
    )


def _expected(folder: Path, part: str, name: str) -> dict[str, Shape]:
    return {key: tuple(value.shape) for key, value in network_on_meta(folder, part).state_dict().items()}


def _check_text_encoder(folder: Path, found: Mapping[str, Shape]) -> None:
    expected = {key: tuple(value.shape) for key, value in text_encoder_on_meta(folder).state_dict().items()}
    plain = {name.removeprefix("model."): shape for name, shape in found.items()}
    compare_shapes("text_encoder", plain, expected)


def _part(folder: Path, part: str) -> Path:
    return part_folder(folder, part, MODEL)


def _config(folder: Path, part: str) -> dict[str, Any]:
    return read_config(_part(folder, part), part)
