"""The one writer: groups, undoes alone what fails alone, and hands out only what is durable."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from loopmeter_gateway.database import Database, create_tables, look, open_writer
from loopmeter_gateway.stores.sqlite import LOG_PAGES_MAX, SqliteStore
from loopmeter_gateway.tables import customers

from .conftest import BOTH_STORES, ON_POSTGRESQL, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/test.db")
    await found.start()
    yield found
    await found.stop()


def add(connection: Connection, name: str) -> None:
    connection.execute(insert(customers).values(id=name, name=name, plan="standard", created_at_ms=0))


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(customers.c.name).order_by(customers.c.name)).scalars())


async def test_work_that_fails_is_undone_alone(database: Database) -> None:
    def half(connection: Connection) -> None:
        add(connection, "half")
        raise RuntimeError("broke on the way")

    results = await asyncio.gather(
        database.write(lambda c: add(c, "one")),
        database.write(half),
        database.write(lambda c: add(c, "two")),
        return_exceptions=True,
    )

    assert isinstance(results[1], RuntimeError)
    assert await database.read(names) == ["one", "two"]


async def test_many_writers_share_commits_and_none_is_lost(database: Database) -> None:
    await asyncio.gather(*(database.write(lambda c, n=number: add(c, f"{n:03}")) for number in range(300)))  # type: ignore[misc]

    assert len(await database.read(names)) == 300


async def test_work_of_a_caller_that_left_still_runs(database: Database) -> None:
    task = asyncio.create_task(database.write(lambda c: add(c, "left")))
    await asyncio.sleep(0)
    task.cancel()

    await database.write(lambda c: add(c, "stayed"))

    assert await database.read(names) == ["left", "stayed"]


async def test_full_groups_take_turns_and_an_order_joins_one(database: Database) -> None:
    """The first is under way when the others come."""
    began, go_on, transactions = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def wait(connection: Connection) -> None:
        loop.call_soon_threadsafe(began.set)
        go_on.wait()

    def note(connection: Connection) -> None:
        transactions.append(connection.get_transaction())

    waiting = asyncio.create_task(database.write(wait))
    await began.wait()
    writing = [asyncio.create_task(database.write(note, size)) for size in (32, 32, 1)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(waiting, *writing)

    first, second, order = transactions
    assert first is not second
    assert second is order


async def test_what_is_queued_is_written_before_the_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    database = Database(url)
    await database.start()
    writing = [asyncio.create_task(database.write(lambda c, n=number: add(c, f"{n:03}"))) for number in range(100)]  # type: ignore[misc]
    await asyncio.sleep(0)
    await database.stop()

    assert all(task.done() for task in writing)
    assert await asyncio.to_thread(look, url, names) == [f"{number:03}" for number in range(100)]


@BOTH_STORES
async def test_a_statement_is_durable_when_it_returns(store: str) -> None:
    database = Database(store)
    await database.start()

    await database.write_statement(lambda c: add(c, "one"))
    with pytest.raises(IntegrityError):
        await database.write_statement(lambda c: add(c, "one"))

    assert await database.read(names) == ["one"]
    await database.stop()


@ON_POSTGRESQL
async def test_postgresql_commits_a_statement_without_being_told_to(store: str) -> None:
    database = Database(store)
    await database.start()

    def transactions(connection: Connection) -> int:
        return len({connection.execute(text("SELECT pg_current_xact_id()::text")).scalar_one() for _ in range(2)})

    assert await database.write(transactions) == 1
    assert await database.write_statement(transactions) == 2
    assert await database.write(transactions) == 1  # On the same connection, perhaps.
    await database.stop()


@ON_POSTGRESQL
async def test_a_reader_that_leaves_does_not_break_its_connection(store: str) -> None:
    """A gateway that stops cancels its sweeper in the middle of a read; the driver would close the connection later."""
    database, began, before = Database(store), asyncio.Event(), asyncio.all_tasks()
    seen: list[int] = []
    await database.start()
    holder = await asyncpg.connect(store)
    await holder.execute("SELECT pg_advisory_lock(7)")

    def wait_for_it(connection: Connection) -> None:
        began.set()
        seen.append(connection.execute(text("SELECT pg_advisory_xact_lock(7)")).rowcount)

    reading = asyncio.create_task(database.read(wait_for_it))
    await began.wait()
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await holder.close()
    await database.stop()

    assert seen == [1]
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("url", ["nonsense", "postgresql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_what_is_not_a_database_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///loopmeter\.db"):
        open_writer(url)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    engine = open_writer(f"sqlite:///{tmp_path}/old.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version=99")

    with pytest.raises(ValueError, match="found 99"):
        create_tables(engine)
    engine.dispose()


def test_commits_survive_a_power_cut(tmp_path: Path) -> None:
    engine = open_writer(f"sqlite:///{tmp_path}/pragmas.db")
    with engine.begin() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    engine.dispose()

    assert (journal, synchronous) == ("wal", 2)


async def test_the_log_is_carried_over_beside_the_commits(tmp_path: Path) -> None:
    """What the file alone says, without its log, is what a backup by copying would have."""
    store = SqliteStore(f"sqlite:///{tmp_path}/test.db", carry_every_s=0.0)
    await store.start()
    await store.write(lambda c: add(c, "one"))

    def in_the_file() -> bool:
        copy = shutil.copy(tmp_path / "test.db", tmp_path / "copy.db")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            try:
                return connection.execute("SELECT name FROM customers").fetchall() == [("one",)]
            except sqlite3.DatabaseError:  # Copied in the middle of a write.
                return False

    await until(in_the_file)
    await store.stop()


async def test_the_log_stays_bounded_under_endless_writing(tmp_path: Path) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path}/test.db", carry_every_s=3600.0)
    await store.start()
    await store.write(lambda c: add(c, "one"))
    log_bytes_max, name = 0, "x" * 4_000_000
    for _ in range(25):
        await store.write(lambda c: c.execute(customers.update().values(name=name)))
        log_bytes_max = max(log_bytes_max, (tmp_path / "test.db-wal").stat().st_size)
    await store.stop()
    assert 25 * len(name) > LOG_PAGES_MAX * 4096 + len(name)
    assert log_bytes_max < (LOG_PAGES_MAX + 1100) * 4200
