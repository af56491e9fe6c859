"""SDK and command line against a real gateway process: the bill, the stream, and what a killed gateway costs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.gateway_process import PROGRAM, GatewayProcess, run_program, running

from loopmeter import (
    AsyncLoopmeter,
    BudgetExceeded,
    ChunkReceived,
    InsufficientTokens,
    Loopmeter,
    LoopRequest,
    NotFound,
)

TOKENS = 100_000


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    yield from running(GatewayProcess(tmp_path_factory.mktemp("gateway")))


@pytest.fixture
def gateway(shared_gateway: GatewayProcess) -> GatewayProcess:
    """A gateway that is left as it was found, but for one more customer."""
    return shared_gateway


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that may be killed."""
    yield from running(GatewayProcess(tmp_path))


@pytest.fixture
def api_key(gateway: GatewayProcess, request: pytest.FixtureRequest) -> str:
    return gateway.customer(request.node.name, TOKENS)


@pytest.fixture
def client(gateway: GatewayProcess, api_key: str) -> Iterator[Loopmeter]:
    with Loopmeter(gateway.url, api_key) as client:
        yield client


def test_the_bill_of_a_completed_loop_is_its_quote(client: Loopmeter) -> None:
    quote = client.quote("dusty lo-fi drums", tempo_bpm=92, bars=4, quality="hifi")
    loop = client.loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4, quality="hifi", quote=quote)

    assert loop.tokens_charged == loop.job.tokens_quoted == quote.tokens
    assert loop.frames == quote.frames == round(16 * 60 / 92 * 44100)
    assert len(loop.pcm) == loop.frames * 6
    assert client.balance().model_dump() == {
        "available": TOKENS - quote.tokens,
        "held": 0,
        "posted": TOKENS - quote.tokens,
    }
    assert client.loops.audio(loop.id) == loop.wav
    assert client.loops.midi(loop.id) == loop.midi()
    assert [entry.job for entry in client.usage().entries] == [loop.id]


def test_the_async_client_gives_the_same_bytes_for_the_same_request(
    client: Loopmeter, gateway: GatewayProcess, api_key: str
) -> None:
    async def scenario() -> bytes:
        async with AsyncLoopmeter(gateway.url, api_key) as twin:
            return (await twin.loops.create("drums", seed=7)).pcm

    assert asyncio.run(scenario()) == client.loops.create("drums", seed=7).pcm


def test_the_same_key_twice_is_one_job_and_one_bill(client: Loopmeter) -> None:
    first = client.loops.create("drums", idempotency_key="bake-1")
    again = client.loops.create("drums", idempotency_key="bake-1")

    assert (again.id, again.pcm) == (first.id, first.pcm)
    assert client.balance().posted == TOKENS - first.tokens_charged


def test_the_same_key_twice_under_a_limit_is_one_job_although_each_call_asks_for_a_quote(client: Loopmeter) -> None:
    first = client.loops.create("drums", idempotency_key="bake-1", max_tokens=5000)
    again = client.loops.create("drums", idempotency_key="bake-1", max_tokens=5000)

    assert (again.id, again.pcm) == (first.id, first.pcm)


def test_leaving_after_k_chunks_costs_their_price_and_frees_the_rest(client: Loopmeter) -> None:
    with client.loops.stream("drums", tempo_bpm=60, bars=15, quality="hifi") as stream:
        taken = [next(stream), next(stream), next(stream)]

    job, balance = client.loops.get(stream.started.job), client.balance()
    assert job.state == "cancelled"
    assert taken[-1].meter.tokens_total <= job.tokens_charged < job.tokens_quoted
    assert (balance.held, balance.posted) == (0, TOKENS - job.tokens_charged)


