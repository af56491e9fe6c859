"""Who goes first, who has to wait, and whether what the gateway says about it is true."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import PlanInfo
from loopmeter_gateway.clock import ManualClock
from loopmeter_gateway.jobs.live import LiveJob
from loopmeter_gateway.jobs.queue import LeaseQueue
from loopmeter_gateway.limits import RateLimiter
from loopmeter_gateway.live.session import LiveSession
from loopmeter_gateway.money.audit import Audit

from .conftest import BOTH_STORES, OFF_PEAK, Client, Gate, House, until
from .live_client import PROMPTS, listening, peer, playing

pytestmark = pytest.mark.anyio


def use_plan(client: Client, **limits: int) -> None:
    """Give the customer's plan other limits."""
    book = client.gateway.books.known(None)
    assert book is not None
    client.gateway.books.default = book.model_copy(update={"plans": (PlanInfo(name="standard", **limits),)})


class Waiting(LiveJob):
    """A job that always wants a lease. ``ahead_s``: sound that its client has in hand."""

    def __init__(self, priority: int, ahead_s: float = 0.0) -> None:
        self.priority, self.waiting_since, self.lease_number = priority, None, 0
        self.ahead_s = ahead_s

    def lease_count(self, lease_chunks: int) -> int:
        return 1

    def sound_ahead_s(self, now: datetime) -> float:
        return self.ahead_s


class Line:
    """A queue, and jobs that come and are served one at a time."""

    def __init__(self, *priorities: int, slots: int = 1) -> None:
        self.clock = ManualClock(OFF_PEAK)
        self.jobs: dict[str, LiveJob] = {}
        self.queue = LeaseQueue(self.jobs, 4, ageing_s=4.0, clock=self.clock, slots=slots)
        for priority in priorities:
            self.come(priority)

    def come(self, priority: int, ahead_s: float = 0.0) -> Waiting:
        job = Waiting(priority, ahead_s)
        self.jobs[f"{len(self.jobs)}:{priority}"] = job
        return job

    def serve(self, leases: int, lease_s: float = 1.0) -> list[str]:
        served = []
        for _ in range(leases):
            job = self.queue.take()
            served.append(next(name for name, found in self.jobs.items() if found is job))
            self.clock.advance(lease_s)
            self.queue.done(job, lease_s)
        return served


def test_a_higher_plan_goes_first_and_equals_take_turns() -> None:
    line = Line(0, 2, 0, 2)
    assert line.serve(4, lease_s=0.1) == ["1:2", "3:2", "1:2", "3:2"]


def test_who_waits_long_enough_goes_before_a_higher_plan() -> None:
    line = Line(0, 2)
    served = line.serve(40)
    assert served[0] == "1:2"
    assert 0.1 <= served.count("0:0") / 40 <= 0.5  # Served less often, but never starved.


@given(priorities=st.lists(st.integers(0, 3), min_size=2, max_size=6))
def test_nobody_starves(priorities: list[int]) -> None:
    served = Line(*priorities).serve(120)
    assert len(set(served)) == len(priorities)


def test_a_newcomer_of_a_higher_plan_starts_within_one_lease() -> None:
    line = Line(*[0] * 30)
    line.serve(3)
    newcomer = line.come(2)
    assert line.queue.take() is newcomer


def test_a_place_says_how_many_come_first_and_when() -> None:
    line = Line(0, 0)
    line.serve(2, lease_s=2.0)
    last = line.come(0)
    # The one that has waited for a whole lease comes first, the one that was just served does not.
    assert line.queue.place(last) == (2, line.clock.now() + timedelta(seconds=2))
    line.serve(2)
    assert line.queue.place(last) is None


@given(limit=st.integers(1, 120), waits=st.lists(st.integers(0, 20_000), max_size=80))
def test_what_the_limiter_says_is_true(limit: int, waits: list[int]) -> None:
    clock = ManualClock(OFF_PEAK)
    limiter = RateLimiter(clock)
    admitted: list[float] = []
    now_ms = 0
    for wait_ms in waits:
        clock.advance(wait_ms / 1000)
        now_ms += wait_ms
        found = limiter.take("key", limit)
        if not found.retry_after_s:
            admitted.append(now_ms)
            if found.remaining:
                assert limiter.take("key", limit).retry_after_s == 0  # One more, as was said.
                admitted.append(now_ms)
        else:
            clock.advance(found.retry_after_s)
            now_ms += found.retry_after_s * 1000
            assert limiter.take("key", limit).retry_after_s == 0  # Now, as was said.
            admitted.append(now_ms)
    # A full minute at once, then evenly: never more than twice the limit in any minute.
    assert all(sum(start <= at < start + 60_000 for at in admitted) <= 2 * limit for start in admitted)


