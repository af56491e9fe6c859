"""The one writer: groups, undoes alone what fails alone, and hands out only what is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from loopmeter_gateway.database import Database, create_tables, open_writer
from loopmeter_gateway.tables import customers

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
