"""The simulated world, short; ``make soak`` runs it at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import BOTH_STORES
from .simulator import World


@BOTH_STORES
@pytest.mark.parametrize("seed", [1, 2])
def test_no_invariant_breaks_in_a_short_life(store: str, seed: int) -> None:
    world = World(store, seed)

    world.run(150)

    assert {"order: new", "deliver: completed", "deliver_again: refused"} <= world.done.keys()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_no_invariant_breaks_in_ten_thousand_steps(tmp_path: Path, seed: int) -> None:
    World(f"sqlite:///{tmp_path}/world.db", seed).run(10_000)


@pytest.mark.soak
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seed", range(20))
def test_no_invariant_breaks_in_ten_thousand_steps_on_postgresql(store: str, seed: int) -> None:
    World(store, seed).run(10_000)
