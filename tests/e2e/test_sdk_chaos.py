"""The SDK through a proxy that breaks what passes, and through its own death: the same bytes, one job's price each."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.chaos_proxy import FAULTS, ChaosProxy
from tests.e2e.gateway_process import GatewayProcess

from loopmeter import AsyncLoopmeter, Loopmeter, LoopmeterError, LoopRequest, UsageEntry
from loopmeter_engine.contract import LEASE_CHUNKS_MAX
from loopmeter_engine.fake import FakeEngine

TOKENS = 10**7
AT_ONCE = 8
SEED = 20_261_123
PRICES = {"standard": (800, 960), "hifi": (1040, 1248)}  # By day, and at peak hours.


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path)
    process.start()
    yield process
    process.stop()


class HurriedClock:
    """Real time, with waits of a twentieth."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


def sound_of(request: LoopRequest) -> bytes:
    """What the engine makes, without a gateway, a network or a client."""
    engine = FakeEngine()
    chunks, made, state = len(engine.plan(request).chunk_frames), [], None
    for start in range(0, chunks, LEASE_CHUNKS_MAX):
        for chunk in engine.lease(request, start, min(LEASE_CHUNKS_MAX, chunks - start), state):
            made.append(chunk.pcm)
            state = chunk.state_after
    return b"".join(made)


def drawn(dice: random.Random) -> LoopRequest:
    return LoopRequest(
        prompt="chaos",
        tempo_bpm=dice.choice((90, 133.7, 240)),
        bars=dice.randint(1, 4),
        quality=dice.choice(("standard", "hifi")),
        seed=dice.randrange(8),
    )


@dataclass
class Tally:
    """How the runs went."""

    whole: int = 0
    typed_errors: int = 0


async def run(number: int, through: AsyncLoopmeter, around: AsyncLoopmeter, tally: Tally) -> None:
    """One call through the proxy; if it ends in a typed error, the same call with the error's key, past the proxy."""
    request = drawn(random.Random(SEED + number))
    try:
        loop = await through.loops.create(request, idempotency_key=f"run-{number}")
        tally.whole += 1
    except LoopmeterError as error:
        assert error.idempotency_key == f"run-{number}", repr(error)
        tally.typed_errors += 1
        loop = await around.loops.create(request, idempotency_key=error.idempotency_key)
    assert loop.pcm == sound_of(request), f"run {number}"
    assert loop.tokens_charged == loop.job.tokens_quoted in PRICES[request.quality]


async def all_runs(gateway: GatewayProcess, api_key: str, runs: int) -> tuple[Tally, ChaosProxy]:
    tally, room = Tally(), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            await run(number, through, around, tally)

    proxy = ChaosProxy(int(gateway.url.rpartition(":")[2]), SEED, rate=0.45)
    async with (
        proxy.running(),
        AsyncLoopmeter(proxy.url, api_key, clock=HurriedClock()) as through,
        AsyncLoopmeter(gateway.url, api_key) as around,
        asyncio.TaskGroup() as group,
    ):
        for number in range(runs):
            group.create_task(one(number))
    return tally, proxy


def bills(client: Loopmeter) -> list[UsageEntry]:
    entries: list[UsageEntry] = []
    cursor: str | None = None
    while True:
        page = client.usage(limit=100, cursor=cursor)
        entries += page.entries
        if (cursor := page.next) is None:
            return entries


@pytest.mark.parametrize("runs", [40, pytest.param(500, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_through_chaos_every_loop_is_whole_or_a_typed_error_and_costs_one_jobs_price(
    runs: int, gateway: GatewayProcess
) -> None:
    api_key = gateway.customer("chaos", TOKENS)

    tally, proxy = asyncio.run(all_runs(gateway, api_key, runs))

    print(f"{runs} runs: {tally}, {dict(proxy.faults)}")
    with Loopmeter(gateway.url, api_key) as client:
        entries, balance = bills(client), client.balance()
    assert len(entries) == runs
    assert {entry.state for entry in entries} == {"completed"}
    assert all(entry.tokens_charged == entry.tokens_quoted for entry in entries)
    assert (balance.held, balance.posted) == (0, TOKENS - sum(entry.tokens_charged for entry in entries))
    assert tally.whole >= runs * 0.9
    assert all(proxy.faults[fault] > 0 for fault in FAULTS)


PROGRAM = """
import sys
from loopmeter import Loopmeter

with Loopmeter() as client, client.loops.stream(
    "drums", tempo_bpm=120, bars=60, quality="hifi", idempotency_key="level-1", max_tokens=5000
) as stream:
    with open(sys.argv[1], "wb") as file:
        for chunk in stream:
            file.write(chunk.pcm)
            if sys.argv[2] == "stop" and chunk.index == 9:
                print("ten chunks", flush=True)
                sys.stdin.read()
    print(stream.bill.tokens_charged)
"""


def test_a_program_that_is_killed_in_mid_stream_and_run_again_gets_its_loop_for_one_price(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    """Two minutes of hifi are 32 MB: more than the sockets hold, so that the kill meets an unfinished stream."""
    api_key = gateway.customer("killed", 5_000)
    env = {**os.environ, "LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": api_key}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "loop.pcm")]

    victim = subprocess.Popen([*command, "stop"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None and victim.stdout.readline() == "ten chunks\n"
    with Loopmeter(gateway.url, api_key) as client:
        (before,) = client.usage().entries
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=20)
        again = subprocess.run([*command, "go on"], env=env, capture_output=True, text=True, check=True, timeout=60)
        (after,) = client.usage().entries
        balance = client.balance()

    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=60, quality="hifi")
    assert (before.state, after.state) == ("running", "completed")
    assert (tmp_path / "loop.pcm").read_bytes() == sound_of(request)
    assert after.tokens_charged == after.tokens_quoted == int(again.stdout)
    assert (balance.held, balance.posted) == (0, 5_000 - after.tokens_charged)
