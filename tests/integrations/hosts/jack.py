"""A JACK server without a sound card, and how to end what a test started."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def dummy_jack(home: Path) -> Iterator[dict[str, str]]:
    """A JACK server at 44,100 Hz without a card; gives the environment of its clients."""
    name = f"loopmeter{os.getpid()}"
    environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1", "JACK_DEFAULT_SERVER": name, "HOME": str(home)}
    with tempfile.TemporaryFile() as log:
        # A machine under load must not make JACK throw its clients out: ten seconds of patience.
        command = ["jackd", "-n", name, "-r", "-t", "10000", "-d", "dummy", "-r", "44100", "-p", "4096"]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as jack:
            try:
                yield environment
            finally:
                end_process(jack)


def end_process(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; JACK may hang in it, then SIGKILL."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
