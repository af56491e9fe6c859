"""A gateway in this process, with an engine whose chunks are let through one by one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from loopmeter_gateway.database import open_writer
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.money.ledger import Audit, audit
from loopmeter_gateway.settings import Settings

OFF_PEAK = datetime(2026, 1, 5, 12, tzinfo=UTC)
LOOP = {"prompt": "dusty drums", "tempo_bpm": 120, "bars": 4}  # 8 s, 12 chunks, 800 tokens off peak
PATIENCE_S = 20.0


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
        engine = open_writer(self.settings.db)
        with engine.begin() as connection:
            found = audit(connection)
        engine.dispose()
        return found

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
def house(tmp_path: Path) -> House:
    db = f"sqlite:///{tmp_path}/loopmeter.db"
    customer_id = str(admin.create_customer(db, "ada")["customer_id"])
    key = str(admin.create_key(db, customer_id)["key"])
    return House(Settings(db=db, data=tmp_path / "data"), key, ManualClock(OFF_PEAK), customer_id)


class Gate:
    """Lets a FakeEngine make one chunk per permit, so that tests decide how far it is."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self.engine = FakeEngine(chunk_delay_s=1.0, sleep=self._wait)
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