async def test_requests_above_the_plan_get_429_with_a_true_retry_after(house: House) -> None:
    async with house.open() as client:
        use_plan(client, requests_per_minute=3)
        answers = [await client.http.get("/v1/balance") for _ in range(5)]
        wait_s = int(answers[-1].headers["Retry-After"])
        house.clock.advance(wait_s - 1)
        early = await client.http.get("/v1/balance")
        house.clock.advance(1)
        late = await client.http.get("/v1/balance")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["RateLimit"] for answer in answers[:4]] == [
        '"requests";r=2;t=20',
        '"requests";r=1;t=40',
        '"requests";r=0;t=60',
        '"requests";r=0;t=20',
    ]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=60'}
    assert answers[-1].json()["code"] == "rate_limited"
    assert (early.status_code, late.status_code) == (429, 200)


async def test_a_loop_can_be_cancelled_above_the_limit(house: House, gate: Gate) -> None:
    house.grant(8000)
    async with house.open(gate.engine) as client:
        job = (await client.order()).json()
        use_plan(client, requests_per_minute=1)
        looks = [(await client.http.get("/v1/balance")).status_code for _ in range(2)]
        cancelled = await client.http.delete(f"/v1/loops/{job['id']}")
        gate.allow(1)  # Else the gateway waits for the engine's chunk in hand before it stops.
    assert looks == [200, 429]
    assert cancelled.status_code == 200


async def test_keys_do_not_share_a_limit_and_strangers_cost_nothing(house: House) -> None:
    async with house.open() as client:
        use_plan(client, requests_per_minute=1)
        other = {"Authorization": f"Bearer {await asyncio.to_thread(house.new_customer, 'eve')}"}
        wrong = {"Authorization": f"Bearer {house.key}x"}
        codes = [
            (await client.http.get("/v1/balance", headers=headers)).status_code
            for headers in (wrong, {}, {}, other, other)
        ]
    assert codes == [401, 200, 429, 200, 429]


async def test_a_full_queue_refuses_new_work_and_holds_nothing(house: House, gate: Gate) -> None:
    house.grant(8000)
    async with house.open(gate.engine, queue_jobs_max=2) as client:
        first = (await client.order()).json()
        await until(lambda: gate.asked == 1)
        waiting = [(await client.order(seed=seed)).json() for seed in (1, 2)]
        places = [(await client.job(job["id"]))["queue_position"] for job in waiting]
        refused = await client.order(seed=3)
        held = (await client.balance())["held"]
        gate.allow(100)
        ended = [(await client.ended(job["id"]))["state"] for job in (first, *waiting)]

    assert places == [1, 2]
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert int(refused.headers["Retry-After"]) >= 1
    assert held == 3 * 800
    assert ended == ["completed"] * 3


async def test_a_plan_limits_sessions_at_once(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, session="one") as live:
        use_plan(client, live_streams_max=1)
        async with peer(url, house.key) as second:
            await second.send("start", session="two", prompts=PROMPTS)
            error = (await second.until("error"))["problem"]
            assert await second.closed() == 4429
        async with playing(url, house.key, session="one"):
            pass  # The same session again is no second one.
        await live.closed()
        session = next(iter(client.gateway.live_jobs.values()))
        await until(lambda: session.readers == 0)
        house.clock.advance(30)
        await client.gateway.sweep()
        async with playing(url, house.key, session="two"):
            pass
    assert error["code"] == "too_many_streams"


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_sessions_at_once_are_counted_over_all_gateways_of_a_database(house: House) -> None:
    """Ten sessions are started at two gateways at the same moment by a plan for three, and again when one has ended."""
    house.grant(20_000)
    async with listening(house) as (first, one), listening(house) as (second, two):
        for client in (first, second):
            use_plan(client, live_streams_max=3)

        async def start(number: int) -> str:
            async with peer((one, two)[number % 2], house.key) as found:
                await found.send("start", session=f"take-{number}", prompts=PROMPTS)
                answer = await found.receive()
                assert isinstance(answer, dict)
                return str(answer.get("problem", {}).get("code", answer["type"]))

        answers = await asyncio.gather(*(start(number) for number in range(10)))
        playing = [*first.gateway.live_jobs.values(), *second.gateway.live_jobs.values()]
        again = [await start(number) for number, answer in enumerate(answers) if answer == "started"]
        await first.gateway.sessions.end(playing[0], "stopped")  # type: ignore[arg-type]
        after = [await start(number) for number in (10, 11)]

    assert sorted(answers) == ["started"] * 3 + ["too_many_streams"] * 7
    assert again == ["started"] * 3
    assert after == ["started", "too_many_streams"]
    assert house.audit() == Audit(posted_sum=0, open_holds=3, faults=())


async def started_or_wait_s(url: str, key: str) -> int:
    """Start a session: 0, or after how many seconds the gateway says that it may be started."""
    async with peer(url, key) as found:
        await found.send("start", session="another", prompts=PROMPTS)
        answer = await found.receive()
        assert isinstance(answer, dict)
        assert answer["type"] == "started" or answer["problem"]["code"] == "too_many_streams"
        return 0 if answer["type"] == "started" else int(answer["retry_after_s"])


