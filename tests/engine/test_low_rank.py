"""A change of low rank computes what the changed weights compute, and fits or is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loopmeter_engine.model.low_rank import adapt, apply_changes, changes, unchanged


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential()
    inner.add_module("up", nn.Linear(12, 30))
    inner.add_module("other", nn.Linear(30, 5))
    return nn.Sequential(inner)


def _trained() -> tuple[nn.Sequential, torch.Tensor]:
    model = _network()
    adapt(model, 3, ("up",))
    x = torch.randn(7, 12)
    optimiser = torch.optim.Adam([value for value in model.parameters() if value.requires_grad], 0.1)
    for _ in range(20):
        optimiser.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimiser.step()
    return model, x


def test_a_change_begins_as_none_and_only_it_is_trained() -> None:
    model, x = _network(), torch.randn(7, 12)
    before = model(x)
    adapt(model, 3, ("up",))
    assert torch.equal(model(x), before)
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert trained == ["0.up.change_down", "0.up.change_up"]


def test_applied_to_the_weights_it_computes_what_training_saw() -> None:
    model, x = _trained()
    plain = _network()
    assert not torch.allclose(model(x), plain(x), atol=0.1)
    with unchanged(model):
        assert torch.equal(model(x), plain(x))
    apply_changes(plain, changes(model))
    assert torch.allclose(model(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("name", ["0.up.change_up", "0.up.change_down"])
def test_half_a_change_is_refused(name: str) -> None:
    found = changes(_trained()[0])
    del found[name]
    with pytest.raises(ValueError, match=r"expected two matrices .* found '0\.up'"):
        apply_changes(_network(), found)


def test_a_change_of_another_network_is_refused() -> None:
    found = {name.replace("up", "other", 1): value for name, value in changes(_trained()[0]).items()}
    with pytest.raises(ValueError, match=r"expected changes of \(5, 30\) for 0\.other, found \(30, 3\) and \(3, 12\)"):
        apply_changes(_network(), found)
