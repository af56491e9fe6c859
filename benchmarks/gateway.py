"""What the gateway costs: ``python -m benchmarks.gateway`` prints a table; ``measure`` gives its rows.

One server process serves the gateway and, beside it, bare routes without auth, price, hold, ledger or database. Both
answer in turn, so that whatever else the machine does hits both. Figures are medians.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import uvicorn
from benchmarks import table
from litestar import post
from litestar.params import JSONBody
from litestar.response import Stream

from loopmeter import LoopRequest, wav_header
from loopmeter_engine.contract import Chunk
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway import admin
from loopmeter_gateway.app import create_app
from loopmeter_gateway.settings import Settings

ORDERS = 300
STREAMS = 7
LEASE_CHUNKS = 4
LOOP = {"prompt": "benchmark", "tempo_bpm": 120, "bars": 60, "quality": "hifi"}  # 120 s, 31.8 MB, 163 chunks


class Row(NamedTuple):
    """One figure. ``bar`` is what the design asks for at first."""

    what: str
    bare: str
    gateway: str
    difference: str
    bar: str


def measure() -> list[Row]:
    """Start servers, measure, stop them. Takes about half a minute."""
    rows = [_latency(paused=0.05)]
    # The pace of an engine at 10 and at 40 times real time (a chunk is 0.74 s of sound), and one that costs nothing.
    for name, pause_s, bar in (("10 x real time", 0.0743, "0.8 x"), ("40 x", 0.0186, "0.8 x"), ("no engine", 0.0, "-")):
        rows.append(_throughput(name, pause_s, bar))
    return rows


def _latency(paused: float) -> Row:
    """To the answer of an order, while the engine is busy but the machine is not."""
    body = LOOP | {"bars": 4}
    with _server(paused) as (http, key):
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        bare, full = [], []
        for number in range(ORDERS):
            bare.append(_seconds(partial(http.post, "/bare/order", json=body)))
            full.append(_seconds(partial(http.post, "/v1/loops", json=body | {"seed": number}, headers=headers)))
    p50 = [statistics.median(times) * 1000 for times in (bare, full)]
    p99 = [statistics.quantiles(times, n=100)[98] * 1000 for times in (bare, full)]
    return Row(
        "order to answer, p50 (p99)",
        f"{p50[0]:.2f} ms ({p99[0]:.1f})",
        f"{p50[1]:.2f} ms ({p99[1]:.1f})",
        f"+{p50[1] - p50[0]:.2f} ms",
        "5 ms",
    )


def _throughput(name: str, pause_s: float, bar: str) -> Row:
    """Of one WAV stream, from order to last byte."""
    body = LOOP if pause_s < 0.05 else LOOP | {"bars": 15}
    with _server(pause_s) as (http, key):
        headers = {"Authorization": f"Bearer {key}", "Accept": "audio/wav"}
        bare, full = [], []
        for number in range(STREAMS if pause_s == 0 else 3):
            bare.append(_rate(http, "/bare/stream", body, {}))
            full.append(_rate(http, "/v1/loops", body | {"seed": number}, headers))
    rates = [statistics.median(found) for found in (bare, full)]
    return Row(f"stream, {name}", f"{rates[0]:.1f} MB/s", f"{rates[1]:.1f} MB/s", f"{rates[1] / rates[0]:.2f} x", bar)


def _seconds(call: Callable[[], httpx.Response]) -> float:
    start = time.perf_counter()
    call().raise_for_status()
    return time.perf_counter() - start


def _rate(http: httpx.Client, path: str, body: dict[str, object], headers: dict[str, str]) -> float:
    start, size = time.perf_counter(), 0
    with http.stream("POST", path, json=body, headers=headers) as answer:
        answer.raise_for_status()
        for block in answer.iter_raw():
            size += len(block)
    return size / 1e6 / (time.perf_counter() - start)


@contextmanager
def _server(pause_s: float) -> Iterator[tuple[httpx.Client, str]]:
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/bench.db"
        customer_id = str(admin.create_customer(db, "bench")["customer_id"])
        admin.grant(db, customer_id, 10**9)
        key = str(admin.create_key(db, customer_id)["key"])
        command = [sys.executable, "-m", "benchmarks.gateway", "serve", db, folder, str(pause_s)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
                yield http, key
        finally:
            process.kill()
            process.communicate()


def _serve(db: str, folder: str, pause_s: float) -> None:
    engine = FakeEngine(chunk_delay_s=pause_s)
    threads = ThreadPoolExecutor(1)

    @post("/bare/order", status_code=200)
    async def bare_order(data: JSONBody[LoopRequest]) -> LoopRequest:
        return data

    @post("/bare/stream", status_code=200)
    async def bare_stream(data: JSONBody[LoopRequest]) -> Stream:
        return Stream(_bare_sound(engine, threads, data), media_type="audio/wav")

    app = create_app(Settings(db=db, data=Path(folder)), engine)
    app.register(bare_order)
    app.register(bare_stream)
    config = uvicorn.Config(app, port=0, loop="uvloop", http="httptools", log_level="error", access_log=False)
    listener = config.bind_socket()
    listener.listen()  # From here on clients may knock; they are answered once the server is up.
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


async def _bare_sound(engine: FakeEngine, threads: ThreadPoolExecutor, request: LoopRequest) -> AsyncIterator[bytes]:
    """The same engine in a thread, the same run-ahead, and nothing else."""
    loop = asyncio.get_running_loop()
    plan = engine.plan(request)
    chunks: asyncio.Queue[Chunk] = asyncio.Queue()
    room = asyncio.Semaphore(LEASE_CHUNKS)

    async def make() -> None:
        state, index = None, 0
        while index < len(plan.chunk_frames):
            count = min(LEASE_CHUNKS, len(plan.chunk_frames) - index)
            for _ in range(count):
                await room.acquire()
            state = await loop.run_in_executor(threads, _lease, index, count, state)
            index += count

    def _lease(index: int, count: int, state: bytes | None) -> bytes | None:
        for chunk in engine.lease(plan.request, index, count, state):
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            state = chunk.state_after
        return state

    maker = loop.create_task(make())
    yield wav_header(plan.frames, plan.sample_rate_hz, plan.channels, plan.bits)
    for _ in plan.chunk_frames:
        chunk = await chunks.get()
        room.release()
        yield chunk.pcm
    await maker


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        _serve(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return
    print(table.plain(Row._fields, measure()))


if __name__ == "__main__":
    main()
