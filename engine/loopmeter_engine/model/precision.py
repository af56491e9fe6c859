"""Number formats: large matrix products in bfloat16 where the device multiplies that fast, all else in float32.

What is carried from block to block stays float32, so that rounding does not pile up over a stream. Small layers, those
that run once per request, and the last one, whose output is the latents, stay float32 too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

_HAS_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")  # Not where torch was built without it.
_SIZE_MIN = 50_000
_MANY_ROWS = "players"  # Small layers, but each of thousands of voices goes through them.
_KEPT = ("modulation", "style", "text", "time")
_TO_HALF = "up"  # Layers of this name are followed by what is bound by memory, and then by another large layer.


class HalfLinear(nn.Module):
    """``nn.Linear`` with bfloat16 weights, for input of any format. Gives float32, or bfloat16 with ``to_half``.

    On a processor oneDNN gets the weights once in the order in which it reads them. Otherwise it brings them into that
    order in every call, which for the 16 rows of a block takes as long as the product.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, *, to_half: bool = False) -> None:
        super().__init__()
        self.format = torch.bfloat16 if to_half else torch.float32
        weight = linear.weight.detach().bfloat16()
        self.ordered = _HAS_ONEDNN and weight.device.type == "cpu" and working_format(weight.device) == weight.dtype
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(weight) if self.ordered else weight)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        if self.ordered:
            found: Tensor = torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.weight, self.bias, "none", [], "")
            return found.to(self.format)
        return F.linear(x.bfloat16(), self.weight, self.bias).to(self.format)


def _flops(x: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    """Of ``_linear_pointwise``, which torch's counter does not know."""
    return 2 * x.numel() * weight[0]


if _HAS_ONEDNN:
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)


def working_format(device: torch.device) -> torch.dtype:
    """bfloat16 where it is faster than float32: GPUs since Ampere, processors with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        fast = bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


def halve(model: nn.Module) -> None:
    """Put ``HalfLinear`` in the place of every large linear layer of ``model``."""
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            path = f"{name}.{child_name}".split(".")
            large = isinstance(child, nn.Linear) and (child.weight.numel() >= _SIZE_MIN or _MANY_ROWS in path)
            if large and not set(path) & set(_KEPT):
                setattr(module, child_name, HalfLinear(child, to_half=child_name == _TO_HALF))
