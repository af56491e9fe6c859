"""What the SDK adds to the bytes: ``python -m benchmarks.sdk`` prints a table; ``measure`` gives its rows.

A gateway process runs the fake engine. The framed chunks of new loops and of a stored one are fetched in turn by bare
httpx, which counts bytes, and by the SDK, which checks and unpacks each chunk.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
from benchmarks import table
from scripts import programs

from loopmeter import CHUNKS_MEDIA_TYPE, AsyncLoopmeter, ChunkDecoder, ChunkReceived, Loopmeter, LoopRequest

TOKENS = 10**6
STREAMS = 24
FIRST_CHUNKS = 60
IMPORTS = 7
BARS = 60  # 120 s of hifi: 31.8 MB in 163 chunks.


class Row(NamedTuple):
    """One figure. ``bar`` is what the SDK promises."""

    what: str
    bare: str
    sdk: str
    difference: str
    bar: str


def measure(bars: int = BARS, streams: int = STREAMS, first_chunks: int = FIRST_CHUNKS) -> list[Row]:
    """Start a gateway, measure, stop it. Takes about 20 s."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with programs.gateway("fake", folder, folder / "gateway.log") as url:
            key = programs.open_account(folder, "bench", TOKENS)
            with (
                Loopmeter(url, key) as client,
                httpx.Client(base_url=url, headers=_headers(key), trust_env=False) as http,
            ):
                loop = client.loops.create("benchmark", tempo_bpm=120, bars=bars, quality="hifi")
                path = f"/v1/loops/{loop.id}/chunks?from=0"
                rows = [_made(client, http, bars, streams), _throughput(client, http, path, loop.id, streams)]
                rows.append(asyncio.run(_async_throughput(url, key, path, loop.id, streams)))
                rows.append(_first_chunk(client, http, path, loop.id, first_chunks))
    return [*rows, _import_row()]


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Accept": CHUNKS_MEDIA_TYPE}


def _throughput(client: Loopmeter, http: httpx.Client, path: str, job_id: str, streams: int) -> Row:
    def bare() -> int:
        with http.stream("GET", path) as answer:
            return sum(len(block) for block in answer.iter_bytes())

    def sdk() -> int:
        with client.loops.resume(job_id) as stream:
            return sum(len(chunk.pcm) for chunk in stream)

    rates: dict[Callable[[], int], list[float]] = {bare: [], sdk: []}
    for number in range(streams):
        for fetch in (bare, sdk) if number % 2 else (sdk, bare):
            began = time.perf_counter()
            rates[fetch].append(fetch() / (time.perf_counter() - began) / 1e6)
    return _rates("stream of a stored loop", rates[bare], rates[sdk])


async def _async_throughput(url: str, key: str, path: str, job_id: str, streams: int) -> Row:
    """As ``_throughput``, with the asyncio clients of both."""
    async with (
        AsyncLoopmeter(url, key) as client,
        httpx.AsyncClient(base_url=url, headers=_headers(key), trust_env=False) as http,
    ):

        async def bare() -> int:
            async with http.stream("GET", path) as answer:
                return sum([len(block) async for block in answer.aiter_bytes()])

        async def sdk() -> int:
            async with client.loops.resume(job_id) as stream:
                return sum([len(chunk.pcm) async for chunk in stream])

        rates: dict[Callable[[], Awaitable[int]], list[float]] = {bare: [], sdk: []}
        for number in range(streams):
            for fetch in (bare, sdk) if number % 2 else (sdk, bare):
                began = time.perf_counter()
                rates[fetch].append(await fetch() / (time.perf_counter() - began) / 1e6)
    return _rates("the same with asyncio", rates[bare], rates[sdk])


def _rates(what: str, bare: list[float], sdk: list[float]) -> Row:
    """Of the faster quarter of the streams: what others do on the machine only slows, and one best is luck."""
    rates = [statistics.fmean(sorted(found)[-max(1, len(found) // 4) :]) for found in (bare, sdk)]
    return Row(what, f"{rates[0]:.0f} MB/s", f"{rates[1]:.0f} MB/s", f"{rates[1] / rates[0]:.2f} x", "0.9 x")


def _made(client: Loopmeter, http: httpx.Client, bars: int, streams: int) -> Row:
    """New loops from an engine that costs nothing; each is made once, for one of the two."""

    def bare(request: LoopRequest) -> int:
        with http.stream("POST", "/v1/loops", json=request.model_dump(exclude_none=True)) as answer:
            return sum(len(block) for block in answer.iter_bytes())

    def sdk(request: LoopRequest) -> int:
        with client.loops.stream(request) as stream:
            return sum(len(chunk.pcm) for chunk in stream)

    rates: dict[Callable[[LoopRequest], int], list[float]] = {bare: [], sdk: []}
    half = LoopRequest(prompt="benchmark", tempo_bpm=120, bars=max(1, bars // 2), quality="hifi")
    for number in range(streams):
        for fetch in (bare, sdk) if number % 2 else (sdk, bare):
            seed = 1 + 2 * number + (fetch is sdk)  # 0 is the loop of the other rows.
            began = time.perf_counter()
            rates[fetch].append(fetch(half.model_copy(update={"seed": seed})) / (time.perf_counter() - began) / 1e6)
    return _rates("stream of a loop in the making", rates[bare], rates[sdk])


def _first_chunk(client: Loopmeter, http: httpx.Client, path: str, job_id: str, times: int) -> Row:
    """From the call to the first chunk: its last byte at bare httpx, its event from the SDK."""
    size = _first_chunk_bytes(http, path)
    bare, sdk = [], []
    for _ in range(times):
        began, received = time.perf_counter(), 0
        with http.stream("GET", path) as answer:
            for block in answer.iter_bytes():
                received += len(block)
                if received >= size:
                    bare.append((time.perf_counter() - began) * 1000)
                    break
        began = time.perf_counter()
        with client.loops.resume(job_id, detach=True) as stream:
            next(stream)
            sdk.append((time.perf_counter() - began) * 1000)
    p50 = [statistics.median(found) for found in (bare, sdk)]
    return Row("first chunk, p50", f"{p50[0]:.2f} ms", f"{p50[1]:.2f} ms", f"+{p50[1] - p50[0]:.2f} ms", "2 ms")


def _first_chunk_bytes(http: httpx.Client, path: str) -> int:
    """How many bytes of the stream it takes until the first chunk is complete."""
    decoder, size = ChunkDecoder(), 0
    with http.stream("GET", path) as answer:
        for block in answer.iter_bytes(1024):
            decoder.receive(block)
            size += len(block)
            if any(isinstance(event, ChunkReceived) for event in decoder.events()):
                return size
    raise RuntimeError(f"expected a chunk in the stream, found none in {size} bytes")


def _import_row() -> Row:
    """``import loopmeter`` against a Python that imports nothing: processor time of whole processes."""
    nothing, sdk = [], []
    for _ in range(IMPORTS):
        nothing.append(_process_ms("pass"))
        sdk.append(_process_ms("import loopmeter"))
    least = [min(found) for found in (nothing, sdk)]  # What others do on the machine only adds.
    difference = f"+{least[1] - least[0]:.0f} ms"
    return Row(f"import, least of {IMPORTS}", f"{least[0]:.0f} ms", f"{least[1]:.0f} ms", difference, "200 ms")


def _process_ms(code: str) -> float:
    """User and system time: unlike time on the wall, it does not grow when others use the cores."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def main() -> None:
    print(table.plain(Row._fields, measure()))


if __name__ == "__main__":
    main()
