"""Chunks of many streams charged in one transaction: together they cost what each alone would, and fail alone."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, event, func, select, update
from sqlalchemy.exc import DBAPIError

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, Usage
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import create_customer
from loopmeter_gateway.database import Database, once
from loopmeter_gateway.jobs.deliveries import (
    Delivered,
    Deliveries,
    Delivery,
    charge_at_once,
    deliver_chunk,
    deliver_chunks,
)
from loopmeter_gateway.jobs.owners import JobMoved, claim
from loopmeter_gateway.jobs.records import JobRecord, Order, end_job, expire_jobs, order_job
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.audit import Audit, audit
from loopmeter_gateway.money.price_book import load_price_book
from loopmeter_gateway.money.quotes import make_offer
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import chunks, jobs

from .conftest import BOTH_STORES, OFF_PEAK, ON_POSTGRESQL

pytestmark = pytest.mark.anyio
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
REQUEST = LoopRequest(prompt="x", tempo_bpm=120, bars=1)  # 2 s, 800 tokens off peak
HOUR_MS = 3_600_000


class Shop:
    """Customers with one job each, and chunks for them."""

    def __init__(self, database: Database, db: str) -> None:
        self.database = database
        self.offer = make_offer(FakeEngine(), load_price_book("standard"), "standard", REQUEST, OFF_PEAK)
        self.db = db

    async def order(self, customer_id: str, key: str, gateway_id: str | None = None) -> JobRecord:
        order = Order(customer_id, key, b"", REQUEST, None, runs_by_itself=True, gateway_id=gateway_id)
        return (await self.database.write(lambda c: order_job(c, order, self.offer, 0, HOUR_MS)))[0]

    async def orders(self, count: int, customers: int = 1) -> list[JobRecord]:
        names = [f"customer-{number}" for number in range(customers)]
        make = partial(create_customer, plan="standard", now_ms=0)
        ids = [await self.database.write(partial(make, name=name)) for name in names]
        for customer_id in ids:
            await self.database.write(partial(movements.grant, account_id=customer_id, tokens=800 * count, now_ms=0))
        return [await self.order(ids[number % customers], f"key-{number}") for number in range(count)]

    async def state(self, job: JobRecord) -> tuple[str, int, int]:
        wanted = select(jobs.c.state, jobs.c.chunks_delivered, jobs.c.tokens_charged).where(jobs.c.id == job.id)
        state, chunks, tokens = await self.database.read(lambda c: c.execute(wanted).one())
        return state, chunks, tokens


def delivery(job: JobRecord, index: int = 0, gateway_id: str | None = None) -> Delivery:
    frames = job.offer.chunk_frames[index]
    chunk = Chunk(index=index, pcm=b"", frames=frames, usage=Usage(frames, 1, 1, 0.1, 1), state_after=b"state")
    return Delivery(job, chunk, gateway_id, 0, HOUR_MS)


@pytest.fixture
async def shop(store: str) -> AsyncIterator[Shop]:
    await asyncio.to_thread(once, store, ledger.open_house_accounts)
    database = Database(store)
    await database.start()
    yield Shop(database, store)
    await database.stop()


@BOTH_STORES
async def test_a_group_charges_what_each_would_cost_alone(shop: Shop) -> None:
    first, second = await shop.orders(2)
    alone = [
        await shop.database.write(partial(deliver_chunk, delivery=delivery(first, index)))
        for index in range(first.chunk_count)
    ]
    deliveries = Deliveries(shop.database)
    grouped = [await deliveries.deliver(delivery(second, index)) for index in range(first.chunk_count)]

    assert [found.received for found in alone] == [found.received for found in grouped]
    assert await shop.state(first) == await shop.state(second) == ("completed", first.chunk_count, 800)
    assert await shop.database.read(audit) == CLEAN


@BOTH_STORES
async def test_what_is_refused_in_a_group_leaves_the_others_alone(shop: Shop) -> None:
    cancelled, moved, closed, good = await shop.orders(4)
    await shop.database.write(lambda c: end_job(c, cancelled.id, "cancelled", 0))
    await shop.database.write(lambda c: claim(c, moved.id, "another"))
    await shop.database.write(lambda c: ledger.close_hold(c, closed.hold_id, "voided"))
    deliveries = Deliveries(shop.database)

    asked = [delivery(cancelled), delivery(moved, gateway_id="me"), delivery(closed), delivery(good)]
    found = await asyncio.gather(*(deliveries.deliver(each) for each in asked), return_exceptions=True)

    assert [getattr(each, "code", type(each)) for each in found[:3]] == ["job_ended", JobMoved, "hold_expired"]
    assert [await shop.state(job) for job in (cancelled, moved, closed)] == [
        ("cancelled", 0, 0), ("queued", 0, 0), ("queued", 0, 0)
    ]  # fmt: skip
    assert await shop.state(good) == ("running", 1, 800 * good.offer.chunk_frames[0] // good.offer.frames)


@BOTH_STORES
async def test_what_raises_in_a_group_is_undone_alone(shop: Shop) -> None:
    wrong, good = await shop.orders(2)
    deliveries = Deliveries(shop.database)

    found = await asyncio.gather(
        *(deliveries.deliver(each) for each in (delivery(wrong, 1), delivery(good))), return_exceptions=True
    )

    assert isinstance(found[0], AssertionError)
    assert (await shop.state(wrong))[:2] == ("queued", 0)
    assert (await shop.state(good))[:2] == ("running", 1)


@BOTH_STORES
async def test_a_chunk_that_is_asked_for_twice_at_once_is_charged_once(shop: Shop) -> None:
    twice, other = await shop.orders(2)
    deliveries = Deliveries(shop.database)
    asked = (delivery(twice), delivery(twice), delivery(other))

    found = await asyncio.gather(*(deliveries.deliver(each) for each in asked), return_exceptions=True)

    assert sum(isinstance(each, BaseException) for each in found) == 1
    assert (await shop.state(twice))[1] == (await shop.state(other))[1] == 1
    assert (await shop.database.read(audit)).faults == ()


@pytest.mark.parametrize(
    ("store", "statements"),
    [("sqlite", 6), ("postgresql", 2)],  # lock, holds, transfers, chunks, states, jobs; all but the first as one
    indirect=["store"],
)
async def test_as_many_statements_however_many_charges(shop: Shop, statements: int) -> None:
    made = await shop.orders(40, customers=3)
    executed: list[str] = []

    def count(connection: Connection) -> list[object]:
        event.listen(connection, "before_cursor_execute", lambda *given: executed.append(given[2]))
        return list(deliver_chunks(connection, [delivery(job) for job in made]))

    assert len(await shop.database.write(count)) == 40
    assert len(executed) == statements


@ON_POSTGRESQL
async def test_charging_at_once_is_one_statement_that_commits_itself(shop: Shop) -> None:
    made = await shop.orders(40, customers=3)
    executed: list[str] = []

    def count(connection: Connection) -> list[object]:
        event.listen(connection, "before_cursor_execute", lambda *given: executed.append(given[2]))
        return list(charge_at_once(connection, [delivery(job) for job in made]))

    found = await shop.database.write_statement(count)

    assert len(executed) == 1
    assert len([each for each in found if each is not None]) == 40
    assert {await shop.state(job) for job in made} == {("running", 1, 800 * made[0].offer.chunk_frames[0] // 88200)}
    assert await shop.database.read(audit) == replace(CLEAN, open_holds=40)


@ON_POSTGRESQL
async def test_charging_at_once_leaves_out_what_is_not_as_expected(shop: Shop) -> None:
    cancelled, moved, further, unlike, good = await shop.orders(5)
    await shop.database.write(lambda c: end_job(c, cancelled.id, "cancelled", 0))
    await shop.database.write(lambda c: claim(c, moved.id, "another"))
    await shop.database.write(partial(deliver_chunk, delivery=delivery(further)))
    wrong = replace(unlike, tokens_charged=1)
    asked = [delivery(cancelled), delivery(moved, gateway_id="me"), delivery(further), delivery(wrong), delivery(good)]

    found = await shop.database.write_statement(partial(charge_at_once, deliveries=asked))

    assert [each is None for each in found] == [True, True, True, True, False]
    states = [await shop.state(job) for job in (cancelled, moved, further, unlike, good)]
    assert [state[:2] for state in states] == [
        ("cancelled", 0), ("queued", 0), ("running", 1), ("queued", 0), ("running", 1)
    ]  # fmt: skip
    assert (await shop.database.read(audit)).faults == ()


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "breakage",
    ["UPDATE holds SET state = 'voided' WHERE id = '{hold}'", "UPDATE holds SET amount = 1 WHERE id = '{hold}'"],
    ids=["its hold is closed", "more than was held"],
)
async def test_charging_at_once_does_all_or_nothing(shop: Shop, breakage: str) -> None:
    bad, good = await shop.orders(2)
    await shop.database.write(lambda c: c.exec_driver_sql(breakage.format(hold=bad.hold_id)) and None)

    with pytest.raises(DBAPIError):
        await shop.database.write_statement(partial(charge_at_once, deliveries=[delivery(good), delivery(bad)]))

    assert [await shop.state(job) for job in (bad, good)] == [("queued", 0, 0)] * 2
    assert await shop.database.read(lambda c: c.execute(select(func.count()).select_from(chunks)).scalar()) == 0


@ON_POSTGRESQL
async def test_whoever_knows_an_old_record_is_charged_all_the_same(shop: Shop) -> None:
    (job,) = await shop.orders(1)
    deliveries = Deliveries(shop.database)

    found = [await deliveries.deliver(delivery(job, index)) for index in range(job.chunk_count)]

    assert [each.record.chunks_delivered for each in found] == [1, 2, 3, 4]
    assert await shop.state(job) == ("completed", 4, 800)


@ON_POSTGRESQL
@pytest.mark.parametrize("work", [deliver_chunks, charge_at_once], ids=["together", "at once"])
async def test_a_charge_changes_no_index_of_jobs_and_holds(
    shop: Shop, work: Callable[[Connection, list[Delivery]], list[object]]
) -> None:
    """Or it costs the server twice as much: a changed row stays in its page, and all indexes go on pointing there."""
    made = await shop.orders(30)
    first = await shop.database.write(partial(deliver_chunks, deliveries=[delivery(job) for job in made]))
    records = [found.record for found in first if isinstance(found, Delivered)]

    def counts(connection: Connection) -> list[tuple[int, int]]:
        wanted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname IN ('jobs', 'holds')"
        return [(changed, in_place) for changed, in_place in connection.exec_driver_sql(wanted + " ORDER BY relname")]

    def charge(connection: Connection) -> list[tuple[int, int]]:
        before = counts(connection)
        work(connection, [delivery(record, 1) for record in records])
        return [
            (new - old, in_place - was) for (old, was), (new, in_place) in zip(before, counts(connection), strict=True)
        ]

    assert await shop.database.write(charge) == [(30, 30), (30, 30)]


@ON_POSTGRESQL
async def test_a_job_that_somebody_has_in_hand_does_not_keep_the_others_waiting(shop: Shop) -> None:
    held, good = await shop.orders(2)
    locked, go_on = threading.Event(), threading.Event()

    def keep(connection: Connection) -> None:
        connection.execute(update(jobs).where(jobs.c.id == held.id).values(gateway_id="x"))
        locked.set()
        assert go_on.wait(30)

    deliveries = Deliveries(shop.database)
    with ThreadPoolExecutor(1) as thread:
        keeping = thread.submit(once, shop.db, keep)
        assert await asyncio.to_thread(locked.wait, 30)
        first, second = (asyncio.ensure_future(deliveries.deliver(delivery(job))) for job in (held, good))
        await second
        assert not first.done()
        go_on.set()
        await first
        keeping.result()

    assert (await shop.state(held))[1] == 1


@ON_POSTGRESQL
async def test_groups_of_several_gateways_never_wait_in_a_circle(shop: Shop) -> None:
    """Two gateways complete jobs of the same customers in groups, while others cancel and expire them in any order."""
    made = await shop.orders(60, customers=4)
    dice = random.Random(3)
    seen: list[str] = []
    others = [Database(shop.db) for _ in range(2)]
    for database in others:
        await database.start()

    async def stream(job: JobRecord, deliveries: Deliveries) -> None:
        try:
            for index in range(job.chunk_count):
                await deliveries.deliver(delivery(job, index))
        except Refused as refused:
            seen.append(refused.code)

    async def disturb(number: int) -> None:
        database = others[number % 2]
        if number % 5 == 0:
            await database.write(lambda c: expire_jobs(c, HOUR_MS + 1) and None)
        else:
            job = dice.choice(made)
            await database.write(lambda c: end_job(c, job.id, "cancelled", 0) and None)

    both = [Deliveries(database) for database in others]
    streams = [stream(job, dice.choice(both)) for job in dice.sample(made, len(made))]
    await asyncio.gather(*streams, *(disturb(number) for number in range(20)))
    deadlocks = await shop.database.read(
        lambda c: c.exec_driver_sql(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).scalar()
    )
    for database in others:
        await database.stop()

    assert deadlocks == 0
    assert set(seen) <= {"job_ended"}
    assert await shop.database.read(audit) == CLEAN
