"""Several leases at once: everybody hears what it would hear alone, pays once, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.stopping import check_wanted
from loopmeter_engine.testing import make_all
from loopmeter_gateway.jobs.live import LiveJob

from .conftest import BOTH_STORES, LOOP, PATIENCE_S, Gate, House, until
from .live_client import listening, playing
from .test_delivery import CLEAN, SOUND, read, stream
from .test_limits import Line, Waiting

pytestmark = pytest.mark.anyio


async def test_as_many_leases_run_at_once_as_the_engine_allows(house: House) -> None:
    house.grant(4 * 800)
    gate = Gate(streams_at_once=3)
    async with house.open(gate.engine) as client:
        jobs = [(await client.order(seed=seed)).json()["id"] for seed in range(4)]
        await until(lambda: gate.asked == 3 and client.gateway.queue.length == 1)
        running = client.gateway.queue.running
        gate.allow(100)
        ended = [(await client.ended(job))["state"] for job in jobs]

    assert running == 3
    assert ended == ["completed"] * 4


class Uneven(FakeEngine):
    """Takes its time for some chunks, so that leases overlap in ever other ways."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        super().__init__(chunk_delay_s=0.001, streams_at_once=4, sleep=lambda _: self._wait(dice.random()))
        self.running = self.most = 0
        self._lock = threading.Lock()

    def _wait(self, share: float) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        threading.Event().wait(0.004 * share)
        with self._lock:
            self.running -= 1


@BOTH_STORES
async def test_streams_side_by_side_sound_as_alone_and_are_charged_once(house: House) -> None:
    """Whole ones, some that are cancelled in between, and some that run by themselves."""
    house.grant(12 * 800)
    engine, dice = Uneven(1), random.Random(2)
    async with house.open(engine) as client:

        async def play(number: int) -> tuple[LiveJob, bytes]:
            live = await stream(client, by_itself=number % 3 == 0)
            heard = await read(client, live, 0, dice.randint(1, 11) if number % 3 == 1 else 12)
            if number % 3 == 1:
                await client.gateway.cancel(live)
            return live, heard

        played = await asyncio.gather(*(play(number) for number in range(12)))
        balance = await client.balance()

    assert engine.most > 1
    assert all(heard == SOUND[: len(heard)] for _, heard in played)
    assert [live.record.state for live, _ in played] == ["completed", "cancelled", "completed"] * 4
    assert balance["held"] == 0
    assert balance["posted"] == 12 * 800 - sum(live.record.tokens_charged for live, _ in played)
    assert house.audit() == CLEAN


async def test_no_reader_however_slow_is_run_ahead_of_by_more_than_a_lease(house: House) -> None:
    house.grant(4 * 800)
    ahead = []
    async with house.open(Uneven(3)) as client:
        jobs = [await stream(client) for _ in range(4)]
        for live in jobs:
            client.gateway.attach(live)
        for index in range(12):
            for live in jobs:
                await client.gateway.next_event(live, index)
                ahead += [other.made_index - other.record.chunks_delivered for other in jobs]
        for live in jobs:
            client.gateway.detach(live)

    assert 2 <= max(ahead) <= client.gateway.settings.lease_chunks


class Stepping(FakeEngine):
    """Makes chunks in steps without an end, and asks between them whether it is wanted."""

    def __init__(self) -> None:
        super().__init__(chunk_delay_s=1.0, streams_at_once=2, sleep=self._step)
        self.begun = 0
        self.open = threading.Event()

    def _step(self, _: float) -> None:
        self.begun += 1
        for _ in range(int(PATIENCE_S / 0.002)):
            check_wanted()
            if self.open.wait(0.002):
                return
        raise AssertionError("nobody stopped it")


async def test_a_cancelled_stream_gives_its_slot_back_in_the_middle_of_a_chunk(house: House) -> None:
    house.grant(4 * 800)
    engine = Stepping()
    async with house.open(engine) as client:
        first, _, third, fourth = [(await client.order(seed=seed)).json()["id"] for seed in range(4)]
        await until(lambda: engine.begun == 2)
        cancelled = (await client.http.delete(f"/v1/loops/{first}")).json()
        await until(lambda: engine.begun == 3)
        engine.open.set()
        ended = [await client.ended(job) for job in (third, fourth)]

    assert (cancelled["state"], cancelled["tokens_charged"]) == ("cancelled", 0)
    assert [job["state"] for job in ended] == ["completed"] * 2


async def test_a_reader_that_comes_back_at_once_finds_the_stopped_chunk_made_again(house: House) -> None:
    house.grant(800)
    engine = Stepping()
    async with house.open(engine) as client:
        live = await stream(client)
        client.gateway.attach(live)
        await until(lambda: engine.begun == 1)
        client.gateway.detach(live)
        await until(lambda: client.gateway.queue.running == 0)
        engine.open.set()
        assert await read(client, live, 0, 12) == SOUND
    assert (live.record.state, live.failures) == ("completed", 0)
    assert house.audit() == CLEAN


