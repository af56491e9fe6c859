"""Weights of eight bits where memory is short: half of bfloat16's size, the same operations, slightly other music.

Only the matrices of the repeated layers are rounded, which are nearly all of the weights; embeddings, norms,
convolutions and what is before and behind the layers stay as they are. Each row has a scale of its own (Dettmers et
al. 2022, section 2, without its outliers: inputs stay in their own format). A matrix is unpacked when it is multiplied
with, and forgotten again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_LEVELS = 127


class Int8Linear(torch.nn.Linear):
    """``linear`` with a weight of int8 (out, in) and one float32 scale for each row; computes in ``linear``'s dtype.

    A ``torch.nn.Linear`` to whoever asks, so that a LoRA finds it. Rounds each weight by at most half of its row's
    largest over 127.
    """

    packed: Tensor
    scale: Tensor

    def __init__(self, linear: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)  # Linear's own would make a weight of the full size.
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _LEVELS
        self._dtype = linear.weight.dtype
        self.register_buffer("packed", torch.round(weight / scale).to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # A parameter there; unpacked at each use here.
        return (self.packed.float() * self.scale).to(self._dtype)


def packs(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of a checkpoint is one of those that are packed: a matrix of a repeated layer."""
    return ".layers." in f".{name}" and len(shape) == 2 and name.endswith(".weight")


def packed_weights(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many weights of a part are packed."""
    return sum(shape[0] * shape[1] for name, shape in shapes.items() if packs(name, shape))


def pack(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, its layers' matrices packed, in place."""
    for name, module in list(model.named_modules()):
        if type(module) is torch.nn.Linear and packs(f"{name}.weight", tuple(module.weight.shape)):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, Int8Linear(module))
    return model
