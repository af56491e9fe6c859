"""Solvers are held to a flow with a known solution."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from loopmeter_engine.model.flow import flow_loss, interpolate, passes, schedule, solve


def _error(solver: str, steps: int) -> float:
    """x' = x from 1, whose value at time 1 is e."""
    times = schedule(steps)
    asked: list[int] = []

    def velocity(x: Tensor, index: int) -> Tensor:
        asked.append(index)
        return x

    found = solve(velocity, torch.ones(1, dtype=torch.float64), times, solver)
    assert len(asked) == passes(solver, steps)
    return abs(float(found) - math.e)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("ab2", 2)])
def test_error_falls_with_the_solvers_order(solver: str, order: int) -> None:
    coarse, fine = _error(solver, 40), _error(solver, 80)
    assert coarse / fine == pytest.approx(2**order, rel=0.2)


def test_heun_is_better_than_euler_with_as_many_passes() -> None:
    assert passes("heun", 10) == 19
    assert _error("heun", 10) < _error("euler", 19)


@pytest.mark.parametrize("solver", ["euler", "heun", "ab2"])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_straight_path_is_walked_exactly(solver: str, steps: int) -> None:
    noise, data = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    found = solve(lambda x, index: data - noise, noise, schedule(steps), solver)
    assert torch.allclose(found, data, atol=1e-12)


def test_schedule_runs_from_noise_to_data() -> None:
    times = schedule(9)
    assert (times[0], times[-1], len(times)) == (0.0, 1.0, 10)
    assert all(a < b for a, b in itertools.pairwise(times))


def test_unknown_solver_is_named() -> None:
    with pytest.raises(ValueError, match="expected euler, heun or ab2, found 'rk4'"):
        solve(lambda x, index: x, torch.zeros(1), [0, 1], "rk4")


def test_loss_is_zero_for_the_right_velocity_only() -> None:
    noise, data = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    assert flow_loss(data - noise, data, noise) == 0
    assert flow_loss(data, data, noise) > 0
    assert torch.equal(interpolate(data, noise, torch.ones(1)), data)
    assert torch.equal(interpolate(data, noise, torch.zeros(1)), noise)