class Standing(FakeEngine):
    """Makes loops only once ``open`` is set; plays live always."""

    def __init__(self) -> None:
        super().__init__(streams_at_once=2)
        self.open = threading.Event()

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        assert self.open.wait(PATIENCE_S)
        return super().lease(request, start_chunk, count, state)


async def test_a_live_session_plays_beside_a_loop_that_stands_still(house: House) -> None:
    house.grant(5000)
    engine = Standing()
    async with listening(house, engine) as (client, url):
        loop = (await client.order()).json()["id"]
        await until(lambda: client.gateway.queue.running == 1)
        async with playing(url, house.key, session="one", credit=8) as live:
            await live.take(3)
            assert (await client.job(loop))["chunks_delivered"] == 0
        engine.open.set()
        assert (await client.ended(loop))["state"] == "completed"


async def test_our_own_engine_makes_streams_of_the_gateway_in_common_passes(house: House) -> None:
    engine = LoopmeterEngine(device="cpu", cores=1)
    house.grant(3 * 800)
    requests = [LoopRequest.model_validate(LOOP | {"bars": 1, "seed": seed}) for seed in range(3)]
    alone = [b"".join(chunk.pcm for chunk in make_all(engine, request)) for request in requests]
    async with house.open(engine) as client:
        answers = await asyncio.gather(*(client.order("audio/wav", bars=1, seed=seed) for seed in range(3)))
    assert [answer.content[44:] for answer in answers] == alone
    assert engine.streams_in_one_pass > 1


# Whose lease is next.


def test_whoever_runs_dry_first_goes_first() -> None:
    line = Line(slots=3)
    late, first, next_ = (line.come(0, ahead_s) for ahead_s in (5.0, 1.0, 3.0))
    assert [line.queue.take() for _ in range(3)] == [first, next_, late]


def test_a_level_of_priority_is_worth_its_seconds_of_sound() -> None:
    line = Line(slots=3)
    low, high, sated = line.come(0, ahead_s=1.0), line.come(1, ahead_s=4.0), line.come(1, ahead_s=6.0)
    assert [line.queue.take() for _ in range(3)] == [high, low, sated]


def test_who_was_served_well_does_not_wait_longer_for_it_than_stated() -> None:
    line = Line(0)
    hoarder = line.come(0, ahead_s=300.0)
    line.serve(1)
    line.clock.advance(30.5)
    line.come(0)
    assert line.queue.take() is hoarder


def test_a_place_counts_the_slots() -> None:
    line = Line(0, 0, slots=2)
    for _ in range(2):
        job = line.queue.take()
        assert job is not None
        line.queue.done(job, 2.0)
    line.jobs.clear()
    busy = [line.come(0), line.come(0)]
    assert {line.queue.take(), line.queue.take()} == set(busy)
    assert line.queue.take() is None
    newcomers = [line.come(0) for _ in range(3)]
    places = [line.queue.place(job) for job in newcomers]
    assert [place and place.queue_position for place in places] == [1, 2, 3]
    # Two leases of 2 s run: one ends every second.
    assert [place and (place.expected_start_at - line.clock.now()).total_seconds() for place in places] == [1, 2, 3]
    assert line.queue.wait_s == 4.0
    line.queue.done(busy[0], 2.0)
    assert line.queue.take() is newcomers[0]


class Listener(Waiting):
    """Plays what it is handed, in real time."""

    gaps_s = 0.0

    def hand(self, seconds: float, line: Line) -> None:
        now = line.clock.now()
        start = self.dry_at or now
        self.gaps_s += max(0.0, (now - start).total_seconds())
        self.dry_at = max(start, now) + timedelta(seconds=seconds)

    def listen(self, line: Line) -> None:
        self.ahead_s = 0.0 if self.dry_at is None else max(0.0, (self.dry_at - line.clock.now()).total_seconds())


@given(slots=st.integers(1, 4), share=st.floats(0.1, 0.8))
def test_who_plays_in_real_time_never_runs_dry_while_the_engine_keeps_up(slots: int, share: float) -> None:
    """Leases of 2 s of sound take 0.4 s: five streams a slot, were there no borders between leases."""
    line = Line(slots=slots)
    players = [Listener(0) for _ in range(max(1, int(5 * slots * share)))]
    line.jobs.update({f"player {number}": player for number, player in enumerate(players)})
    for _ in range(200):
        for player in players:
            player.listen(line)
        running = [line.queue.take() for _ in range(slots)]
        line.clock.advance(0.4)
        for job in running:
            if isinstance(job, Listener):
                line.queue.done(job, 0.4)
                job.hand(2.0, line)
    assert [player.gaps_s for player in players] == [0.0] * len(players)


@given(
    priorities=st.lists(st.integers(0, 3), min_size=2, max_size=9), slots=st.integers(1, 4), ahead_s=st.floats(0, 99)
)
def test_nobody_starves_with_several_slots_and_sound_in_hand(priorities: list[int], slots: int, ahead_s: float) -> None:
    line = Line(slots=slots)
    for place, priority in enumerate(priorities):
        line.come(priority, ahead_s if place % 2 else 0.0)
    assert len(set(line.serve(150))) == len(priorities)