@pytest.mark.parametrize("end", [GatewayProcess.kill, GatewayProcess.stop])
def test_a_gateway_that_ends_in_mid_stream_costs_neither_bytes_nor_tokens(
    end: Callable[[GatewayProcess], None], own_gateway: GatewayProcess
) -> None:
    """Two minutes of hifi are 32 MB: more than the sockets hold, so that every end meets an unfinished stream."""
    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=60, quality="hifi")
    chunks: list[ChunkReceived] = []
    restart = threading.Thread()

    def end_and_start() -> None:
        end(own_gateway)
        own_gateway.start()

    with Loopmeter(own_gateway.url, own_gateway.customer("studio", TOKENS)) as client:
        undisturbed = client.loops.create(request)
        with client.loops.stream(request) as stream:
            for chunk in stream:
                chunks.append(chunk)
                if chunk.index in (10, 60, 110):
                    restart = threading.Thread(target=end_and_start)
                    restart.start()  # The reader goes on at once, and may meet a closed port.
                elif chunk.index in (59, 109):
                    restart.join(20)
        restart.join(20)  # The stream may be whole before its thread has seen the gateway start.
        job, balance = client.loops.get(stream.started.job), client.balance()

    assert b"".join(chunk.pcm for chunk in chunks) == undisturbed.pcm
    assert [chunk.index for chunk in chunks] == list(range(job.chunks))
    assert [chunk.meter.tokens_total for chunk in chunks] == [meter.tokens_total for meter in undisturbed.meters]
    assert sum(chunk.meter.tokens for chunk in chunks) == job.tokens_charged == job.tokens_quoted
    assert balance.posted == TOKENS - job.tokens_charged - undisturbed.tokens_charged
    assert balance.held == 0


def test_a_price_above_the_limit_or_the_balance_charges_nothing(gateway: GatewayProcess) -> None:
    with Loopmeter(gateway.url, gateway.customer("poor", 10)) as client:
        with pytest.raises(BudgetExceeded):
            client.loops.create("drums", max_tokens=10)
        with pytest.raises(InsufficientTokens):
            client.loops.create("drums")

        assert client.balance().model_dump() == {"available": 10, "held": 0, "posted": 10}
        assert client.usage().entries == ()


def test_a_job_of_another_customer_is_not_found(client: Loopmeter, gateway: GatewayProcess) -> None:
    loop = client.loops.create("drums")

    with Loopmeter(gateway.url, gateway.customer("other", 10)) as other, pytest.raises(NotFound):
        other.loops.get(loop.id)


def test_the_command_line_makes_a_loop_and_shows_its_bill(
    gateway: GatewayProcess, api_key: str, tmp_path: Path
) -> None:
    env = {**os.environ, "LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": api_key}
    options = ["--bpm", "92", "--bars", "4", "--key", "Am", "--seed", "7", "--layers", "drums,bass"]

    quoted = json.loads(run_program("quote", "lo-fi", *options, "--json", env=env))
    made = json.loads(
        run_program("loop", "lo-fi", *options, "-o", "a.wav", "--midi", "a.mid", "--json", env=env, cwd=tmp_path)
    )
    line = run_program("loop", "lo-fi", *options, "--max-tokens", str(quoted["tokens"]), env=env, cwd=tmp_path)
    bill = json.loads(run_program("usage", "--json", env=env))

    assert made["tokens_charged"] == quoted["tokens"] and made["frames"] == quoted["frames"]
    assert f"{quoted['tokens']} tokens charged" in line
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == made["frames"]
    assert (tmp_path / "a.mid").read_bytes().startswith(b"MThd")
    assert (tmp_path / "loop.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    assert [entry["tokens_charged"] for entry in bill["entries"]] == [quoted["tokens"]] * 2
    assert "available" in run_program("usage", env=env)


@pytest.fixture
def sounding_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with the real engine, which takes its time: the fake one may be done before a signal arrives."""
    yield from running(GatewayProcess(tmp_path_factory.mktemp("sounding"), "loopmeter"))


def test_an_interrupted_command_cancels_its_loop(sounding_gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway = sounding_gateway
    api_key = gateway.customer("ada", TOKENS)
    client = Loopmeter(gateway.url, api_key)
    env = {**os.environ, "LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": api_key}
    command = [*PROGRAM, "loop", "drums", "--bpm", "120", "--bars", "150", "--quality", "hifi"]

    process = subprocess.Popen(
        command,
        env=env,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background work, and so these tests, with SIGINT ignored; that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and client.balance().posted == TOKENS:  # Until the first chunk is charged.
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    (entry,) = client.usage().entries
    assert (process.returncode, errors) == (130, "loopmeter: interrupted\n")
    assert (entry.state, client.balance().held) == ("cancelled", 0)
    assert list(tmp_path.iterdir()) == []
    client.close()
