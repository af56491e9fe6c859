"""The gateway as a process: real sockets, clients that vanish, kill -9."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from loopmeter import ChunkReceived, Loopmeter, LoopRequest
from loopmeter._wav import WAV_HEADER_BYTES
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.money.audit import Audit

from .conftest import House

CLEAN = Audit(posted_sum=0, open_holds=0, faults=())
REQUEST = LoopRequest(prompt="dusty drums", tempo_bpm=120, bars=8)  # 16 s, 22 chunks
PLAN = FakeEngine().plan(REQUEST)
ROOT = Path(__file__).parents[2]
PATIENT: dict[str, Any] = {"max_retries": 60, "patience_s": 60.0}  # A busy machine takes long to start a server again.


@dataclass
class Server:
    """One database, and the server process that may come and go before it, on one port."""

    house: House
    fast: int = 1_000_000
    slow_s: float = 0.0
    grace_s: float = 30.0
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = self.house.settings
        options = [settings.db, str(settings.data), str(self.port), str(self.fast)]
        options += [str(self.slow_s), str(self.grace_s)]
        command = [sys.executable, "-m", "tests.gateway.paced_server", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        self.port = int(line.rpartition(":")[2])

    def stop(self, how: signal.Signals) -> int:
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.process = None
        return code

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.house.key}", "Accept": "application/json"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    def job(self, job_id: str) -> dict[str, Any]:
        with self.http() as http:
            job: dict[str, Any] = http.get(f"/v1/loops/{job_id}").json()
        return job


@contextmanager
def serving(house: House, *, fast: int = 1_000_000, slow_s: float = 0.0, grace_s: float = 30.0) -> Iterator[Server]:
    server = Server(house, fast, slow_s, grace_s)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.stop(signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited 20 s in vain"
        time.sleep(0.02)


def sound_of(request: LoopRequest) -> bytes:
    engine = FakeEngine()
    chunks = len(engine.plan(request).chunk_frames)
    leases = [engine.lease(request, start, min(8, chunks - start), None) for start in range(0, chunks, 8)]
    return b"".join(chunk.pcm for lease in leases for chunk in lease)


def due(tokens: int, chunks: int) -> int:
    return tokens * sum(PLAN.chunk_frames[:chunks]) // PLAN.frames


def test_a_wav_arrives_while_it_is_made(house: House) -> None:
    house.grant(5000)
    with serving(house, fast=2, slow_s=0.05) as server, server.http() as http:
        body = REQUEST.model_dump_json().encode()
        headers = {"Accept": "audio/wav", "Content-Type": "application/json"}
        with http.stream("POST", "/v1/loops", content=body, headers=headers) as answer:
            blocks = answer.iter_bytes()
            first = next(blocks)
            state = server.job(answer.headers["Loopmeter-Job-Id"])["state"]
            whole = first + b"".join(blocks)

    assert state in ("queued", "running")
    assert int(answer.headers["Content-Length"]) == len(whole)
    assert whole[WAV_HEADER_BYTES:] == sound_of(REQUEST)
    assert house.audit() == CLEAN


@pytest.mark.parametrize("chunks", [1, 4, 9])
def test_a_client_that_leaves_pays_for_exactly_its_chunks(house: House, chunks: int) -> None:
    house.grant(5000)
    with serving(house, fast=chunks, slow_s=2.0, grace_s=0.3) as server:
        with Loopmeter(server.url, house.key) as client, client.loops.stream(REQUEST, detach=True) as stream:
            for _ in range(chunks):
                next(stream)
            job_id = stream.job_id
        assert job_id is not None
        until(lambda: server.job(job_id)["state"] == "cancelled")
        job = server.job(job_id)

    assert job["chunks_delivered"] == chunks
    assert job["tokens_charged"] == due(job["tokens_quoted"], chunks)
    assert house.audit() == CLEAN


def test_a_reader_that_stands_still_is_not_run_ahead_of(house: House) -> None:
    house.grant(5000)
    long = {"prompt": "long", "tempo_bpm": 60, "bars": 75}  # 300 s, 26 MB
    with serving(house, grace_s=0.3) as server, server.http() as http:
        with http.stream("POST", "/v1/loops", json=long, headers={"Accept": "audio/wav"}) as answer:
            job_id = answer.headers["Loopmeter-Job-Id"]
            delivered = [-1, 0]

            def stands_still() -> bool:
                delivered.append(server.job(job_id)["chunks_delivered"])
                time.sleep(0.2)
                return delivered[-1] == delivered[-2] > 0

            until(stands_still)
        until(lambda: server.job(job_id)["state"] == "cancelled")
        job = server.job(job_id)

    assert job["chunks_delivered"] < job["chunks"] / 2
    assert 0 < job["tokens_charged"] < job["tokens_quoted"] / 2
    assert house.audit() == CLEAN


@pytest.mark.parametrize("chunk", [1, 2, 7, 21])
def test_a_stream_survives_kill_9_and_is_charged_once(house: House, chunk: int) -> None:
    house.grant(5000)
    with (
        serving(house, slow_s=0.001, fast=0) as server,
        Loopmeter(server.url, house.key, **PATIENT) as client,
        client.loops.stream(REQUEST) as stream,
    ):
        received = [next(stream) for _ in range(chunk)]
        server.stop(signal.SIGKILL)
        server.start()
        received += list(stream)
        job = client.loops.get(stream.started.job)

    assert b"".join(event.pcm for event in received) == sound_of(REQUEST)
    assert [event.meter.index for event in received] == list(range(22))
    assert sum(event.meter.tokens for event in received) == job.tokens_charged == job.tokens_quoted
    assert house.audit() == CLEAN


def test_many_streams_survive_many_kills(house: House) -> None:
    _kill_under_load(house, 2026)


@pytest.mark.soak
@pytest.mark.parametrize("round_number", range(67))
def test_streams_survive_two_hundred_kills(house: House, round_number: int) -> None:
    _kill_under_load(house, round_number)


def _kill_under_load(house: House, seed: int) -> None:
    """Four streams, and three kills at moments drawn from the seed."""
    print("seed", seed)

    def kill(server: Server) -> None:
        server.stop(signal.SIGKILL)
        server.start()

    survive(house, 4, random.Random(seed).sample(range(5, 25), 3), kill, slow_s=0.004)


def survive(house: House, streams: int, pauses: list[int], disturb: Callable[[Server], None], *, slow_s: float) -> None:
    """Several streams, disturbed each time after so many chunks: all are whole, and cost what was quoted."""
    house.grant(5000 * streams)
    requests = [REQUEST.model_copy(update={"seed": number}) for number in range(streams)]
    with serving(house, slow_s=slow_s, fast=0) as server, Loopmeter(server.url, house.key, **PATIENT) as client:
        made: dict[int, list[ChunkReceived]] = {}
        received = threading.Semaphore(0)

        def read(number: int) -> None:
            with client.loops.stream(requests[number]) as stream:
                made[number] = []
                for event in stream:
                    made[number].append(event)
                    received.release()

        threads = [threading.Thread(target=read, args=(number,)) for number in range(streams)]
        for thread in threads:
            thread.start()
        for pause in pauses:
            for _ in range(pause):
                assert received.acquire(timeout=60)
            disturb(server)
        for thread in threads:
            thread.join(timeout=60)
        jobs = client.usage().entries

    assert [b"".join(event.pcm for event in made[number]) for number in range(streams)] == [
        sound_of(request) for request in requests
    ]
    assert [(job.state, job.tokens_charged) for job in jobs] == [("completed", job.tokens_quoted) for job in jobs]
    assert len(jobs) == streams
    assert house.audit() == CLEAN


def test_sigterm_ends_streams_so_that_they_can_be_resumed(house: House) -> None:
    house.grant(5000)
    with (
        serving(house, fast=3, slow_s=0.05) as server,
        Loopmeter(server.url, house.key, **PATIENT) as client,
        client.loops.stream(REQUEST) as stream,
    ):
        received = [next(stream) for _ in range(3)]
        code = server.stop(signal.SIGTERM)
        server.start()
        received += list(stream)

    assert code in (0, -signal.SIGTERM)
    assert b"".join(event.pcm for event in received) == sound_of(REQUEST)
    assert house.audit() == CLEAN


def test_clients_that_reset_at_once_leave_no_hold(house: House) -> None:
    house.grant(100_000)
    body = REQUEST.model_dump_json().encode()
    head = (
        f"POST /v1/loops HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with serving(house, fast=0, slow_s=0.01, grace_s=0.3) as server:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(head + body)
        with server.http() as http:
            until(lambda: http.get("/v1/balance").json()["held"] == 0)
            entries = http.get("/v1/usage?limit=200").json()["entries"]
        assert {entry["state"] for entry in entries} <= {"cancelled"}

    assert house.audit() == CLEAN


def test_a_hundred_sockets_on_money_for_ten(house: House) -> None:
    async def ask(url: str) -> Counter[int]:
        headers = {"Authorization": f"Bearer {house.key}"}
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=30, limits=limits, trust_env=False
        ) as client:
            order = {"prompt": "x", "tempo_bpm": 120, "bars": 1}
            answers = await asyncio.gather(*(client.post("/v1/loops", json=order) for _ in range(100)))
        return Counter(answer.status_code for answer in answers)

    with serving(house) as server:
        with server.http() as http:
            tokens = http.post("/v1/quotes", json={"prompt": "x", "tempo_bpm": 120, "bars": 1}).json()["tokens"]
        house.grant(10 * tokens)  # from outside, while the server runs
        statuses = asyncio.run(ask(server.url))

    assert statuses == {200: 10, 402: 90}
    assert house.audit() == CLEAN
