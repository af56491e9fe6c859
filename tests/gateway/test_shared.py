"""Several gateways on one PostgreSQL: real processes, one balance, and every job made by one of them at a time."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection
from tests.e2e.gateway_process import GatewayProcess

from loopmeter import ENDED_STATES
from loopmeter_gateway import admin
from loopmeter_gateway.database import look, once
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.audit import Audit, audit
from loopmeter_gateway.stores import postgres as postgres_store

from .conftest import LOOP, ON_POSTGRESQL, Gate, House, Postgres, until

pytestmark = pytest.mark.anyio
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
PROCESSES = 4


class Farm:
    """Four gateway processes on one database."""

    def __init__(self, folder: Path, db: str) -> None:
        self.db = db
        self.processes = []
        for number in range(PROCESSES):
            (folder / str(number)).mkdir()
            process = GatewayProcess(folder / str(number), level=True)
            process.db = db
            process.start()
            self.processes.append(process)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


@pytest.fixture(scope="module")
def farm(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with ExitStack() as stack:
        db = stack.enter_context(postgres.new_database())
        found = Farm(tmp_path_factory.mktemp("farm"), db)
        stack.callback(found.stop)
        yield found


@pytest.fixture
def clients(farm: Farm, request: pytest.FixtureRequest) -> Clients:
    customer_id = str(admin.create_customer(farm.db, request.node.name)["customer_id"])
    admin.grant(farm.db, customer_id, 8000)
    return Clients(farm, customer_id, str(admin.create_key(farm.db, customer_id)["key"]))


class Clients:
    """One customer with money for ten jobs, who asks all processes in turn."""

    def __init__(self, farm: Farm, customer_id: str, key: str) -> None:
        self._farm = farm
        self.customer_id = customer_id
        self._key = key

    async def order(self, number: int, **headers: str) -> httpx.Response:
        return await self.ask("POST", "/v1/loops", number, LOOP | {"bars": 1, "seed": number}, **headers)

    async def ask(self, method: str, path: str, number: int, body: Any = None, **headers: str) -> httpx.Response:
        url = self._farm.processes[number % PROCESSES].url
        asked = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"} | headers
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
            return await http.request(method, path, json=body, headers=asked)

    async def ended(self, job_id: str) -> dict[str, Any]:
        while True:
            job: dict[str, Any] = (await self.ask("GET", f"/v1/loops/{job_id}", 0)).json()
            if job["state"] in ENDED_STATES:
                return job
            await asyncio.sleep(0.05)


async def test_four_processes_admit_exactly_ten_of_a_hundred(farm: Farm, clients: Clients) -> None:
    answers = await asyncio.gather(*(clients.order(number) for number in range(100)))
    jobs = [await clients.ended(answer.json()["id"]) for answer in answers if answer.status_code == 200]

    assert Counter(answer.status_code for answer in answers) == {200: 10, 402: 90}
    assert {(job["state"], job["tokens_charged"]) for job in jobs} == {("completed", 800)}
    assert admin.show_customer(farm.db, clients.customer_id)["available"] == 0
    assert look(farm.db, audit) == CLEAN


async def test_four_processes_never_overspend_while_jobs_are_cancelled_at_random(farm: Farm, clients: Clients) -> None:
    dice = random.Random(4)

    async def order_and_maybe_cancel(number: int) -> dict[str, Any] | None:
        answer = await clients.order(number)
        if answer.status_code == 402:
            return None
        job_id = answer.json()["id"]
        if dice.random() < 0.5:  # At whichever process: it need not be the one that makes the job.
            await clients.ask("DELETE", f"/v1/loops/{job_id}", dice.randrange(PROCESSES))
        return await clients.ended(job_id)

    found = await asyncio.gather(*(order_and_maybe_cancel(number) for number in range(100)))
    jobs = [job for job in found if job is not None]
    balance = admin.show_customer(farm.db, clients.customer_id)

    assert len(jobs) >= 10
    assert balance["held"] == 0
    assert balance["available"] == 8000 - sum(job["tokens_charged"] for job in jobs)
    assert all(job["tokens_charged"] == 800 for job in jobs if job["state"] == "completed")
    assert look(farm.db, audit) == CLEAN


async def test_one_key_at_four_processes_makes_one_job(farm: Farm, clients: Clients) -> None:
    same = {"Idempotency-Key": "same"}
    body = LOOP | {"bars": 1}
    answers = await asyncio.gather(*(clients.ask("POST", "/v1/loops", number, body, **same) for number in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    await clients.ended(answers[0].json()["id"])
    assert admin.show_customer(farm.db, clients.customer_id)["available"] == 7200
    assert look(farm.db, audit) == CLEAN


@ON_POSTGRESQL
async def test_a_job_moves_to_the_gateway_that_is_asked_for_it(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as first, house.open() as second:
        job_id = (await first.order()).json()["id"]
        gate.allow(3)
        await until(lambda: first.gateway.live_jobs[job_id].record.chunks_delivered == 3)
        heard = (await second.http.get(f"/v1/loops/{job_id}/chunks")).content
        gate.allow(100)
        await until(lambda: job_id not in first.gateway.live_jobs)
        again = (await first.http.get(f"/v1/loops/{job_id}/chunks")).content
        job = await second.job(job_id)

    assert (job["state"], job["tokens_charged"]) == ("completed", 800)
    assert heard == again
    assert house.audit() == CLEAN


@ON_POSTGRESQL
async def test_the_jobs_of_a_gateway_that_died_are_taken_up(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as first, house.open() as second:
        job_id = (await first.order()).json()["id"]
        gate.allow(3)
        await until(lambda: first.gateway.live_jobs[job_id].record.chunks_delivered == 3)
        await second.gateway.sweep()
        still = job_id in second.gateway.live_jobs
        house.clock.advance(31)  # The first gateway says nothing more, as if it were dead.
        await second.gateway.sweep()
        job = await second.ended(job_id)
        gate.allow(100)

    assert not still
    assert (job["state"], job["tokens_charged"]) == ("completed", 800)
    assert house.audit() == CLEAN


@ON_POSTGRESQL
async def test_a_gateway_that_stands_still_gives_its_locks_back(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_store, "IDLE_LIMIT_MS", 300)
    customer_id = str(admin.create_customer(store, "ada")["customer_id"])
    locked, other_is_done = threading.Event(), threading.Event()

    def stand_still(connection: Connection) -> None:
        movements.grant(connection, customer_id, 2, 0)
        locked.set()
        assert other_is_done.wait(30)
        movements.grant(connection, customer_id, 3, 0)

    with ThreadPoolExecutor(1) as thread:
        still = thread.submit(once, store, stand_still)
        assert await asyncio.to_thread(locked.wait, 30)
        await asyncio.to_thread(admin.grant, store, customer_id, 7)
        other_is_done.set()
        still.result()  # Its work ran again, on another connection.

    assert look(store, lambda connection: ledger.balance(connection, customer_id)).posted == 12
