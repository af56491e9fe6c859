"""What both trainings share: a budget in minutes, a learning rate that follows it, averages, checkpoints, a log.

A checkpoint holds everything that decides the next step (weights, optimisers, averages, generators, minutes spent).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Budget:
    """Minutes of training, resumable; ``fraction`` runs from 0 to 1."""

    def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
        self.minutes, self._began = minutes, time.monotonic() - spent_s

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def fraction(self) -> float:
        return min(1.0, self.spent_s / (60 * self.minutes))

    @property
    def over(self) -> bool:
        return self.fraction >= 1.0


def learning_rate(peak: float, step: int, fraction: float, warm_up_steps: int = 200) -> float:
    """Linear warm-up, then flat to 40 % of the budget, then a cosine down to 2 % of the peak."""
    late = max(0.0, (fraction - 0.4) / 0.6)
    return peak * min(1.0, (step + 1) / warm_up_steps) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * late)))


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, values: Iterable[nn.Parameter]) -> None:
    """One step of ``optimiser`` down ``loss``, its gradient by ``values`` cut to a norm of 1."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships no types for it.
    torch.nn.utils.clip_grad_norm_(values, 1.0)
    optimiser.step()


class Average:
    """An exponential average of a module's weights, faster at first."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        values = [self.values[name] for name, _ in module.named_parameters()]
        torch._foreach_lerp_(values, [value.detach() for _, value in module.named_parameters()], 1 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        for name, value in module.named_parameters():
            value.copy_(self.values[name])


def save_checkpoint(path: Path, parts: dict[str, Any], step: int, budget: Budget, rng: np.random.Generator) -> None:
    """All ``parts``, and where the training stands."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items() if hasattr(part, "state_dict")}
    for name, part in parts.items():
        if isinstance(part, Average):
            state[name] = {"values": part.values, "steps": part.steps}
    state["step"], state["spent_s"] = step, budget.spent_s
    state["numpy_rng"] = json.dumps(rng.bit_generator.state)
    state["torch_rng"] = torch.get_rng_state()
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state()
    save_whole(state, path)


def save_whole(found: dict[str, Any], path: Path) -> None:
    """Written beside, then renamed: a file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(found, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)


def load_checkpoint(
    path: Path, parts: dict[str, Any], rng: np.random.Generator, device: torch.device
) -> tuple[int, float]:
    """Restore all parts in place; gives the step and the seconds already spent."""
    state = torch.load(path, map_location=device, weights_only=True)
    for name, part in parts.items():
        if isinstance(part, Average):
            part.values, part.steps = state[name]["values"], state[name]["steps"]
        elif hasattr(part, "load_state_dict"):
            part.load_state_dict(state[name])
    rng.bit_generator.state = json.loads(state["numpy_rng"])
    torch.set_rng_state(state["torch_rng"].cpu())
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda_rng"].cpu())
    return int(state["step"]), float(state["spent_s"])


class Log:
    """Smoothed losses, printed every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.count = every, 0
        self.sums: dict[str, Tensor] = {}

    def add(self, step: int, budget: Budget, **losses: Tensor) -> None:
        for name, value in losses.items():
            detached = value.detach().float()
            self.sums[name] = self.sums[name] + detached if name in self.sums else detached
        self.count += 1
        if (step + 1) % self.every == 0:
            shown = " ".join(f"{name} {float(total) / self.count:.4f}" for name, total in self.sums.items())
            print(f"step {step + 1} {budget.spent_s:.0f} s {shown}", flush=True)
            self.sums, self.count = {}, 0
