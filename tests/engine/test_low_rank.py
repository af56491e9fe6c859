"""A low-rank difference computes what the changed weights compute, and fits or is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from loopmeter_engine.model.low_rank import add, settle, tune, without_differences


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential()
    inner.add_module("up", nn.Linear(12, 30))
    inner.add_module("down", nn.Linear(30, 5))
    return nn.Sequential(inner)


def _trained() -> tuple[nn.Sequential, Tensor]:
    """Tuned in one layer and trained for a while, biases too; and an input."""
    model = _network()
    tune(model, 3, ("up",))
    model[0].down.requires_grad_(False)
    x = torch.randn(7, 12)
    optimiser = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], 0.1)
    for _ in range(20):
        optimiser.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimiser.step()
    return model, x


def test_a_difference_begins_as_none_and_matrices_do_not_learn() -> None:
    model, x = _network(), torch.randn(7, 12)
    before = model(x)
    tune(model, 3)
    assert torch.equal(model(x), before)
    learn = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name.rpartition(".")[2] for name in learn} == {"up", "down", "bias"}


def test_settled_or_added_to_the_weights_of_before_it_computes_what_training_saw() -> None:
    model, x = _trained()
    trained, plain = model(x), _network()
    with without_differences(model):
        matrix_of_before = model[0].up.weight
    assert torch.equal(matrix_of_before, plain[0].up.weight)
    assert not torch.allclose(trained, plain(x), atol=0.1)
    differences = settle(model)
    assert set(differences) == {"0.up.up", "0.up.down", "0.up.bias"}
    assert torch.allclose(model(x), trained, atol=1e-5)
    assert settle(model) == {}
    add(plain, differences)
    assert torch.allclose(plain(x), trained, atol=1e-5)


@pytest.mark.parametrize("lacking", ["0.up.down", "0.up.up", "layer", "shape"])
def test_differences_of_another_network_are_refused(lacking: str) -> None:
    differences = settle(_trained()[0])
    if lacking == "layer":
        differences = {name.replace("0.up", "0.left", 1): value for name, value in differences.items()}
    elif lacking == "shape":
        differences = {name.replace("0.up", "0.down", 1): value for name, value in differences.items()}
    else:
        del differences[lacking]
    with pytest.raises(ValueError, match="expected differences of this network, found 0"):
        add(_network(), differences)
