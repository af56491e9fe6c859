"""What is wrong with a folder of weights, found before anything is loaded: pickles, missing, cut or misshapen tensors.

A safetensors file is 8 bytes of length, a JSON header of that length, then the tensors. The header alone tells every
name, shape and place, so a checkpoint is checked without reading gigabytes, and nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loopmeter_engine.contract import EngineError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_HEADER_BYTES_MAX = 100_000_000
_SAMPLE_BYTES = 1 << 16
Shape = tuple[int, ...]


class CheckpointFault(EngineError):
    """A checkpoint that is not used. The message names the part and says what was expected, found, and what to do."""


def refuse_pickles(folder: Path) -> None:
    """Raises ``CheckpointFault`` for any file in ``folder`` that would have to be unpickled."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLES:
            raise CheckpointFault(
                f"expected safetensors alone, found {path}, a pickle, which can run code when it is read; "
                "remove it or convert the checkpoint"
            )


def tensor_shapes(path: Path) -> dict[str, Shape]:
    """Names and shapes of the tensors in a file that is whole. Raises ``CheckpointFault``."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else _HEADER_BYTES_MAX + 1
        if length > min(_HEADER_BYTES_MAX, size - 8):
            raise CheckpointFault(f"expected a safetensors file, found {path} of {size} bytes without a whole header")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
            shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointFault(f"expected a safetensors header in {path}, found something else ({error})") from error
    if size != 8 + length + end:
        raise CheckpointFault(
            f"expected {8 + length + end} bytes in {path}, found {size}; the file was cut short: fetch it again"
        )
    return shapes


def folder_shapes(folder: Path) -> dict[str, Shape]:
    """Of all safetensors files in a folder together. Raises ``CheckpointFault``."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise CheckpointFault(f"expected safetensors files in {folder}, found none")
    shapes: dict[str, Shape] = {}
    for path in files:
        shapes |= tensor_shapes(path)
    return shapes


def compare_shapes(part: str, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Raises ``CheckpointFault`` naming the first tensor of ``part`` that is missing or has another shape."""
    for name, shape in expected.items():
        if name not in found:
            raise CheckpointFault(f"{part}: expected the tensor {name} of shape {shape}, found none; it is incomplete")
        if found[name] != shape:
            raise CheckpointFault(f"{part}: expected {name} of shape {shape}, found {found[name]}; not this model's")


def part_folder(folder: Path, part: str, model: str) -> Path:
    """The folder of ``part`` of ``model``, such as "a MusicGen checkpoint". Raises ``CheckpointFault``."""
    if not (folder / part).is_dir():
        raise CheckpointFault(f"expected the part {part} of {model}, found none in {folder}")
    return folder / part


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """The configuration in ``folder``, which is ``part`` of a checkpoint. Raises ``CheckpointFault``."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointFault(f"{part}: expected a readable configuration at {path}, found: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointFault(f"{part}: expected a JSON object in {path}, found {type(config).__name__}")
    return config


def fingerprint_of(files: list[Path]) -> str:
    """16 hexadecimal digits over names, sizes, headers and samples of files too large to read whole at every start."""
    digest = hashlib.sha256()
    for path in sorted(files):
        size = path.stat().st_size
        digest.update(f"{path.parent.name}/{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for place in range(0, size, max(_SAMPLE_BYTES, size // 16)):
                file.seek(place)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]
