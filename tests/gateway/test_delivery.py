"""Chunk by chunk: who is charged for what, how far the engine runs, and what happens when readers come and go."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from loopmeter import ChunkDecoder, ChunkReceived, KeepAlive, LoopRequest, StreamEnded, StreamStarted
from loopmeter._wav import WAV_HEADER_BYTES
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.jobs.live import LiveJob
from loopmeter_gateway.jobs.records import JobRecord, Order
from loopmeter_gateway.money.audit import Audit

from .conftest import LOOP, Client, Gate, House, until

pytestmark = pytest.mark.anyio
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
REQUEST = LoopRequest.model_validate(LOOP)
PLAN = FakeEngine().plan(REQUEST)
SOUND = b"".join(
    chunk.pcm for start in (0, 6) for chunk in FakeEngine().lease(PLAN.request, start, 6, None)
)  # what an undisturbed stream of LOOP gives
_KEYS = itertools.count()


def due(chunks: int, tokens: int = 800) -> int:
    """The price of the first chunks."""
    return tokens * sum(PLAN.chunk_frames[:chunks]) // PLAN.frames


async def stream(client: Client, *, by_itself: bool = False) -> LiveJob:
    """Order LOOP; nobody reads it yet."""
    caller = Caller(key_id="", scope="customer", customer_id=client.customer_id, plan="standard")
    order = Order(client.customer_id, f"key-{next(_KEYS)}", b"", REQUEST, None, by_itself)
    record = await client.gateway.order(caller, order)
    return await client.gateway.live(record.id, client.customer_id)


async def read(client: Client, live: LiveJob, first: int, count: int) -> bytes:
    """Read chunks as a client does that then leaves."""
    client.gateway.attach(live)
    try:
        events = [await client.gateway.next_event(live, index) for index in range(first, first + count)]
    finally:
        client.gateway.detach(live)
    chunks = [event for event in events if isinstance(event, ChunkReceived)]
    assert [chunk.index for chunk in chunks] == list(range(first, first + count))
    return b"".join(chunk.pcm for chunk in chunks)


async def stored(client: Client, live: LiveJob) -> JobRecord:
    return (await client.gateway.live(live.record.id, client.customer_id)).record


async def test_a_whole_stream_is_the_engines_sound_at_the_quoted_price(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        sound = await read(client, live, 0, 12)

    assert sound == SOUND
    assert (live.record.state, live.record.tokens_charged) == ("completed", 800)
    assert house.audit() == CLEAN


@pytest.mark.parametrize("chunks", [0, 1, 2, 5, 11])
async def test_a_client_that_leaves_is_charged_exactly_its_chunks(house: House, chunks: int) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        await read(client, live, 0, chunks)
        house.clock.advance(client.gateway.settings.grace_s)
        await client.gateway.sweep()
        job = await client.job(live.record.id)
        balance = await client.balance()

    assert (job["state"], job["chunks_delivered"], job["tokens_charged"]) == ("cancelled", chunks, due(chunks))
    assert balance == {"available": 800 - due(chunks), "held": 0, "posted": 800 - due(chunks)}
    assert house.audit() == CLEAN


async def test_a_parked_job_waits_for_the_whole_grace_time(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        await read(client, live, 0, 2)
        house.clock.advance(client.gateway.settings.grace_s - 1)
        await client.gateway.sweep()

        assert (await stored(client, live)).state == "running"
        assert await read(client, live, 2, 10) == SOUND[len(SOUND) - sum(PLAN.chunk_frames[2:]) * 2 :]


async def test_the_engine_stays_within_one_lease_of_its_reader(house: House, gate: Gate) -> None:
    house.grant(800)
    gate.allow(100)
    ahead = []
    async with house.open(gate.engine) as client:
        live = await stream(client)
        client.gateway.attach(live)
        for index in range(12):
            await client.gateway.next_event(live, index)
            await until(lambda: live.lease_count(4) == 0 and gate.asked == live.made_index)
            ahead.append(gate.asked - live.record.chunks_delivered)
        client.gateway.detach(live)

    assert 3 <= max(ahead) <= client.gateway.settings.lease_chunks == 4


async def test_the_engine_stops_after_the_chunk_in_hand_when_the_reader_leaves(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as client:
        live = await stream(client)
        gate.allow(1)
        await read(client, live, 0, 1)
        client.gateway.attach(live)
        await until(lambda: gate.asked == 2)  # The second chunk of the job, first of a lease of four, is in hand.
        client.gateway.detach(live)
        gate.allow(100)
        await until(lambda: len(live.ahead) == 1)
        assert gate.asked == 2
        assert live.record.tokens_charged == due(1)
        assert await read(client, live, 1, 11) == SOUND[PLAN.chunk_frames[0] * 2 :]


async def test_a_reader_that_leaves_before_its_lease_has_begun_can_come_back(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        client.gateway.attach(live)
        # Then the job is chosen, and its lease is begun by a task that has not run yet.
        while not client.gateway.queue.running:  # noqa: ASYNC110  # No event is set in that moment.
            await asyncio.sleep(0)
        client.gateway.detach(live)
        await until(lambda: not client.gateway.queue.running)

        assert await read(client, live, 0, 12) == SOUND


async def test_cancelling_charges_what_was_delivered_and_ends_the_streams(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as client:
        live = await stream(client)
        gate.allow(3)
        await read(client, live, 0, 3)
        client.gateway.attach(live)
        waiting = asyncio.create_task(client.gateway.next_event(live, 3))
        await until(lambda: gate.asked == 4)
        job = (await client.http.delete(f"/v1/loops/{live.record.id}")).json()
        ended = await waiting
        client.gateway.detach(live)
        gate.allow(100)

        assert (job["state"], job["chunks_delivered"], job["tokens_charged"]) == ("cancelled", 3, due(3))
        assert ended == StreamEnded(state="cancelled", tokens_charged=due(3))
        assert (await client.http.delete(f"/v1/loops/{live.record.id}")).json()["state"] == "cancelled"
    assert gate.asked == 4
    assert house.audit() == CLEAN


async def test_two_readers_of_one_job_get_the_same_and_pay_once(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        sounds = await asyncio.gather(read(client, live, 0, 12), read(client, live, 0, 12))

    assert list(sounds) == [SOUND, SOUND]
    assert live.record.tokens_charged == 800
    assert house.audit() == CLEAN


async def test_a_job_for_itself_runs_to_its_end_without_readers(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        job = await client.ended((await client.order()).json()["id"])
        chunks = await client.http.get(f"/v1/loops/{job['id']}/chunks?from=10")

    assert (job["state"], job["tokens_charged"]) == ("completed", 800)
    decoder = ChunkDecoder()
    decoder.receive(chunks.content)
    decoder.receive_end()
    started, first, last, ended = decoder.events()
    assert isinstance(started, StreamStarted) and started.first_index == 10
    assert isinstance(first, ChunkReceived) and isinstance(last, ChunkReceived)
    assert first.pcm + last.pcm == SOUND[-sum(PLAN.chunk_frames[10:]) * 2 :]
    assert last.meter.tokens_total == 800
    assert ended == StreamEnded(state="completed", tokens_charged=800)


async def test_a_stopped_gateway_leaves_jobs_that_the_next_one_finishes(house: House, gate: Gate) -> None:
    house.grant(2400)
    async with house.open(gate.engine) as client:
        streamed = await stream(client)
        gate.allow(3)
        before = await read(client, streamed, 0, 3)
        untouched = await stream(client)
        by_itself = await stream(client, by_itself=True)
        gate.allow(100)
    async with house.open() as client:
        taken_up = await client.gateway.live(streamed.record.id, client.customer_id)
        after = await read(client, taken_up, 3, 9)
        await client.ended(by_itself.record.id)
        fresh = await client.gateway.live(untouched.record.id, client.customer_id)
        whole = await read(client, fresh, 0, 12)
        totals = [(await client.job(live.record.id))["tokens_charged"] for live in (streamed, untouched, by_itself)]

    assert before + after == SOUND == whole
    assert totals == [800, 800, 800]
    assert house.audit() == CLEAN


async def test_a_job_that_nobody_takes_up_after_a_restart_is_cancelled(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        await read(client, live, 0, 4)
    async with house.open() as client:
        house.clock.advance(client.gateway.settings.grace_s)
        await client.gateway.sweep()
        job = await client.job(live.record.id)

    assert (job["state"], job["tokens_charged"]) == ("cancelled", due(4))
    assert house.audit() == CLEAN


async def test_another_engine_does_not_continue_a_job(house: House) -> None:
    house.grant(800)

    class OtherEngine(FakeEngine):
        def info(self):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(super().info(), fingerprint="fake-2")

    async with house.open() as client:
        live = await stream(client)
        await read(client, live, 0, 4)
    async with house.open(OtherEngine()) as client:
        job = await client.job(live.record.id)

    assert (job["state"], job["error"]["code"], job["tokens_charged"]) == ("failed", "engine_changed", due(4))
    assert house.audit() == CLEAN


async def test_a_lease_that_breaks_once_is_made_again(house: House) -> None:
    house.grant(800)
    async with house.open(FakeEngine(fail_at_chunk=3, fail_times=1)) as client:
        sound = await client.order("audio/wav")

    assert sound.content[WAV_HEADER_BYTES:] == SOUND


async def test_an_engine_that_keeps_breaking_fails_the_job_and_frees_the_rest(house: House) -> None:
    house.grant(800)
    async with house.open(FakeEngine(fail_at_chunk=3)) as client:
        answer = await client.order("application/vnd.loopmeter.chunks")
        job = await client.job(answer.headers["Loopmeter-Job-Id"])
        balance = await client.balance()

    decoder = ChunkDecoder()
    decoder.receive(answer.content)
    *_, ended = decoder.events()
    assert isinstance(ended, StreamEnded) and ended.problem is not None
    assert (ended.state, ended.problem.code, ended.tokens_charged) == ("failed", "engine_failed", due(3))
    assert (job["state"], job["chunks_delivered"], job["error"]["code"]) == ("failed", 3, "engine_failed")
    assert balance["held"] == 0
    assert house.audit() == CLEAN


async def test_an_engine_that_breaks_its_contract_fails_the_job_not_the_worker(house: House) -> None:
    house.grant(1600)

    class Liar(FakeEngine):
        def lease(self, request, start_chunk, count, state):  # type: ignore[no-untyped-def]
            if request.seed == 13:
                raise KeyError("boom")
            return super().lease(request, start_chunk, count, state)

    async with house.open(Liar()) as client:
        broken = await client.ended((await client.order(seed=13)).json()["id"])
        sound = await client.order("audio/wav")

    assert (broken["state"], broken["error"]["code"]) == ("failed", "engine_failed")
    assert sound.content[WAV_HEADER_BYTES:] == SOUND
    assert house.audit() == CLEAN


async def test_a_hold_that_does_not_move_expires_with_its_job(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as client:
        live = await stream(client, by_itself=True)
        gate.allow(1)
        await until(lambda: live.record.chunks_delivered == 1)
        house.clock.advance(client.gateway.settings.hold_ttl_s)
        await client.gateway.sweep()
        job = await client.job(live.record.id)
        gate.allow(100)

    assert (job["state"], job["error"]["code"], job["tokens_charged"]) == ("failed", "hold_expired", due(1))
    assert house.audit() == CLEAN


async def test_jobs_take_turns(house: House, gate: Gate) -> None:
    house.grant(1600)
    async with house.open(gate.engine) as client:
        first, second = await stream(client, by_itself=True), await stream(client, by_itself=True)
        gate.allow(2)
        await until(lambda: first.record.chunks_delivered + second.record.chunks_delivered == 2)
        progress = [live.record.chunks_delivered for live in (first, second)]
        gate.allow(100)
        await until(lambda: first.record.ended and second.record.ended)

    assert progress == [1, 1]


async def test_a_waiting_stream_says_that_it_lives(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine, keep_alive_s=0.01) as client:
        live = await stream(client)
        client.gateway.attach(live)

        assert await client.gateway.next_event(live, 0) == KeepAlive()

        client.gateway.detach(live)
        gate.allow(100)
