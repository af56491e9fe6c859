"""Readers come and go, engines break, clocks run, gateways restart: the books balance after every step."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from loopmeter import ENDED_STATES, ChunkReceived, LoopRequest
from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.jobs.records import Order
from loopmeter_gateway.money.audit import Audit, audit
from loopmeter_gateway.problems import Refused

from .conftest import BOTH_STORES, Client, House

pytestmark = [pytest.mark.anyio, BOTH_STORES]
CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
STEPS = 60


class _Run:
    """One run of random steps, all drawn from one seed."""

    def __init__(self, client: Client, house: House, dice: random.Random) -> None:
        self.client, self.house, self.dice = client, house, dice
        self.jobs: list[str] = []
        self.heard: dict[tuple[str, int], bytes] = {}

    async def order(self) -> None:
        request = LoopRequest(prompt="chaos", tempo_bpm=120, bars=self.dice.randint(1, 4), seed=len(self.jobs))
        key = f"key-{self.dice.randrange(len(self.jobs) + 1)}"  # Sometimes one that was used before.
        order = Order(self.client.customer_id, key, bytes([request.seed]), request, None, self.dice.random() < 0.3)
        caller = Caller(key_id="", scope="customer", customer_id=self.client.customer_id, plan="standard")
        try:
            record = await self.client.gateway.order(caller, order)
        except Refused as refused:
            assert refused.code in ("insufficient_tokens", "idempotency_key_reused")
        else:
            self.jobs.append(record.id)

    async def read(self) -> None:
        if self.jobs:
            gateway = self.client.gateway
            live = await gateway.live(self.dice.choice(self.jobs), self.client.customer_id)
            first = self.dice.randint(0, live.record.chunks_delivered)
            gateway.attach(live)
            for index in range(first, first + self.dice.randint(0, 6)):
                event = await gateway.next_event(live, index)
                if not isinstance(event, ChunkReceived):
                    break
                assert self.heard.setdefault((live.record.id, index), event.pcm) == event.pcm
            gateway.detach(live)

    async def cancel(self) -> None:
        if self.jobs:
            gateway = self.client.gateway
            await gateway.cancel(await gateway.live(self.dice.choice(self.jobs), self.client.customer_id))

    async def wait(self) -> None:
        self.house.clock.advance(self.dice.choice((1, 29, 31, 3601)))
        await self.client.gateway.sweep()

    async def grant(self) -> None:
        # Not in this thread, whose event loop has transactions open that the grant may have to wait for.
        await asyncio.to_thread(self.house.grant, self.dice.randint(1, 1500))


@pytest.mark.parametrize("seed", range(6))
async def test_the_books_balance_whatever_happens(house: House, seed: int) -> None:
    dice = random.Random(seed)
    engine = _Moody(dice.randrange(2**32))
    async with AsyncExitStack() as stack:
        run = _Run(await stack.enter_async_context(house.open(engine)), house, dice)
        for _ in range(STEPS):
            step = dice.choice((run.order, run.order, run.read, run.read, run.read, run.cancel, run.wait, run.grant))
            await step()
            if dice.random() < 0.05:
                await stack.aclose()
                run.client = await stack.enter_async_context(house.open(engine))
            found = await run.client.gateway.database.read(audit)
            assert (found.posted_sum, found.faults) == (0, ())
        house.clock.advance(10_000)
        await run.client.gateway.sweep()
        jobs = [await run.client.job(job_id) for job_id in run.jobs]

    assert {job["state"] for job in jobs} <= ENDED_STATES
    assert all(job["tokens_charged"] == job["tokens_quoted"] for job in jobs if job["state"] == "completed")
    assert all(job["tokens_charged"] == _due(job) for job in jobs)
    assert house.audit() == CLEAN


def _due(job: dict[str, object]) -> int:
    plan = FakeEngine().plan(LoopRequest.model_validate(job["request"]))
    delivered = job["chunks_delivered"]
    tokens = job["tokens_quoted"]
    assert isinstance(delivered, int) and isinstance(tokens, int)
    return tokens * sum(plan.chunk_frames[:delivered]) // plan.frames


class _Moody(FakeEngine):
    """Breaks before one chunk in twenty."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)

        def mood(_: float) -> None:
            if dice.random() < 0.05:
                raise EngineFailed("not today")

        super().__init__(chunk_delay_s=1.0, sleep=mood)
