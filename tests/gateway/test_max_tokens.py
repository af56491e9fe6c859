"""A cap on an order: one call is enough, and what would cost more is refused before anything is held."""

from __future__ import annotations

import pytest

from .conftest import BOTH_STORES, LOOP, Client, House

pytestmark = pytest.mark.anyio
HEADER = "Loopmeter-Max-Tokens"


async def order(client: Client, cap: str, *, key: str = "take-1", **fields: object) -> tuple[int, dict[str, object]]:
    headers = {"Accept": "application/json", "Idempotency-Key": key, HEADER: cap}
    answer = await client.http.post("/v1/loops", json=LOOP | fields, headers=headers)
    return answer.status_code, answer.json()


@BOTH_STORES
@pytest.mark.parametrize("quoted", [False, True], ids=["priced now", "by quote"])
async def test_a_loop_above_its_cap_is_refused_and_nothing_is_held(house: House, quoted: bool) -> None:
    house.grant(5000)
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        by_quote = {"quote_id": quote["quote_id"]} if quoted else {}
        status, problem = await order(client, "799", **by_quote)
        balance = await client.balance()
        status_after, job = await order(client, "800", **by_quote)

    assert (status, problem["code"], problem["tokens"], problem["max_tokens"]) == (402, "over_max_tokens", 800, 799)
    assert balance == {"available": 5000, "held": 0, "posted": 5000}
    assert (status_after, job["tokens_quoted"]) == (200, 800)  # Quote and key are as good as before.
    assert house.audit().faults == ()


@BOTH_STORES
async def test_a_repeated_order_is_its_job_whatever_the_cap(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        _, first = await order(client, "800")
        status, second = await order(client, "1")

    assert (status, second["id"]) == (200, first["id"])


@BOTH_STORES
async def test_the_cap_comes_before_the_balance(house: House) -> None:
    async with house.open() as client:
        _, over = await order(client, "0")
        _, poor = await order(client, "800")

    assert (over["code"], poor["code"]) == ("over_max_tokens", "insufficient_tokens")


@pytest.mark.parametrize("cap", ["", "-1", "1.5", "many", "1e3", "0x10", "1" * 16])
async def test_a_cap_that_is_no_number_is_refused_by_name(house: House, cap: str) -> None:
    house.grant(5000)
    async with house.open() as client:
        status, problem = await order(client, cap)
        balance = await client.balance()

    assert (status, problem["code"]) == (422, "invalid_request")
    assert problem["errors"][0]["field"] == HEADER  # type: ignore[index]
    assert balance["held"] == 0