@BOTH_STORES
@pytest.mark.parametrize("how", ["left", "paused"])
async def test_whoever_has_too_many_sessions_is_told_when_one_will_have_ended(house: House, how: str) -> None:
    """On PostgreSQL the session is that of another gateway."""
    house.grant(5000)
    limits = {"grace_s": 30.0, "live_pause_s": 40.0, "sweep_every_s": 3600.0}
    async with AsyncExitStack() as stack:
        client, url = await stack.enter_async_context(listening(house, **limits))
        use_plan(client, live_streams_max=1)
        asked = [client, url]
        if client.gateway.database.shared:
            asked = list(await stack.enter_async_context(listening(house, **limits)))
            use_plan(asked[0], live_streams_max=1)
        live = await stack.enter_async_context(playing(url, house.key, session="one"))
        session = next(iter(client.gateway.live_jobs.values()))
        assert isinstance(session, LiveSession)
        while_played = await started_or_wait_s(asked[1], house.key)
        if how == "left":
            live.cut()
        else:
            await live.send("pause")
        await until(lambda: session.said_ends_at_ms is not None)
        house.clock.advance(9)
        waits = [await started_or_wait_s(asked[1], house.key)]
        house.clock.advance(waits[0] - 3600 - 1)  # The sweep comes later, and is in what was said.
        await client.gateway.sweep()
        waits.append(await started_or_wait_s(asked[1], house.key))
        house.clock.advance(1)
        await client.gateway.sweep()
        waits.append(await started_or_wait_s(asked[1], house.key))

    assert while_played == 30 + 3600
    assert waits == [(21 if how == "left" else 31) + 3600, 1 + 3600, 0]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_a_session_whose_gateway_is_gone_ends_when_it_was_said_to(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (second, url):
        use_plan(second, live_streams_max=1)
        async with listening(house) as (_, other), playing(other, house.key, session="one"):
            pass
        wait_s = await started_or_wait_s(url, house.key)
        house.clock.advance(5)
        await second.gateway.sweep()  # The session is taken up.
        house.clock.advance(wait_s - 5 - 2)
        await second.gateway.sweep()
        early = await started_or_wait_s(url, house.key)
        house.clock.advance(2)
        await second.gateway.sweep()
        again = await started_or_wait_s(url, house.key)

    assert wait_s == 5 + 30 + 1
    assert early >= 1
    assert again == 0


async def test_a_job_says_its_place_before_its_first_chunk_only(house: House, gate: Gate) -> None:
    house.grant(1600)
    async with house.open(gate.engine) as client:
        first: httpx.Response = await client.order()
        await until(lambda: gate.asked == 1)
        second = (await client.order(seed=1)).json()
        assert (await client.job(first.json()["id"]))["queue_position"] is None
        waiting = await client.job(second["id"])
        gate.allow(100)
        ended = await client.ended(second["id"])

    assert waiting["queue_position"] == 1
    assert waiting["expected_start_at"] >= waiting["created_at"]
    assert (ended["queue_position"], ended["expected_start_at"]) == (None, None)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_gateways_on_one_database_keep_the_limit_of_a_key_together(house: House) -> None:
    async with house.open(sweep_every_s=3600) as first, house.open(sweep_every_s=3600) as second:
        for client in (first, second):
            use_plan(client, requests_per_minute=6)

        async def passed() -> list[int]:
            found = []
            for client in (first, second):
                answers = [await client.http.get("/v1/balance") for _ in range(8)]
                found.append(sum(answer.status_code == 200 for answer in answers))
                await client.gateway.sweep()
            await first.gateway.sweep()
            return found

        # Until they have heard of each other each counts alone; what went too far is owed.
        minutes = [await passed()]
        for _ in range(3):
            house.clock.advance(60)
            minutes.append(await passed())

    assert minutes[0] == [6, 6]
    assert sum(sum(both) for both in minutes) <= 6 * (len(minutes) + 1)
    assert sum(sum(both) for both in minutes[2:]) == 12


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_a_key_that_used_up_its_minute_elsewhere_waits_here_too(house: House) -> None:
    async with house.open(sweep_every_s=3600) as first, house.open(sweep_every_s=3600) as second:
        for client in (first, second):
            use_plan(client, requests_per_minute=6)
        for _ in range(6):
            await first.http.get("/v1/balance")
        await first.gateway.sweep()
        here = [(await second.http.get("/v1/balance")).status_code]  # One request is what it takes to ask.
        await second.gateway.sweep()
        refused = await second.http.get("/v1/balance")
        house.clock.advance(int(refused.headers["Retry-After"]))
        again = await second.http.get("/v1/balance")

    assert here == [200]
    assert refused.status_code == 429
    assert again.status_code == 200
