"""Low-rank changes of a network's linear layers (LoRA, Hu et al. 2021): a second network for a tenth of the weights.

``adapted`` wraps the layers for training; ``changes`` are what training found, by name; ``apply_changes`` adds them
to a network's weights, after which nothing of this module is left in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

_DOWN, _UP = ".change_down", ".change_up"


class Changed(nn.Module):
    """A frozen linear layer and a trainable change of it, of rank ``rank``, that begins as none."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.change_down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.change_up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.on = True

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out + x @ self.change_down.T @ self.change_up.T if self.on else out


def adapt(model: nn.Module, rank: int, names: tuple[str, ...]) -> None:
    """Freeze ``model`` and wrap every linear layer in it that is called one of ``names``."""
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in names and isinstance(child, nn.Linear):
                setattr(module, name, Changed(child, rank))


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Inside, ``model`` computes as before ``adapt``."""
    wrapped = [module for module in model.modules() if isinstance(module, Changed)]
    for module in wrapped:
        module.on = False
    try:
        yield
    finally:
        for module in wrapped:
            module.on = True


def changes(model: nn.Module) -> dict[str, Tensor]:
    """The trained matrices of an adapted model: ``NAME.change_down`` (rank, in) and ``NAME.change_up`` (out, rank)."""
    return {name: value.detach() for name, value in model.named_parameters() if name.endswith((_DOWN, _UP))}


@torch.no_grad()
def apply_changes(model: nn.Module, found: dict[str, Tensor]) -> None:
    """Add ``found`` to the weights of ``model``, which is not adapted.

    Raises:
        ValueError: a matrix is lacking, names no linear layer of ``model``, or does not fit it.
    """
    names = {name.removesuffix(_DOWN).removesuffix(_UP) for name in found}
    layers = dict(model.named_modules())
    for name in sorted(names):
        layer, down, up = layers.get(name), found.get(name + _DOWN), found.get(name + _UP)
        if not isinstance(layer, nn.Linear) or down is None or up is None:
            raise ValueError(f"expected two matrices that change a linear layer of the network, found {name!r}")
        if (len(up), down.shape[1]) != tuple(layer.weight.shape) or up.shape[1] != len(down):
            raise ValueError(
                f"expected changes of {tuple(layer.weight.shape)} for {name}, found {tuple(up.shape)} and "
                f"{tuple(down.shape)}"
            )
        layer.weight += up.to(layer.weight) @ down.to(layer.weight)
