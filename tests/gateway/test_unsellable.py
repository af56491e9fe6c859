"""A model whose licence forbids selling its sound is not sold, unless a plan names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopmeter_engine.contract import EngineInfo
from loopmeter_engine.fake import FakeEngine

from .conftest import LOOP, House

pytestmark = pytest.mark.anyio


class _NonCommercial(FakeEngine):
    def info(self) -> EngineInfo:
        return replace(super().info(), licence="CC-BY-NC-4.0", commercial=False)


async def test_a_model_that_must_not_be_sold_is_refused_by_plans_that_sell(house: House) -> None:
    house.grant(5000)
    async with house.open(_NonCommercial()) as client:
        refused = await client.http.post("/v1/quotes", json=LOOP)
        (model, *_) = (await client.http.get("/v1/models")).json()["models"]
        assert refused.status_code == 403 and refused.json()["code"] == "model_not_in_plan"
        assert "CC-BY-NC-4.0" in refused.json()["detail"]
        assert (model["licence"], model["included"]) == ("CC-BY-NC-4.0", False)
        assert (await client.balance())["available"] == 5000
