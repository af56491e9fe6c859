"""Say what is wrong with a MusicGen checkpoint, load it. Nothing is downloaded, unpickled or run from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from loopmeter_engine.engines.libraries import aligned, build_on_meta, quiet_libraries
from loopmeter_engine.engines.safetensors_check import (
    CheckpointFault,
    compare_shapes,
    fingerprint_of,
    folder_shapes,
    read_config,
    refuse_pickles,
)

# Weight normalisation was two tensors of other names when the models were published.
_RENAMED = (("weight_g", "parametrizations.weight.original0"), ("weight_v", "parametrizations.weight.original1"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint of a mono model. ``model`` is its network, of shapes alone."""

    folder: Path
    model: Any
    parameters: int
    fingerprint: str


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """Check a checkpoint without loading it.

    Raises:
        CheckpointFault: it is missing, cut, misshapen, a pickle, another model, or stereo.
    """
    import transformers

    if not folder.is_dir():
        raise CheckpointFault(f"expected the folder of a MusicGen checkpoint, found nothing at {folder}")
    config = read_config(folder, "MusicGen")
    if config.get("model_type") != "musicgen":
        raise CheckpointFault(f"expected a MusicGen checkpoint, found model_type {config.get('model_type')!r}")
    refuse_pickles(folder)
    model: Any = build_on_meta(
        "MusicGen",
        "MusicGen",
        lambda: transformers.MusicgenForConditionalGeneration(transformers.MusicgenConfig.from_dict(config)),
    )
    if model.config.decoder.audio_channels != 1:
        raise CheckpointFault(
            f"expected a mono MusicGen, found one of {model.config.decoder.audio_channels} channels; take a mono one"
        )
    found = {_named(name): shape for name, shape in folder_shapes(folder).items()}
    compare_shapes("MusicGen", found, _expected(model))
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointFault(f"expected a tokenizer in {folder}, found no tokenizer.json")
    return Checkpoint(
        folder=folder,
        model=model,
        parameters=sum(math.prod(shape) for shape in found.values()),
        fingerprint=fingerprint_of([*folder.glob("*.safetensors"), folder / "config.json"]),
    )


def load_model(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> Any:
    """``transformers.MusicgenForConditionalGeneration``, in ``dtype`` on ``device``."""
    import transformers

    with quiet_libraries():
        model = transformers.MusicgenForConditionalGeneration.from_pretrained(
            checkpoint.folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
    return aligned(model.eval()).to(device)


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The text encoder's tokenizer. None of its code is the checkpoint's."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)


def _expected(model: Any) -> dict[str, tuple[int, ...]]:
    """Of every tensor once: where two names share one, the file has only the first."""
    seen: set[int] = set()
    expected = {}
    for name, value in [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]:
        if name in model.state_dict() and id(value) not in seen:
            expected[name] = tuple(value.shape)
        seen.add(id(value))
    return expected


def _named(name: str) -> str:
    for old, new in _RENAMED:
        if name.endswith("." + old):
            return name.removesuffix(old) + new
    return name
