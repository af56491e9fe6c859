"""The database, read and written from the event loop. A unit of work is a plain function of a SQLAlchemy connection.

What holds on either store: work that raises is undone alone, a result is handed out only after its commit is durable,
and work that was begun runs to its end even if its caller has left. Work may be run again after a conflict, so what
it does outside of its connection must not matter. ``stores/`` has the two stores, ``migrations/`` makes the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Table, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from loopmeter_gateway.stores.postgres import PostgresStore
from loopmeter_gateway.stores.sqlite import SqliteStore, create_tables, open_writer

__all__ = ["Database", "Work", "create_tables", "insert_if_new", "look", "once", "open_writer"]

_Result = TypeVar("_Result")
Work = Callable[[Connection], _Result]


_loops_with_databases: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


class Store(Protocol):
    """What differs between SQLite and PostgreSQL."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def read(self, work: Work[_Result]) -> _Result: ...
    async def write(self, work: Work[_Result], size: int = 1) -> _Result: ...
    async def write_statement(self, work: Work[_Result]) -> _Result: ...


class Database:
    """Reads and writes from the event loop. Open it with ``start``, close it with ``stop``.

    Raises:
        ValueError: ``url`` is neither a file of SQLite nor a database of PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self._store: Store = PostgresStore(parsed) if parsed.get_backend_name() == "postgresql" else SqliteStore(url)
        self._shown = parsed.render_as_string(hide_password=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        # A file of SQLite has one gateway at a time; whoever starts on it is alone.
        self.shared = parsed.get_backend_name() == "postgresql"

    async def start(self) -> None:
        """Create or change the tables and begin to accept work.

        Raises:
            ValueError: the database cannot be opened, and why; or as ``bring_up_to_date``.
        """
        self._loop = asyncio.get_running_loop()
        if self.shared:  # SQLite's transactions run in a thread of their own, from begin to end.
            _loops_with_databases[self._loop] = _loops_with_databases.get(self._loop, 0) + 1
        try:
            await self._store.start()
        except (SQLAlchemyError, OSError) as error:
            raise ValueError(f"expected a database at {self._shown}, found none: {_reason(error)}") from error

    async def stop(self) -> None:
        """Commit what is queued, then close."""
        await self._store.stop()
        if self._loop is not None and self.shared:
            _loops_with_databases[self._loop] -= 1
        self._loop = None

    async def read(self, work: Work[_Result]) -> _Result:
        """The result of ``work`` on one consistent view of the database. It must not write."""
        return await self._store.read(work)

    async def write(self, work: Work[_Result], size: int = 1) -> _Result:
        """The result of ``work`` once it is durable; what it raises, once it is undone.

        Work that was queued runs even if the caller is cancelled. ``size`` is how many such works as an order it is
        like: SQLite commits what waits together, but not much at a time.
        """
        return await self._store.write(work, size)

    async def write_statement(self, work: Work[_Result]) -> _Result:
        """``write`` for work that is one statement. PostgreSQL commits that by itself, in the same message; it is not
        run again. After an error of the connection it may be durable or not."""
        return await self._store.write_statement(work)

    def read_here(self, work: Work[_Result]) -> _Result:
        """``read`` for those who are in a thread of their own. Not for the thread of the event loop: it would wait
        for itself."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self.read(work), self._loop).result()


def once(url: str, work: Work[_Result]) -> _Result:
    """One durable piece of work on a database that nobody here has open; blocks. Safe while gateways run.

    Raises:
        ValueError: as ``Database`` and ``start``.
    """

    return _apart(url, lambda database: database.write(work))


def look(url: str, work: Work[_Result]) -> _Result:
    """As ``once``, for work that only reads: it sees one moment of the database, whatever gateways write meanwhile."""
    return _apart(url, lambda database: database.read(work))


def _apart(url: str, use: Callable[[Database], Coroutine[Any, Any, _Result]]) -> _Result:
    """Use a database in a thread of its own, because the caller's may run an event loop already.

    Not one that has PostgreSQL open: its transactions could not go on, and this one may have to wait for them.
    """
    with contextlib.suppress(RuntimeError):  # There is none, which is best.
        here = asyncio.get_running_loop()
        assert not _loops_with_databases.get(here), "PostgreSQL is open in this thread's loop: use asyncio.to_thread"

    async def run() -> _Result:
        database = Database(url)
        try:
            await database.start()
            return await use(database)
        finally:
            await database.stop()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def insert_if_new(connection: Connection, table: Table, values: dict[str, object]) -> bool:
    """Insert a row unless one with the same key is there; whether it was new."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(values).on_conflict_do_nothing()).rowcount == 1


def _reason(error: Exception) -> str:
    """What the driver says, without the names of its classes."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return str((said.__cause__ if said is not None else None) or said or error)


def _parse(url: str) -> URL:
    expected = "expected a database such as sqlite:///loopmeter.db or postgresql+asyncpg://host/name"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError(f"{expected}, found {url!r}") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql") or not parsed.database:
        raise ValueError(f"{expected}, found {parsed.render_as_string(hide_password=True)!r}")
    return parsed
