"""Other people's models, from the SDK through a real gateway and its ledger to sound. Tiny random weights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.tiny_musicgen import save_tiny_musicgen
from benchmarks.tiny_stable_audio import save_tiny_stable_audio
from tests.gateway.conftest import OFF_PEAK, House, anyio_backend, furnished, house, store
from tests.gateway.live_client import listening

from loopmeter import APIError, AsyncLoopmeter, LoopRequest, PlanInfo
from loopmeter_engine.contract import Engine
from loopmeter_engine.engines.musicgen import MusicGenEngine
from loopmeter_engine.engines.stable_audio import StableAudioEngine
from loopmeter_gateway import admin
from loopmeter_gateway.money.price_book import Work, load_price_book, price

__all__ = ["anyio_backend", "furnished", "house", "store"]  # Fixtures, found by their names.

ENGINES: dict[str, Callable[[Path], Engine]] = {
    "musicgen": lambda folder: MusicGenEngine(save_tiny_musicgen(folder), device="cpu"),
    "stable-audio": lambda folder: StableAudioEngine(save_tiny_stable_audio(folder), device="cpu"),
}
LAB = """
name = "lab"
version = "1"
description = "For research, not for sale."
included_s = 60
base_tokens = 800
extra_tokens_per_s = 10
hifi_percent = 30

[[plans]]
name = "standard"

[[plans]]
name = "lab"
models = ["musicgen", "stable-audio"]
"""


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.anyio
async def test_it_is_sold_at_its_quote_by_a_plan_that_names_it_and_by_no_other(
    house: House, tmp_path: Path, name: str
) -> None:
    admin.add_book(house.settings.db, LAB)
    house.grant(5000)
    asked: dict[str, Any] = {"tempo_bpm": 150, "bars": 1}
    async with listening(house, ENGINES[name](tmp_path / "checkpoint")) as (client, url):
        address = url.replace("ws://", "http://").removesuffix("/v1/live")
        async with AsyncLoopmeter(address, api_key=house.key) as loopmeter:
            with pytest.raises(APIError) as refused:
                await loopmeter.quote("dusty drums", **asked)
            await asyncio.to_thread(admin.set_terms, house.settings.db, house.customer_id, "lab", "lab-1")
            quote = await loopmeter.quote("dusty drums", **asked)
            made = await loopmeter.loops.create("dusty drums", quote=quote, **asked)
            model = (await client.http.get("/v1/models")).json()["models"][1]
            balance = await loopmeter.balance()
    assert (refused.value.status, refused.value.code) == (403, "model_not_in_plan")
    assert made.frames == round(1.6 * quote.sample_rate_hz)
    assert made.tokens_charged == quote.tokens == 5000 - balance.available
    assert (model["name"], model["plans"], model["price_book"]) == (name, ["lab"], "lab-1")
    assert "sold" in model["output_rights"]
    assert (house.audit().faults, house.audit().open_holds) == ((), 0)


def test_a_dearer_model_costs_more_by_its_own_plan(tmp_path: Path) -> None:
    """Under ``resource`` nobody writes a table: more steps, and more work, are more tokens by themselves."""
    engine = ENGINES["stable-audio"](tmp_path / "checkpoint")
    tokens, tera = [], []
    for steps in (8, 80):
        plan = engine.plan(LoopRequest(prompt="x", tempo_bpm=120, bars=4, steps=steps))
        # The tiny model's work is nothing; the real one's is about a hundred thousand times as much.
        work = Work(plan.flops * 100_000, plan.peak_memory_bytes)
        price_of = price(
            load_price_book("resource"),
            frames=plan.frames,
            sample_rate_hz=plan.sample_rate_hz,
            quality="standard",
            at=OFF_PEAK,
            plan=PlanInfo(name="standard"),
            work=work,
        )
        tokens.append(price_of.tokens)
        tera.append(work.flops / 1e12)
    assert tokens[1] - tokens[0] == pytest.approx(2000 * (tera[1] - tera[0]), rel=0.01, abs=2)
