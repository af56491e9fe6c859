"""Training a small difference instead of whole matrices (LoRA, Hu et al. 2021): what changes then fits into 3 MB.

tune(decoder, 24)            # Only the differences, and what is no matrix, learn from here on.
...
difference = settle(decoder) # The matrices as they are now, and what made them so.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """``W`` of (out, in) -> ``W + up @ down``; zero at first."""

    def __init__(self, out_size: int, in_size: int, rank: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(out_size, rank))
        self.down = nn.Parameter(torch.randn(rank, in_size) / in_size**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def tune(module: nn.Module, rank: int) -> None:
    """Give every linear layer a difference of ``rank``; its matrix learns no more. Biases and scales still do."""
    for layer in [layer for layer in module.modules() if isinstance(layer, nn.Linear)]:
        layer.weight.requires_grad_(False)
        difference = LowRank(layer.out_features, layer.in_features, rank).to(layer.weight.device)
        parametrize.register_parametrization(layer, "weight", difference)


def settle(module: nn.Module) -> dict[str, Tensor]:
    """Add the differences to their matrices for good. Gives ``NAME.up`` and ``NAME.down`` of each."""
    found: dict[str, Tensor] = {}
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            (difference,) = layer.parametrizations["weight"]  # type: ignore[index]
            found[f"{name}.up"], found[f"{name}.down"] = difference.up.detach(), difference.down.detach()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return found
