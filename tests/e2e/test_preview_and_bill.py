"""What a preview says is what the bills say, to the token."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.gateway_process import GatewayProcess

from loopmeter import Budget, Loopmeter, LoopRequest

TOKENS = 10**8


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path)
    process.start()
    yield process
    process.stop()


def mixed(count: int) -> list[LoopRequest]:
    """Mostly seconds long; one in ten longer than the minute that the base price includes."""
    dice = random.Random(7)
    requests = []
    for seed in range(count):
        long = dice.random() < 0.1
        requests.append(
            LoopRequest(
                prompt=dice.choice(("drums", "calm pads", "battle theme in D minor")),
                tempo_bpm=dice.choice((None, dice.uniform(40, 240), 97.3)) if not long else dice.uniform(110, 140),
                bars=dice.randint(32, 44) if long else dice.choice((None, 1, 2, 3)),
                beats_per_bar=dice.choice((3, 4, 6)),
                quality=dice.choice(("standard", "hifi")),
                key=dice.choice((None, "Am", "F#")),
                seed=seed,
            )
        )
    return requests


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_every_bill_equals_its_preview(count: int, gateway: GatewayProcess) -> None:
    api_key = gateway.customer("bake", TOKENS)
    with Loopmeter(gateway.url, api_key) as client:
        preview = client.preview(mixed(count))
        held = client.balance().held
        budget = Budget(preview.tokens)
        paying = client.with_options(budget=budget)

        bills = [paying.loops.create(item.request, quote=item.quote).tokens_charged for item in preview]

        balance = client.balance()
    assert held == 0
    assert bills == [item.tokens for item in preview]
    assert len(set(bills)) > 4
    assert balance.posted == TOKENS - preview.tokens
    assert (budget.spent, budget.left) == (preview.tokens, 0)
