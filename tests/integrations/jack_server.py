"""A real JACK server on its dummy driver, under a name of its own, and a client that records."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any, NoReturn

import numpy as np
import pytest
from tests.integrations.hosts.jack import end_process, server_name

from loopmeter_integrations.playback import FrameTimes
from loopmeter_integrations.playback._jack import library_lock
from loopmeter_integrations.playback._mixer import Frames

RATE_HZ = 48_000
PERIOD = 2048  # Large, for machines that do other things too.
PROBE = "import jack, sys; jack.Client('probe', servername=sys.argv[1], no_start_server=True).close()"

needs_jack = pytest.mark.skipif(shutil.which("jackd") is None, reason="needs jackd2")


@contextlib.contextmanager
def jack_server() -> Iterator[str]:
    """The name of a server of our own, once it takes clients."""
    with server_name() as name, contextlib.ExitStack() as ending:
        ending.callback(end_process, start_server(name))
        yield name


def start_server(name: str, rate_hz: int = RATE_HZ) -> subprocess.Popen[bytes]:
    """A server that takes clients; ``end_process`` ends it."""
    command = ["jackd", "-r", "-n", name, "-d", "dummy", "-r", str(rate_hz), "-p", str(PERIOD)]
    quiet = {"JACK_NO_AUDIO_RESERVATION": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, **quiet), close_fds=False)
        until_s = time.monotonic() + 20
        # In a process of its own: in this one another thread may be in libjack, too.
        while subprocess.run([sys.executable, "-c", PROBE, name], stderr=subprocess.DEVNULL).returncode != 0:
            if process.poll() is not None:
                _explain(log)
            if time.monotonic() > until_s:
                end_process(process)
                raise AssertionError("jackd does not take clients")
            time.sleep(0.05)
        return process


def _explain(log: IO[bytes]) -> NoReturn:
    log.seek(0)
    said = log.read().decode(errors="replace")
    if "Too many servers" in said:
        pytest.skip("JACK's list of servers is full of living ones, or of those of another user")
    raise AssertionError(f"jackd ended: {said}")


def _opened(server: str) -> Any:
    """A client; asked for again when the server is busy with one that just died."""
    import jack

    for _ in range(20):
        with library_lock, contextlib.suppress(jack.JackOpenError):
            return jack.Client("recorder", servername=server, no_start_server=True)
        time.sleep(0.1)
    raise AssertionError("the server takes no recorder")


class Recorder:
    """Keeps what ``source``'s first port plays, with the server's frame numbers."""

    def __init__(self, server: str, source: str) -> None:
        self._client = _opened(server)
        self._port = self._client.inports.register("in")
        self._blocks: list[tuple[int, Frames]] = []
        self._cycles: list[tuple[int, float]] = []
        self._source = source
        self._xruns: list[int] = []
        self._client.set_process_callback(self._process)
        self._client.set_xrun_callback(self._xrun)

    def _process(self, count: int) -> None:
        now_s = time.monotonic() - self._client.frames_since_cycle_start / RATE_HZ
        frame = self._client.last_frame_time
        self._cycles.append((frame, now_s))
        self._blocks.append((frame, self._port.get_array().copy()))

    def _xrun(self, _: float) -> None:
        self._xruns.append(self._client.frame_time)

    def __enter__(self) -> Recorder:
        self._client.activate()
        self._client.connect(f"{self._source}:out_1", self._port)
        return self

    def __exit__(self, *_: object) -> None:
        with library_lock:
            self._client.deactivate()
            self._client.close()

    def sound(self) -> tuple[int, Frames]:
        """The number of the first frame, and everything from there on without a hole."""
        blocks = list(self._blocks)  # The recording may go on.
        first = blocks[0][0]
        length = blocks[-1][0] - first + PERIOD
        sound = np.full(length, np.nan, np.float32)
        for frame, block in blocks:
            sound[frame - first : frame - first + len(block)] = block
        return first, sound

    def unbroken(self) -> list[Frames]:
        """The stretches between cycles that the server itself lost, with three periods left out around each loss."""
        first, sound = self.sound()
        good = ~np.isnan(sound)
        for frame in self._xruns:
            good[max(0, frame - first - 2 * PERIOD) : frame - first + PERIOD] = False
        for edge in np.flatnonzero(np.diff(good.astype(int))):
            good[max(0, edge - PERIOD) : edge + 3 * PERIOD] = False
        stretches = np.split(sound, np.flatnonzero(np.diff(good.astype(int))) + 1)
        flags = np.split(good, np.flatnonzero(np.diff(good.astype(int))) + 1)
        return [stretch for stretch, flag in zip(stretches, flags, strict=True) if flag[0]]

    async def unbroken_half_second(self) -> Frames:
        """The longest stretch, once it is that long and past what had been asked for before."""
        while True:
            await asyncio.sleep(1.5)
            stretches = self.unbroken() if self._blocks else []
            if stretches and len(longest := max(stretches, key=len)) >= RATE_HZ // 2:
                return longest

    def time_of(self, frame: int) -> float:
        """When the cycle of ``frame`` began plus the rest, by the earliest wake-ups of the whole recording."""
        times = FrameTimes(RATE_HZ)
        estimate = 0.0
        for first, now_s in self._cycles:
            estimate = times.asked(first, now_s) + (frame - first) / RATE_HZ
            if first > frame:
                break
        return estimate
