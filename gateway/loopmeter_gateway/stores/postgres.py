"""PostgreSQL: several writers at once, which rows' locks keep apart, and several gateways on one database.

Each piece of work is a transaction of its own on one of a few connections; the server groups their commits. Work
that met another one on its way (a deadlock, or both inserting the same key) is run again, as it would have been had
it come second. Work stays a plain function of a connection: the driver is asynchronous beneath it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from loopmeter_gateway.migrations import bring_up_to_date
from loopmeter_gateway.problems import Refused

_Result = TypeVar("_Result")
Work = Callable[[Connection], _Result]

WRITERS = 8
READERS = 4
TRIES = 6
IDLE_LIMIT_MS = 10_000  # Of a transaction whose gateway stands still: then the server undoes it and frees its locks.
_UNIQUE_VIOLATION, _DEADLOCK, _SERIALIZATION = "23505", "40P01", "40001"
_NOT_IN_REPERTOIRE = "22021"
_NO_CONNECTION = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)  # Errors of statements are DBAPIError.


class DatabaseAway(Exception):
    """The server cannot be reached. What was to be written may be durable, if it went away in that very moment."""


class PostgresStore:
    """A pool for work that writes and one for work that reads, so that neither waits for the other."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+asyncpg")
        # Writers find rows by their keys. While a table is small, or was when a plan was made, the server thinks that
        # reading all of it is less work; for 32 rows at a time it is not. Servers before 18 take what cannot be found
        # by a key for so much work then that they would compile it first.
        self._writer = _engine(self._url, WRITERS, enable_seqscan="off", jit="off")
        self._committing = self._writer.execution_options(isolation_level="AUTOCOMMIT")  # The same connections.
        # A reader sees one moment of the database, in all its statements.
        self._reader = _engine(self._url, READERS).execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._write_room = asyncio.Semaphore(WRITERS)
        self._read_room = asyncio.Semaphore(READERS)
        self._working: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        async with self._writer.begin() as connection:
            await connection.run_sync(bring_up_to_date)

    async def stop(self) -> None:
        if self._working:
            await asyncio.wait(self._working)
        await self._writer.dispose()
        await self._reader.dispose()

    async def read(self, work: Work[_Result]) -> _Result:
        return await self._to_the_end(self._read(work))

    async def write(self, work: Work[_Result], size: int = 1) -> _Result:
        return await self._to_the_end(self._write(work))

    async def write_statement(self, work: Work[_Result]) -> _Result:
        return await self._to_the_end(self._write_statement(work))

    async def _to_the_end(self, working: Coroutine[Any, Any, _Result]) -> _Result:
        """Work in a task of its own: a caller that leaves must not break it off half way.

        A write would be lost. Even a read would cost its connection, which the driver cannot use any more then, and
        leave it to be closed after the event loop, perhaps.
        """
        task = asyncio.get_running_loop().create_task(working)
        self._working.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # Seen, also when its caller has left.

    async def _read(self, work: Work[_Result]) -> _Result:
        for tries_left in (1, 0):
            try:
                async with self._read_room, self._reader.connect() as connection, connection.begin():
                    return await connection.run_sync(work)
            except DBAPIError as error:
                if not (tries_left and error.connection_invalidated):  # The server was restarted, perhaps.
                    raise _refused(error) from error
            except _NO_CONNECTION as error:
                raise DatabaseAway(str(error)) from error
        raise AssertionError("the last try returns or raises")

    async def _write(self, work: Work[_Result]) -> _Result:
        for tries in range(1, TRIES + 1):
            finished = False
            try:
                async with self._write_room, self._writer.begin() as connection:
                    result = await connection.run_sync(work)
                    finished = True
                return result
            except DBAPIError as error:
                # A connection that broke before the commit took nothing with it; after that, nobody knows.
                broken = error.connection_invalidated and not finished
                if tries == TRIES or not (broken or _may_pass(error, tries)):
                    raise _refused(error) from error
            except _NO_CONNECTION as error:
                raise DatabaseAway(str(error)) from error
            await asyncio.sleep(random.uniform(0, 0.02))
        raise AssertionError("the last try returns or raises")

    async def _write_statement(self, work: Work[_Result]) -> _Result:
        try:
            async with self._write_room, self._committing.connect() as connection:
                return await connection.run_sync(work)
        except DBAPIError as error:
            raise _refused(error) from error
        except _NO_CONNECTION as error:
            raise DatabaseAway(str(error)) from error


def _engine(url: URL, size: int, **settings: str) -> AsyncEngine:
    settings["idle_in_transaction_session_timeout"] = str(IDLE_LIMIT_MS)
    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_use_lifo=True,  # The connection that worked last has its statements and plans at hand.
        connect_args={"server_settings": settings},
    )


def _refused(error: DBAPIError) -> Exception:
    """What to raise for an error of the driver: text that PostgreSQL cannot hold, and SQLite can, is bad input."""
    if error.connection_invalidated:
        return DatabaseAway(str(error.orig))
    if getattr(error.orig, "sqlstate", None) == _NOT_IN_REPERTOIRE:
        return Refused("invalid_request", "expected text without the character NUL, found one with it")
    return error


def _may_pass(error: DBAPIError, tries: int) -> bool:
    """Whether the same work may well succeed now: it lost against another, which has ended since.

    A key that is taken is looked up by work that is run again; if it is still in the way then, that is the answer.
    """
    state = getattr(error.orig, "sqlstate", None)
    return state in (_DEADLOCK, _SERIALIZATION) or (state == _UNIQUE_VIOLATION and tries < 3)
