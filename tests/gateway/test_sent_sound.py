"""Sound that is sent along is there as long as the job may need it, in no row that is written often, and no longer."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from loopmeter import ChunkReceived, LoopRequest
from loopmeter_engine.contract import Chunk, EngineFailed, Plan, ScoreSheet
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs.records import Order
from loopmeter_gateway.tables import jobs, quotes, sent_sounds

from .conftest import BOTH_STORES, LOOP, PATIENCE_S, Client, House

pytestmark = [pytest.mark.anyio, BOTH_STORES]
_KEYS = itertools.count()
ROOT = Path(__file__).parents[2]
SOUND = "c291bmQg" * 20_000

REQUEST = LoopRequest.model_validate(LOOP | {"reference_audio_base64": SOUND})


class Listener(FakeEngine):
    """What it plays, and its score, depend on the sound that came along."""

    def plan(self, request: LoopRequest) -> Plan:
        plan = super().plan(_heard(request))
        sound = {"prompt": request.prompt, "reference_audio_base64": request.reference_audio_base64}
        return replace(plan, request=plan.request.model_copy(update=sound))

    def score(self, request: LoopRequest) -> ScoreSheet:
        return ScoreSheet(midi=_heard(request).prompt.encode(), summary={"heard": _heard(request).prompt})

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        return super().lease(_heard(request), start_chunk, count, state)


def _heard(request: LoopRequest) -> LoopRequest:
    sound = hashlib.sha256((request.reference_audio_base64 or "").encode()).hexdigest()
    return request.model_copy(update={"prompt": sound, "reference_audio_base64": None})


def expected() -> bytes:
    """The whole sound of the loop, by the engine alone."""
    engine = Listener()
    plan = engine.plan(REQUEST)
    made, state = b"", None
    for index in range(len(plan.chunk_frames)):
        (chunk,) = engine.lease(plan.request, index, 1, state)
        made, state = made + chunk.pcm, chunk.state_after
    return made


async def order(client: Client, quote_id: str | None = None) -> str:
    """Order the loop; nobody reads it yet."""
    caller = Caller(key_id="", scope="customer", customer_id=client.customer_id, plan="standard")
    asked = Order(client.customer_id, f"key-{next(_KEYS)}", b"", REQUEST, quote_id, runs_by_itself=False)
    return (await client.gateway.order(caller, asked)).id


async def kept(database: Database) -> tuple[int, int]:
    """How many sounds are kept, and how long the longest row is that an offer stands in."""
    sounds = await database.read(lambda c: len(c.execute(select(sent_sounds)).all()))
    offers = await database.read(
        lambda c: [offer for table in (jobs, quotes) for offer in c.execute(select(table.c.offer_json)).scalars()]
    )
    return sounds, max(map(len, offers))


async def read(client: Client, job_id: str, start: int, stop: int) -> bytes:
    live = await client.gateway.live(job_id, client.customer_id)
    client.gateway.attach(live)
    found = b""
    for index in range(start, stop):
        event = await client.gateway.next_event(live, index)
        assert isinstance(event, ChunkReceived), event
        found += event.pcm
    client.gateway.detach(live)
    return found


@pytest.mark.parametrize("quoted", [False, True], ids=["priced now", "by quote"])
async def test_a_job_goes_on_with_the_sound_that_was_sent_after_a_restart(house: House, quoted: bool) -> None:
    house.grant(5000)
    chunks = len(Listener().plan(REQUEST).chunk_frames)
    async with house.open(Listener()) as client:
        asked = REQUEST.model_dump(mode="json", exclude_unset=True)
        quote = (await client.http.post("/v1/quotes", json=asked)).json() if quoted else {}
        job_id = await order(client, quote.get("quote_id"))
        sound = await read(client, job_id, 0, 2)
        during = await kept(client.gateway.database)
    async with house.open(Listener()) as client:
        sound += await read(client, job_id, 2, chunks)
        ended = await client.ended(job_id)
        after = await kept(client.gateway.database)
        midi = (await client.http.get(f"/v1/loops/{job_id}/midi")).content

    assert sound == expected()
    assert during[0] == 1
    assert after[0] == 0
    assert max(during[1], after[1]) < 10_000 < len(SOUND)
    assert (ended["state"], ended["score"]["heard"]) == ("completed", midi.decode())
    assert midi.decode() == hashlib.sha256(SOUND.encode()).hexdigest()


async def test_the_sound_is_forgotten_when_a_job_is_cancelled_or_expires(house: House) -> None:
    house.grant(5000)
    async with house.open(Listener(), hold_ttl_s=20) as client:
        database = client.gateway.database
        job_id = await order(client)
        counts = [(await kept(database))[0]]
        await client.http.delete(f"/v1/loops/{job_id}")
        counts.append((await kept(database))[0])
        await order(client)
        counts.append((await kept(database))[0])
        house.clock.advance(21)
        await client.gateway.sweep()
        counts.append((await kept(database))[0])

    assert counts == [1, 0, 1, 0]
    assert house.audit().open_holds == 0


async def killed_before_the_score(house: House) -> str:
    """A job that has ended, in a database whose gateway died before it kept the score."""
    settings = house.settings
    command = ["-m", "tests.gateway.unscored_process", settings.db, str(settings.data), house.customer_id]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    return output.decode().strip()


async def test_a_score_that_a_killed_gateway_did_not_keep_is_made_again_of_the_sound(house: House) -> None:
    house.grant(5000)
    job_id = await killed_before_the_score(house)
    async with house.open(Listener()) as client:
        sounds = [(await kept(client.gateway.database))[0]]
        midi = (await client.http.get(f"/v1/loops/{job_id}/midi")).content
        sounds.append((await kept(client.gateway.database))[0])
        ended = await client.job(job_id)

    assert midi.decode() == ended["score"]["heard"] == hashlib.sha256(SOUND.encode()).hexdigest()
    assert (ended["state"], ended["tokens_charged"]) == ("completed", ended["tokens_quoted"])
    assert sounds[0] in (0, 1)  # Whether the gateway or this test was first to make it.
    assert sounds[1] == 0


async def forgotten(client: Client) -> None:
    """Wait until no sound is kept: the gateway does that by itself, soon after its start."""
    if (await kept(client.gateway.database))[0]:
        await asyncio.sleep(0.05)
        await forgotten(client)


class Silent(Listener):
    """An engine that can make no score."""

    def score(self, request: LoopRequest) -> ScoreSheet:
        raise EngineFailed("not today")


async def test_a_score_is_given_up_after_a_day_and_never_made_without_its_sound(house: House) -> None:
    house.grant(5000)
    async with house.open(Silent()) as client:
        job_id = await order(client)
        await read(client, job_id, 0, 1)
        await client.http.delete(f"/v1/loops/{job_id}")
        sounds = [(await kept(client.gateway.database))[0]]
    house.clock.advance(25 * 3600)
    async with house.open(Silent()) as client:
        async with asyncio.timeout(PATIENCE_S):
            await forgotten(client)
    async with house.open(Listener()) as client:
        midi = await client.http.get(f"/v1/loops/{job_id}/midi")
        job = await client.job(job_id)

    assert sounds == [1]
    assert (midi.status_code, midi.json()["code"]) == (404, "not_found")
    assert "without" in midi.json()["detail"]
    assert (job["state"], job["score"]) == ("cancelled", None)
