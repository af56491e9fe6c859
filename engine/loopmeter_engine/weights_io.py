"""Weights on disk: safetensors, matrices as int8 with one scale per row, and the configuration beside them.

    python -m loopmeter_engine.weights_io transformer OUT/transformer.pt weights/transformer.safetensors
    python -m loopmeter_engine.weights_io difference OUT/student.pt weights/student_difference.safetensors

What was trained on top of such a file lies beside it: low-rank differences in half precision, the decoder's, which
``load_autoencoder`` adds, and the student's, which makes a second transformer; and what the decoder is told of the
players (``model/timbres.py``).

Loading is strict: names, shapes and configuration must be those of the code, or nothing is loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from loopmeter_engine.model.autoencoder import Autoencoder, AutoencoderConfig
from loopmeter_engine.model.low_rank import add
from loopmeter_engine.model.timbres import Timbres, TimbresConfig
from loopmeter_engine.model.transformer import Transformer, TransformerConfig

WEIGHTS = Path(__file__).parent / "weights"
DECODER_DIFFERENCE, STUDENT_DIFFERENCE = "decoder_difference.safetensors", "student_difference.safetensors"
TIMBRES = "timbres.safetensors"
_M = TypeVar("_M", bound=nn.Module)
_ROW_SCALE = ".row_scale"
_QUANTISED_SIZE_MIN = 10_000  # Smaller tensors stay in half precision: they cost nothing and hurt most.
# The last layers write latents directly: an error there is heard, so they keep half precision too.
_HALF = ("out.weight", "encoder.out.")


class WeightsUnusable(Exception):
    """The weights file is absent, broken or made for other code. The message says which, and what to do."""


def quantise(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        value = value.detach().cpu().float().contiguous()
        matrix = value.ndim >= 2 and value.numel() >= _QUANTISED_SIZE_MIN
        if matrix and not any(name.startswith(part) or name == part for part in _HALF):
            flat = value.flatten(1)
            scale = flat.abs().amax(1).clamp(min=1e-12) / 127
            out[name] = (flat / scale[:, None]).round().to(torch.int8).reshape(value.shape)
            out[name + _ROW_SCALE] = scale
        else:
            out[name] = value.half() if value.ndim >= 2 else value
    return out


def dequantise(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, value in stored.items():
        if name.endswith(_ROW_SCALE):
            continue
        scale = stored.get(name + _ROW_SCALE)
        value = value.float()
        out[name] = value if scale is None else value * scale.reshape(-1, *[1] * (value.ndim - 1))
    return out


def save_weights(model: Autoencoder | Transformer | Timbres, path: Path) -> None:
    metadata = {"kind": type(model).__name__, "config": json.dumps(dataclasses.asdict(model.config))}
    save_file(quantise(dict(model.state_dict())), path, metadata)


def save_difference(found: dict[str, Tensor], path: Path) -> None:
    """What ``low_rank.settle`` gave."""
    save_file({name: value.cpu().half().contiguous() for name, value in found.items()}, path, {"kind": "Difference"})


def load_autoencoder(path: Path = WEIGHTS / "autoencoder.safetensors") -> Autoencoder:
    """With the difference of its decoder and its timbres, if they lie beside it. Raises WeightsUnusable."""
    config = _config(path, "Autoencoder")
    for name in ("decoder_ahead_low", "decoder_ahead"):
        config[name] = tuple(config[name])  # type: ignore[arg-type]
    model = _filled(Autoencoder(AutoencoderConfig(**config)), path)  # type: ignore[arg-type]
    difference = path.with_name(DECODER_DIFFERENCE)
    if difference.exists():
        _add(model.decoder, difference)
    timbres = path.with_name(TIMBRES)
    if timbres.exists():
        config = _config(timbres, "Timbres")
        model.timbres = _filled(Timbres(TimbresConfig(**config)), timbres)  # type: ignore[arg-type]
    return model


def load_transformer(path: Path = WEIGHTS / "transformer.safetensors") -> Transformer:
    """Raises WeightsUnusable."""
    return _filled(Transformer(TransformerConfig(**_config(path, "Transformer"))), path)  # type: ignore[arg-type]


def load_student(path: Path = WEIGHTS / "transformer.safetensors") -> Transformer | None:
    """The transformer at ``path`` distilled, if the difference lies beside it. Raises WeightsUnusable."""
    difference = path.with_name(STUDENT_DIFFERENCE)
    if not difference.exists():
        return None
    model = load_transformer(path)
    _add(model, difference)
    return model


def weight_files(folder: Path) -> list[Path]:
    """All that decides how the networks in ``folder`` sound; what was trained later, where it is there."""
    later = [folder / DECODER_DIFFERENCE, folder / TIMBRES, folder / STUDENT_DIFFERENCE]
    networks = [folder / "autoencoder.safetensors", folder / "transformer.safetensors"]
    return networks + [path for path in later if path.exists()]


def fingerprint(paths: list[Path]) -> str:
    """A short hash of weight files, part of what makes two generations comparable."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _metadata(path: Path, kind: str) -> dict[str, str]:
    if not path.exists():
        raise WeightsUnusable(f"expected weights at {path}, found no such file; reinstall loopmeter or pass a path")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:
        raise WeightsUnusable(f"expected a safetensors file at {path}: {error}") from error
    if metadata.get("kind") != kind:
        raise WeightsUnusable(f"expected {kind} weights in {path}, found {metadata.get('kind')!r}")
    return dict(metadata)


def _config(path: Path, kind: str) -> dict[str, object]:
    config = json.loads(_metadata(path, kind)["config"])
    assert isinstance(config, dict)
    return config


def _add(module: nn.Module, path: Path) -> None:
    _metadata(path, "Difference")
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary.
    try:
        add(module, found)
    except ValueError as error:
        raise WeightsUnusable(f"{path} does not belong to the weights beside it: {error}") from error


def _filled(model: _M, path: Path) -> _M:
    with safe_open(path, "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary.
    try:
        model.load_state_dict(dequantise(stored), strict=True)
    except RuntimeError as error:
        raise WeightsUnusable(f"the weights in {path} do not fit this version of loopmeter: {error}") from error
    return model.eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["autoencoder", "transformer", "timbres", "difference"])
    parser.add_argument("checkpoint", type=Path, help="what training wrote")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    found = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    if args.kind == "difference":
        if not found["differences"]:
            parser.error(f"expected differences in {args.checkpoint}, found none; train with --rank, or a student")
        save_difference(found["differences"], args.out)
    else:
        model = {"autoencoder": Autoencoder, "transformer": Transformer, "timbres": Timbres}[args.kind]()
        model.load_state_dict(found["model"])
        save_weights(model, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
