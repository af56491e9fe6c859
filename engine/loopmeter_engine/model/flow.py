"""Flow matching: the path from noise to latents, its loss, and the solvers that walk it.

The path is straight (Lipman et al. 2022, eq. 20 with sigma_min 0; Liu et al. 2022): ``x_t = (1 - t) noise + t data``,
whose velocity is ``data - noise``. Time runs from 0 (noise) to 1 (data). No network lives here: solvers are handed a
velocity function, so that tests can hand them one with a known solution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Velocity = Callable[[Tensor, int], Tensor]  # (x, index of the time in the schedule) -> velocity


def interpolate(data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The point of the path at ``time``, which broadcasts against the others."""
    return (1 - time) * noise + time * data


def schedule(steps: int) -> list[float]:
    """``steps + 1`` times from 0 to 1, denser near the noise."""
    return [(index / steps) ** 1.25 for index in range(steps + 1)]


def passes(solver: str, steps: int) -> int:
    """How often a solver asks for a velocity."""
    return 2 * steps - 1 if solver == "heun" else steps


def solve(velocity: Velocity, x: Tensor, times: Sequence[float], solver: str) -> Tensor:
    """Walk from noise to data.

    ``euler``: one velocity per step. ``heun``: a corrector after each step but the last, order 2. ``ab2``: the
    two-step Adams-Bashforth rule for uneven steps, order 2 at Euler's price; PLMS uses the same rule.
    """
    if solver not in ("euler", "heun", "ab2"):
        raise ValueError(f"solver: expected euler, heun or ab2, found {solver!r}")
    before: Tensor | None = None
    size_before = 0.0
    for index in range(len(times) - 1):
        size = times[index + 1] - times[index]
        now = velocity(x, index)
        if solver == "heun" and index + 2 < len(times):
            ahead = velocity(x + size * now, index + 1)
            x = x + size * 0.5 * (now + ahead)
        elif solver == "ab2" and before is not None:
            ratio = 0.5 * size / size_before
            x = x + size * ((1 + ratio) * now - ratio * before)
        else:
            x = x + size * now
        before, size_before = now, size
    return x


def flow_loss(predicted: Tensor, data: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of the velocity (B, T, C)."""
    return (predicted - (data - noise)).float().square().mean()


def training_times(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Times for training, logit-normal (Esser et al. 2024) mixed with uniform so that the ends are seen too."""
    normal = torch.sigmoid(torch.randn(shape, device=device))
    uniform = torch.rand(shape, device=device)
    return torch.where(torch.rand(shape, device=device) < 0.3, uniform, normal)
