"""A small difference instead of whole matrices (LoRA, Hu et al. 2021): what was trained later then fits into 2 MB.

    tune(network, 24)              # From here on the differences learn, and what is no matrix; the matrices do not.
    ...
    differences = settle(network)  # The matrices as they are now, and what made them so.
    add(other, differences)        # The same from the weights of before.

Training tunes and settles; ``weights_io`` keeps differences in files and adds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """``W`` of (out, in) -> ``W + up @ down``; zero at first, and ``W`` alone while not ``on``."""

    def __init__(self, out_size: int, in_size: int, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(out_size, rank))
        self.down = nn.Parameter(torch.randn(rank, in_size) / in_size**0.5)
        self.on = True

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down if self.on else weight


def tune(module: nn.Module, rank: int, names: Container[str] | None = None) -> None:
    """Give every linear layer (called one of ``names``) a difference of ``rank``; its matrix learns no more."""
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and (names is None or path.rpartition(".")[2] in names):
            layer.weight.requires_grad_(False)
            difference = LowRank(layer.out_features, layer.in_features, rank).to(layer.weight.device)
            parametrize.register_parametrization(layer, "weight", difference)


@contextlib.contextmanager
def without_differences(module: nn.Module) -> Iterator[None]:
    """Inside, the matrices of a tuned module are those of before."""
    differences = [part for part in module.modules() if isinstance(part, LowRank)]
    for difference in differences:
        difference.on = False
    try:
        yield
    finally:
        for difference in differences:
            difference.on = True


def settle(module: nn.Module) -> dict[str, Tensor]:
    """Add the differences to their matrices for good. Gives ``NAME.up`` and ``NAME.down`` of each, and whatever else
    learned whole.

    Empty if there are none.
    """
    learned = [name for name, value in module.named_parameters() if value.requires_grad]
    found: dict[str, Tensor] = {}
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            (difference,) = layer.parametrizations["weight"]  # type: ignore[index]
            found[f"{name}.up"], found[f"{name}.down"] = difference.up.detach(), difference.down.detach()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    if not found:
        return {}
    whole = {name: value.detach() for name, value in module.named_parameters()}
    return found | {name: whole[name] for name in learned if name in whole}


@torch.no_grad()
def add(module: nn.Module, differences: dict[str, Tensor]) -> None:
    """What ``settle`` gave, put into a module with the weights of before.

    Raises:
        ValueError: it is of another module; ``module`` is then not to be used.
    """
    weights = dict(module.named_parameters())
    for name, value in differences.items():
        if name.endswith(".down") and f"{name.removesuffix('.down')}.up" in differences:
            continue
        target, change = weights.get(name), value.float()
        if name.endswith(".up"):
            layer = name.removesuffix(".up")
            target, down = weights.get(f"{layer}.weight"), differences.get(f"{layer}.down")
            change = change @ down.float() if down is not None and len(down) == value.shape[-1] else value.new_zeros(0)
        if target is None or target.shape != change.shape:
            found = None if target is None else tuple(target.shape)
            raise ValueError(f"expected differences of this network, found {name} {tuple(value.shape)} for {found}")
        target.copy_(target + change if name.endswith(".up") else change)
