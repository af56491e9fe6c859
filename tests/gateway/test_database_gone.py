"""What a gateway needs goes away while it runs and comes back: streams go on, and every chunk is charged once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from loopmeter import ENDED_STATES

from .conftest import BOTH_STORES, ON_POSTGRESQL, House, until
from .test_server import CLEAN, survive

CUT_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"


def cut_connections(db: str) -> None:
    """End all connections to the database, in the middle of whatever they do."""
    with psycopg.connect(db.replace("+asyncpg", ""), autocommit=True) as connection:
        connection.execute(CUT_ALL, (connection.info.backend_pid,))


@ON_POSTGRESQL
def test_streams_survive_that_all_connections_break(house: House) -> None:
    pauses = random.Random(1).sample(range(5, 25), 6)
    survive(house, 8, pauses, lambda server: cut_connections(server.house.settings.db), slow_s=0.002)


@dataclass
class Wire:
    """What lies between a gateway and its database. Told to ``break_after`` some words, it carries the message that
    has them, waits for the answer, keeps that to itself, and breaks: the gateway cannot know what became of it.
    """

    db: str
    break_after: bytes = b""
    broken: int = 0
    cut: bool = False  # While it is, nothing gets through.

    async def lay(self) -> tuple[asyncio.Server, str]:
        """The wire, and the address of the database behind it."""
        lines = await asyncio.start_server(self.carry, "127.0.0.1", 0)
        port = lines.sockets[0].getsockname()[1]
        return lines, f"postgresql+asyncpg://postgres@127.0.0.1:{port}{urlsplit(self.db).path}"

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.close()
            return
        socket = f"{parse_qs(urlsplit(self.db).query)['host'][0]}/.s.PGSQL.5432"
        answers, asks = await asyncio.open_unix_connection(socket)
        there = asyncio.create_task(self._there(reader, asks))
        try:
            while data := await answers.read(65536):
                if there.done():
                    self.broken += 1
                    break
                writer.write(data)
        finally:
            there.cancel()
            asks.close()
            writer.close()

    async def _there(self, reader: asyncio.StreamReader, asks: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.cut:
                return asks.close()
            asks.write(data)
            if self.break_after and self.break_after in data:
                self.break_after = b""
                return


@pytest.mark.anyio
@ON_POSTGRESQL
@pytest.mark.parametrize("words", [b'{"gw_', b"COMMIT"], ids=["a charge", "a commit"])
async def test_a_charge_whose_answer_is_lost_is_not_charged_again(house: House, words: bytes) -> None:
    """And the job goes on from where the database says that it is, by itself."""
    house.grant(800)
    wire = Wire(house.settings.db)
    lines, db = await wire.lay()
    async with lines, house.open(db=db, sweep_every_s=0.05) as client:
        wire.break_after = words
        job_id = (await client.order()).json()["id"]
        await until(lambda: wire.broken == 1)
        for _ in range(1000):
            job = await client.job(job_id)
            if job["state"] in ENDED_STATES:
                break
            await asyncio.sleep(0.02)

    assert (job["state"], job["tokens_charged"]) == ("completed", 800)
    assert house.audit() == CLEAN


@pytest.mark.anyio
@ON_POSTGRESQL
async def test_while_the_database_is_away_every_answer_is_not_ready(house: House) -> None:
    house.grant(800)
    wire = Wire(house.settings.db)
    lines, db = await wire.lay()
    async with house.open(db=db) as client:
        wire.cut = True
        away = [await client.http.get(path) for path in ("/readyz", "/v1/balance")] + [await client.order()]
        alive = await client.http.get("/healthz")
        wire.cut = False
        back = [await client.http.get(path) for path in ("/readyz", "/v1/balance")]
        lines.close()

    assert [(each.status_code, each.json()["code"]) for each in away] == [(503, "not_ready")] * 3
    assert all("Retry-After" in each.headers for each in away)
    assert [each.status_code for each in (alive, *back)] == [200] * 3


@pytest.mark.anyio
@BOTH_STORES
async def test_a_job_that_runs_by_itself_outlasts_a_chunk_store_that_is_gone(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.grant(800)
    place = house.settings.data / "chunks"
    async with house.open(sweep_every_s=0.05) as client:
        place.write_text("no folder")
        job_id = (await client.order()).json()["id"]
        await until(lambda: "stands still" in caplog.text)
        assert (await client.job(job_id))["tokens_charged"] == 0
        place.unlink()
        job = await client.ended(job_id)

    assert (job["state"], job["tokens_charged"]) == ("completed", 800)
    assert house.audit() == CLEAN
