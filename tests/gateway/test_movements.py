"""Grants, refunds, adjustments and the months of plans: each explained, none twice, none beyond what there is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from loopmeter_gateway import admin
from loopmeter_gateway.accounts.administration import set_terms
from loopmeter_gateway.clock import ManualClock, to_ms
from loopmeter_gateway.database import Database, once
from loopmeter_gateway.money import allowances, ledger, movements
from loopmeter_gateway.money.audit import Audit
from loopmeter_gateway.money.books import Books
from loopmeter_gateway.money.movements import Why
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import transfers

from .conftest import BOTH_STORES, Gate, House

pytestmark = [pytest.mark.anyio, BOTH_STORES]
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
WHY = Why("a test", "tester")


async def made(house: House) -> str:
    """A job that was made and paid: 800 tokens."""
    house.grant(800)
    async with house.open() as client:
        job_id = str((await client.order("application/json")).json()["id"])
        await client.ended(job_id)
    return job_id


async def test_every_movement_says_why_and_who(house: House) -> None:
    house.grant(100)
    admin.adjust(house.settings.db, "ada", -30, "paid twice")

    rows = once(house.settings.db, lambda c: c.execute(select(transfers).order_by(transfers.c.id)).all())

    assert [(row.kind, row.amount, row.reason) for row in rows] == [
        ("grant", 100, "grant"),
        ("adjustment", 30, "paid twice"),
    ]
    assert all(row.actor.startswith("cli") for row in rows)
    assert house.audit() == CLEAN


async def test_the_database_refuses_a_movement_without_a_reason(house: House) -> None:
    values = {"debit_account_id": "house:grants", "credit_account_id": house.customer_id, "amount": 1}
    values |= {"kind": "grant", "created_at_ms": 0}

    with pytest.raises(IntegrityError):
        once(house.settings.db, lambda c: c.execute(insert(transfers).values(values)))


async def test_a_reference_moves_tokens_once(house: House) -> None:
    for _ in range(3):
        found = admin.grant(house.settings.db, "ada", 500, "top-up", "payment-1")

    assert found["available"] == 500


async def test_a_reference_moves_tokens_once_also_when_asked_ten_times_at_once(house: House) -> None:
    database = Database(house.settings.db)
    await database.start()
    why = Why("top-up", "tester", "payment-2")
    await asyncio.gather(
        *(database.write(lambda c: movements.grant(c, house.customer_id, 500, 0, why)) for _ in range(10))
    )
    await database.stop()

    assert admin.show_customer(house.settings.db, "ada")["available"] == 500


@pytest.mark.parametrize("tokens", [501, -500])
async def test_a_reference_stands_for_one_movement(house: House, tokens: int) -> None:
    admin.grant(house.settings.db, "ada", 500, "top-up", "payment-1")

    with pytest.raises(Refused, match="reference_reused"):
        admin.grant(house.settings.db, "ada", tokens, "top-up", "payment-1")


async def test_an_adjustment_takes_no_more_than_is_available(house: House) -> None:
    house.grant(100)

    with pytest.raises(Refused, match="insufficient_tokens"):
        admin.adjust(house.settings.db, "ada", -101, "paid twice")
    assert house.audit() == CLEAN


async def test_a_refund_gives_back_what_was_charged_and_no_more(house: House) -> None:
    job_id = await made(house)
    db = house.settings.db

    first = admin.refund(db, job_id, 300, "a click in bar 2")
    with pytest.raises(Refused, match="refund_too_large") as caught:
        admin.refund(db, job_id, 501, "all of it")
    second = admin.refund(db, job_id, 500, "all of it")

    assert (first["available"], second["available"]) == (300, 800)
    assert caught.value.amounts == {"available": 500}
    assert house.audit() == CLEAN


async def test_refunds_at_once_give_back_no_more_than_was_charged(house: House) -> None:
    job_id = await made(house)
    database = Database(house.settings.db)
    await database.start()
    refunds = [database.write(lambda c: movements.refund(c, job_id, 300, 0, WHY)) for _ in range(8)]
    results = await asyncio.gather(*refunds, return_exceptions=True)
    await database.stop()

    assert sum(not isinstance(result, Refused) for result in results) == 2
    assert admin.show_customer(house.settings.db, "ada")["available"] == 600


@pytest.mark.parametrize(("tokens", "reason"), [(0, "why"), (-5, "why"), (5, " ")])
async def test_a_refund_needs_tokens_and_a_reason(house: House, tokens: int, reason: str) -> None:
    job_id = await made(house)

    with pytest.raises(Refused, match="invalid_request"):
        admin.refund(house.settings.db, job_id, tokens, reason)


async def test_only_a_job_that_has_ended_is_refunded(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as client:
        job_id = (await client.order("application/json")).json()["id"]
        with pytest.raises(Refused, match="not_finished"):
            await asyncio.to_thread(admin.refund, house.settings.db, job_id, 5, "why")
        gate.allow(100)
        await client.ended(job_id)

    with pytest.raises(Refused, match="not_found"):
        admin.refund(house.settings.db, "job_nobody", 5, "why")


# Months.

JANUARY = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Months:
    """One customer of the plan ``studio`` (60,000 a month, up to 30,000 roll over), and a clock."""

    def __init__(self, house: House) -> None:
        self.db = house.settings.db
        self.clock = ManualClock(JANUARY)
        self.books = Books("standard")
        self.customer_id = house.customer_id
        once(self.db, lambda c: self.books.put_in_force(c, 0))
        admin.set_terms(self.db, self.customer_id, plan="standard")

    def set_plan(self, plan: str) -> dict[str, Any]:
        once(self.db, lambda c: set_terms(c, self.books, self.customer_id, plan, None, to_ms(self.clock.now())))
        return admin.show_customer(self.db, self.customer_id)

    def open(self) -> int:
        once(self.db, lambda c: allowances.open_months(c, self.books, to_ms(self.clock.now())))
        return int(admin.show_customer(self.db, self.customer_id)["available"])

    def spend(self, tokens: int) -> None:
        now_ms = to_ms(self.clock.now())

        def work(connection: Any) -> None:
            name = f"spend-{now_ms}"
            ledger.hold(connection, name, self.customer_id, tokens, now_ms, now_ms + 1000)
            ledger.post(connection, name, 0, tokens, now_ms, now_ms + 1000)
            ledger.close_hold(connection, name, "settled", now_ms)

        once(self.db, work)

    def to(self, year: int, month: int) -> None:
        self.clock.advance((datetime(year, month, 1, tzinfo=UTC) - self.clock.now()).total_seconds())


async def test_a_plan_grants_at_once_and_once_a_month(house: House) -> None:
    months = Months(house)

    assert months.set_plan("studio")["available"] == 60_000
    assert [months.open(), months.open()] == [60_000, 60_000]


async def test_what_is_left_rolls_over_up_to_the_plan_s_limit_and_the_rest_expires(house: House) -> None:
    months = Months(house)
    months.set_plan("studio")
    months.spend(10_000)
    months.to(2026, 2)

    assert months.open() == 30_000 + 60_000
    months.spend(85_000)
    months.to(2026, 3)
    assert months.open() == 5_000 + 60_000
    assert house.audit() == CLEAN


async def test_bought_tokens_never_expire(house: House) -> None:
    months = Months(house)
    house.grant(7_000)
    months.set_plan("studio")
    months.spend(20_000)
    months.to(2026, 2)

    assert months.open() == 7_000 + 30_000 + 60_000


async def test_a_plan_without_a_grant_ends_the_month_of_the_former(house: House) -> None:
    months = Months(house)
    months.set_plan("studio")
    months.set_plan("standard")
    months.to(2026, 2)

    assert months.open() == 0


async def test_months_that_were_slept_through_are_not_granted(house: House) -> None:
    months = Months(house)
    months.set_plan("free")
    months.to(2026, 6)

    assert months.open() == 4_000


async def test_a_month_opens_once_however_many_gateways_try(house: House) -> None:
    months = Months(house)
    months.set_plan("studio")
    months.to(2026, 2)
    databases = [Database(house.settings.db) for _ in range(4)]
    for database in databases:
        await database.start()
    now_ms = to_ms(months.clock.now())
    await asyncio.gather(
        *(database.write(lambda c: allowances.open_months(c, Books("standard"), now_ms)) for database in databases)
    )
    for database in databases:
        await database.stop()

    assert admin.show_customer(house.settings.db, "ada")["available"] == 90_000
    assert house.audit() == CLEAN


async def test_what_is_held_at_the_end_of_a_month_stays_held(house: House) -> None:
    months = Months(house)
    months.set_plan("free")
    once(months.db, lambda c: ledger.hold(c, "over", months.customer_id, 3_000, 0, 10**15))
    months.to(2026, 2)

    assert months.open() == 4_000
    assert admin.show_customer(months.db, "ada")["held"] == 3_000


async def test_a_running_gateway_opens_the_month(house: House) -> None:
    admin.create_customer(house.settings.db, "bob", "free")
    async with house.open() as client:
        house.clock.advance(365 * 86_400 + 31 * 86_400)
        await client.gateway.sweep()

    assert admin.show_customer(house.settings.db, "bob")["available"] == 4_000
    assert house.audit() == CLEAN
