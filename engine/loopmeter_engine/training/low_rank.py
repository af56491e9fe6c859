"""Training a small difference instead of whole matrices (LoRA, Hu et al. 2021): what changes then fits into 2 MB.

    tune(decoder, 24)            # Only the differences, and what is no matrix, learn from here on.
    ...
    difference = settle(decoder) # The matrices as they are now, and what made them so.

Of a finished checkpoint, the difference as a file of its own, which ``add`` gives to a decoder with the old weights:

    python -m loopmeter_engine.training.low_rank OUT/autoencoder.pt difference.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
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
    """Add the differences to their matrices for good. Gives ``NAME.up`` and ``NAME.down`` of each, and all else whole.

    Empty if there are none.
    """
    found: dict[str, Tensor] = {}
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            (difference,) = layer.parametrizations["weight"]  # type: ignore[index]
            found[f"{name}.up"], found[f"{name}.down"] = difference.up.detach(), difference.down.detach()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    if not found:
        return {}
    whole = {name: value.detach() for name, value in module.named_parameters()}
    return found | {name: value for name, value in whole.items() if f"{name.removesuffix('.weight')}.up" not in found}


@torch.no_grad()
def add(module: nn.Module, differences: dict[str, Tensor]) -> None:
    """What ``settle`` gave, put into a module with the weights of before."""
    weights = dict(module.named_parameters())
    for name, value in differences.items():
        if name.endswith(".up"):
            layer = name.removesuffix(".up")
            weights[f"{layer}.weight"].add_(value.float() @ differences[f"{layer}.down"].float())
        elif not name.endswith(".down"):
            weights[name].copy_(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="what train_autoencoder --rank wrote")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    found = torch.load(args.checkpoint, map_location="cpu", weights_only=True)["differences"]
    if not found:
        parser.error(f"expected differences in {args.checkpoint}, found none; train with --rank")
    save_file({name: value.half().contiguous() for name, value in found.items()}, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
