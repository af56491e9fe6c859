"""What linear attention saves, on our own network: ``python -m benchmarks.attention``.

The article behind this project says of two minutes of music: 2.7 times faster and 65 % less memory than softmax
attention. Here the same layers run over the same frames with either attention, one pass of the network each, weights
random: softmax attention, PyTorch's fused one, over the whole piece, linear attention over the whole too, and linear
attention block by block with its running sums, as the engine does, which holds the least and pays for it with many
small steps. What latents save is measured in ``latents``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from benchmarks import table
from torch import Tensor

from loopmeter_engine.conditioning import FRAME_S
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Layer, Transformer, rotary

LENGTHS_S = (15, 30, 60, 120, 300)
TWO_MINUTES_S = 120


class Row(NamedTuple):
    """One figure of each, what softmax takes over linear attention in the same way, and what the article says of it."""

    what: str
    linear_in_blocks: str
    linear: str
    softmax: str
    softmax_over_linear: str
    article: str


def measure(lengths_s: tuple[int, ...] = LENGTHS_S, rounds: int = 3) -> list[Row]:
    """One pass of the network over pieces of several lengths; the longest takes some seconds."""
    torch.manual_seed(0)
    rows = []
    with torch.inference_mode():
        network = Transformer().eval()
        for length_s in lengths_s:
            blocks_s, linear_s, softmax_s = _seconds(network, frames_of(length_s), rounds)
            article = "2.7 x (38 s, 14 s)" if length_s == TWO_MINUTES_S else ""
            in_blocks, linear, softmax = (f"{took * 1000:.0f} ms" for took in (blocks_s, linear_s, softmax_s))
            ratio = f"{softmax_s / linear_s:.1f} x"
            rows.append(Row(f"pass over {length_s} s", in_blocks, linear, softmax, ratio, article))
    for length_s in sorted({min(TWO_MINUTES_S, max(lengths_s)), max(lengths_s)}):
        held = [_peak_bytes(name, length_s) for name in PASSES]
        in_blocks, linear, softmax = (f"{size / 1e6:.0f} MB" for size in held)
        saved = f"{held[2] / max(1, held[0]):.1f} x (in blocks)"
        article = "2.9 x (65 % less)" if length_s == TWO_MINUTES_S else ""
        rows.append(Row(f"activations, {length_s} s", in_blocks, linear, softmax, saved, article))
    return rows


def frames_of(length_s: float) -> int:
    """Latent frames of a length, whole blocks."""
    return round(length_s / FRAME_S / BLOCK_FRAMES) * BLOCK_FRAMES


def whole_pass(network: Transformer, x: Tensor, score: Tensor) -> Tensor:
    """(1, T, 64) -> (1, T, 64), as if all were one block: every frame reads the sums over all."""
    mods = network.modulations(torch.zeros(1, network.config.condition), torch.ones(1, 1))
    table = rotary(x.shape[1], network.config.width // network.config.heads, 0, x.device)
    return network.block(x, score, mods, network.init_memory(1), table=table)[0]


def linear_pass(network: Transformer, x: Tensor, score: Tensor) -> Tensor:
    """The same block by block, each reading its own sums and those of the blocks before it."""
    memory = network.init_memory(1)
    mods = network.modulations(torch.zeros(1, network.config.condition), torch.ones(1, 1))
    parts = []
    for begin in range(0, x.shape[1], BLOCK_FRAMES):
        block = slice(begin, begin + BLOCK_FRAMES)
        found, memory = network.block(x[:, block], score[:, block], mods, memory, absorb=True)
        parts.append(found)
    return torch.cat(parts, 1)


def softmax_pass(network: Transformer, x: Tensor, score: Tensor) -> Tensor:
    """The same layers over the whole, every frame looking at every other through a softmax."""
    mods = network.modulations(torch.zeros(1, network.config.condition), torch.ones(1, 1))
    h = (network.inp(x) + score)[:, None]
    for index, layer in enumerate(network.layers):
        assert isinstance(layer, Layer)
        if index == network.config.layers // 2:
            h = h + network.middle(score)[:, None]
        mod = mods[index]
        parts = layer.qkv(layer.norm_1(h) * (1 + mod[1]) + mod[0])[:, 0]
        q, k, v = (part.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for part in parts.chunk(3, -1))
        read = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)[:, None]
        h = layer.attend(h, mod, read)
        inner = layer.hidden(h, mod)
        h = layer.feed(h, inner, inner.new_zeros(1, 1, layer.back, inner.shape[-1]), mod)
    out: Tensor = network.out(network.norm(h))[:, 0]
    return out


PASSES = {"linear_in_blocks": linear_pass, "linear": whole_pass, "softmax": softmax_pass}


def _seconds(network: Transformer, frames: int, rounds: int) -> list[float]:
    """Medians of all ``PASSES``, in turn."""
    x, score = torch.randn(1, frames, network.config.latent), torch.randn(1, frames, network.config.width)
    took: list[list[float]] = [[] for _ in PASSES]
    for _ in range(rounds):
        for found, run in zip(took, PASSES.values(), strict=True):
            began = time.perf_counter()
            run(network, x, score)
            found.append(time.perf_counter() - began)
    return [statistics.median(found) for found in took]


def _peak_bytes(which: str, length_s: int) -> int:
    """How much a pass adds to the peak of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.attention", which, str(length_s)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def _print_peak(which: str, length_s: int) -> None:
    run = PASSES[which]
    with torch.inference_mode():
        network = Transformer().eval()
        frames = frames_of(length_s)
        x, score = torch.randn(1, frames, network.config.latent), torch.randn(1, frames, network.config.width)
        print(
            peak_of(lambda: run(network, x[:, :BLOCK_FRAMES], score[:, :BLOCK_FRAMES]), lambda: run(network, x, score))
        )


def peak_of(warm: Callable[[], object], run: Callable[[], object]) -> int:
    """How many bytes ``run`` adds to the peak of this process, after ``warm`` has been run. Linux only."""
    warm()
    Path("/proc/self/clear_refs").write_text("5")  # From here on the peak counts anew.
    before = _status_bytes("VmRSS")
    run()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"expected {name} in /proc/self/status, found none; memory is measured on Linux only")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _print_peak(sys.argv[1], int(sys.argv[2]))
    else:
        print(table.plain(Row._fields, measure()))
