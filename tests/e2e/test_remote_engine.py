"""An engine in processes of its own, killed in the middle of a stream: nobody hears it, nobody pays for it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from loopmeter import ChunkReceived, LivePrompt, LiveRequest, Loopmeter
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.processes.count import default_processes
from loopmeter_engine.testing import make_all, make_live

from .gateway_process import PROGRAM, GatewayProcess, running


class EngineProcess:
    """``loopmeter engine serve``: starts, is killed, and starts again on the same port."""

    def __init__(self, folder: Path, engine: str = "fake") -> None:
        self._engine = engine
        self._log = folder / "engine.log"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "engine", "serve", "--engine", self._engine, "--port", port],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on http://"), self._log.read_text()
        self.url = line.removeprefix("listening on ").strip()

    def kill(self) -> None:
        """As a power cut: SIGKILL, no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=20)
            self._process = None

    def kill_and_start(self) -> None:
        self.kill()
        self.start()


@pytest.fixture(params=["at an address", "in processes of the gateway's"])
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[GatewayProcess, Callable[[], None]]]:
    """A gateway, and how all of its engine is killed and starts again."""
    if request.param == "at an address":
        engine = EngineProcess(tmp_path)
        engine.start()
        gateway, kill = GatewayProcess(tmp_path, engine.url), engine.kill_and_start
        try:
            for running_gateway in running(gateway):
                yield running_gateway, kill
        finally:
            engine.kill()
    else:
        gateway = GatewayProcess(tmp_path, "fake", "--engine-processes", "2")

        def kill_children() -> None:
            for pid in gateway.children():
                with contextlib.suppress(ProcessLookupError):  # It may be dead already, and not started again yet.
                    os.kill(pid, signal.SIGKILL)

        for running_gateway in running(gateway):
            assert len(gateway.children()) == 2
            yield running_gateway, kill_children


Killed = tuple[GatewayProcess, Callable[[], None]]


def test_an_engine_killed_in_mid_stream_is_neither_heard_nor_paid_for(killed: Killed) -> None:
    gateway, kill = killed
    with Loopmeter(gateway.url, api_key=gateway.customer("ada", 5000)) as client:
        parts: list[bytes] = []
        # Five minutes of hifi are more than sockets hold: the engine has not made all when it dies.
        with client.loops.stream("x", tempo_bpm=100, bars=120, quality="hifi") as stream:
            for chunk in stream:
                parts.append(chunk.pcm)
                if len(parts) in (5, 90):
                    kill()
            job = client.loops.get(stream.started.job)
        balance = client.balance()

    assert (job.state, job.chunks_delivered) == ("completed", job.chunks)
    assert len(parts) == job.chunks > 300
    assert job.tokens_charged == job.tokens_quoted == 5000 - balance.available
    assert b"".join(parts) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), job.request))


def test_an_endless_session_outlives_the_engine_it_is_played_by(killed: Killed) -> None:
    gateway, kill = killed
    chunks: list[ChunkReceived] = []
    with Loopmeter(gateway.url, api_key=gateway.customer("ada", 5000)) as client:
        with client.live("dusty drums", tempo_bpm=120, seed=7) as session:
            for event in session:
                if isinstance(event, ChunkReceived):
                    chunks.append(event)
                if len(chunks) == 3 and not session.ended:
                    kill()
                if len(chunks) == 12:
                    session.stop()
            charged = session.tokens_charged
        balance = client.balance()

    request = LiveRequest(prompts=(LivePrompt(text="dusty drums"),), tempo_bpm=120, seed=7)
    alone = make_live(FakeEngine(), request, [], len(chunks), 1)
    assert len(chunks) >= 12 and [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.pcm for chunk in chunks] == [chunk.pcm for chunk in alone]
    assert charged == 5000 - balance.available == chunks[-1].meter.tokens_total


def test_our_engine_is_served_from_processes_by_default_which_end_with_the_gateway(tmp_path: Path) -> None:
    expected = default_processes("loopmeter")  # 0 where there is one core only.
    gateway = GatewayProcess(tmp_path, "loopmeter")
    gateway.start()
    children = gateway.children()
    ready = httpx.get(f"{gateway.url}/readyz").json()
    loaded = Path(f"/proc/{gateway.pid}/maps").read_text()
    watched = [os.pidfd_open(pid) for pid in children]
    gateway.kill()

    assert (len(children), ready["engine_processes"]) == (expected, str(expected))
    assert ("libtorch" in loaded) == (expected == 0)
    for descriptor in watched:
        ended, _, _ = select.select([descriptor], [], [], 30)
        os.close(descriptor)
        assert ended


def test_an_engine_process_beyond_loopback_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOPMETER_ENGINE_TOKEN", raising=False)
    call = [*PROGRAM, "engine", "serve", "--engine", "fake", "--host", "0.0.0.0", "--port", "0"]
    failed = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert "expected a loopback address or a token in LOOPMETER_ENGINE_TOKEN, found 0.0.0.0" in failed.stderr
