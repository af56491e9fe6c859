"""From quote to hold: what a loop costs, who may order it, and what a repeated order does."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from loopmeter_gateway.money.audit import Audit

from .conftest import BOTH_STORES, LOOP, Gate, House, until

pytestmark = [pytest.mark.anyio, BOTH_STORES]
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())


async def test_a_completed_bill_equals_its_quote(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP | {"quality": "hifi"})).json()
        made = await client.order("audio/wav", quality="hifi", quote_id=quote["quote_id"])
        job = await client.job(made.headers["Loopmeter-Job-Id"])

    assert quote["tokens"] == 1040
    assert (job["state"], job["tokens_quoted"], job["tokens_charged"]) == ("completed", 1040, 1040)
    assert job["quote_id"] == quote["quote_id"]
    assert house.audit() == CLEAN


async def test_a_quote_keeps_its_price_into_the_peak(house: House) -> None:
    house.grant(5000)
    house.clock.advance(7 * 3600 - 60)  # one minute before the evening peak
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        house.clock.advance(120)
        with_quote = await client.order(quote_id=quote["quote_id"])
        without = await client.order()

    assert quote["tokens"] == with_quote.json()["tokens_quoted"] == 800
    assert without.json()["tokens_quoted"] == 960


async def test_an_expired_quote_is_gone(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        house.clock.advance(300)
        refused = await client.order(quote_id=quote["quote_id"])
        balance = await client.balance()

    assert (refused.status_code, refused.json()["code"]) == (410, "quote_expired")
    assert balance == {"available": 5000, "held": 0, "posted": 5000}


async def test_a_quote_is_for_its_own_request_once_and_for_its_customer(house: House) -> None:
    house.grant(5000)
    stranger = house.new_customer("eve", 5000)
    async with house.open() as client:
        quote_id = (await client.http.post("/v1/quotes", json=LOOP)).json()["quote_id"]
        stolen = await client.http.post(
            "/v1/loops", json=LOOP | {"quote_id": quote_id}, headers={"Authorization": f"Bearer {stranger}"}
        )
        other = await client.order(quote_id=quote_id, seed=1)
        first = await client.order(quote_id=quote_id)
        second = await client.order(quote_id=quote_id)
        unknown = await client.order(quote_id="quo_nobody")

    assert (stolen.status_code, stolen.json()["code"]) == (404, "quote_unknown")
    assert (other.status_code, other.json()["code"]) == (422, "quote_mismatch")
    assert other.json()["errors"][0]["field"] == "quote_id"
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "quote_used")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "quote_unknown")


@pytest.mark.parametrize("form", ["application/json", "audio/wav", "application/vnd.loopmeter.chunks"])
async def test_money_for_ten_admits_exactly_ten_of_a_hundred(house: House, form: str) -> None:
    house.grant(8000)
    async with house.open() as client:
        answers = await asyncio.gather(*(client.order(form, bars=1, seed=number) for number in range(100)))
        await until(lambda: not client.gateway.live_jobs)
        balance = await client.balance()

    assert Counter(answer.status_code for answer in answers) == {200: 10, 402: 90}
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert (refused["code"], refused["needed"]) == ("insufficient_tokens", 800)
    assert balance == {"available": 0, "held": 0, "posted": 0}
    assert house.audit() == CLEAN


async def test_fifty_equal_orders_at_once_make_one_job(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        answers = await asyncio.gather(*(client.order("audio/wav", key="same") for _ in range(50)))
        balance = await client.balance()

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["Loopmeter-Job-Id"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1
    assert balance["posted"] == 4200
    assert house.audit() == CLEAN


async def test_a_replayed_order_reads_its_chunks_again_for_nothing(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        first = await client.order("audio/wav", key="again")
        replay = await client.order("audio/wav", key="again")
        as_job = await client.order("application/json", key="again")

    assert first.content == replay.content
    assert (as_job.json()["state"], as_job.json()["tokens_charged"]) == ("completed", 800)
    assert house.audit() == CLEAN


async def test_a_replay_still_works_when_its_quote_has_expired(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        first = await client.order(quote_id=quote["quote_id"], key="kept")
        house.clock.advance(1000)
        replay = await client.order(quote_id=quote["quote_id"], key="kept")

    assert replay.json()["id"] == first.json()["id"]


async def test_an_idempotency_key_belongs_to_one_body_and_one_customer(house: House) -> None:
    house.grant(5000)
    stranger = house.new_customer("eve", 800)
    async with house.open() as client:
        first = await client.order(key="mine")
        other_body = await client.order(key="mine", seed=1)
        other_customer = await client.http.post(
            "/v1/loops",
            json=LOOP,
            headers={"Accept": "application/json", "Idempotency-Key": "mine", "Authorization": f"Bearer {stranger}"},
        )

    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency_key_reused")
    assert other_customer.json()["id"] != first.json()["id"]


async def test_orders_without_a_key_are_new_orders(house: House) -> None:
    house.grant(1600)
    async with house.open() as client:
        ids = {(await client.order()).json()["id"] for _ in range(2)}

    assert len(ids) == 2


async def test_a_refused_order_may_be_repeated_after_a_grant(house: House, gate: Gate) -> None:
    async with house.open() as client:
        poor = await client.order(key="later")
        await asyncio.to_thread(house.grant, 800)
        rich = await client.order(key="later")

    assert (poor.status_code, rich.status_code) == (402, 200)
