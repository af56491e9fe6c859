"""What every host program talks to in these tests: a gateway's process on money, and a bridge's process over it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.gateway_process import PROGRAM, GatewayProcess

from loopmeter import Loopmeter, LoopRequest
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all

ADDONS = Path(__file__).parents[3] / "integrations"
GRANT_TOKENS = 1_000_000
PROGRAM_S_MAX = 90.0

# What each host asks for: a short loop, and one so long (405 chunks) that a cancel after its first chunk is in time.
ASKED = LoopRequest(prompt="dusty drums", tempo_bpm=96, bars=2, key="Am", seed=7)
LONG_BARS, LONG_BPM, LONG_CHUNKS = 50, 40, 405


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is absent; ``make system-packages`` installs all of them."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: run make system-packages as root")


def run_host(*command: str, cwd: Path | None = None, **environment: str) -> list[str]:
    """The lines that a host's program prints, both streams together. Raises ``AssertionError`` when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PROGRAM_S_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} gave {done.returncode} and said:\n{done.stdout}"
    return done.stdout.splitlines()


class Studio:
    """``url`` and ``key`` are the gateway's, ``port`` is the bridge's on 127.0.0.1."""

    def __init__(self, gateway: GatewayProcess, key: str, port: int, folder: Path) -> None:
        self.gateway = gateway
        self.url = gateway.url
        self.key = key
        self.port = port
        self.folder = folder

    def client(self) -> Loopmeter:
        return Loopmeter(self.url, self.key)


@contextmanager
def open_studio(root: Path) -> Iterator[Studio]:
    """A gateway with the fake engine, a customer, and a bridge that spends the customer's tokens."""
    gateway = GatewayProcess(root)
    gateway.start()
    try:
        key = gateway.customer("host", GRANT_TOKENS)
        environment = os.environ | {"LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": key}
        command = [*PROGRAM, "bridge", "--listen", "127.0.0.1:0", "--out", str(root / "loops")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as bridge:
            try:
                assert bridge.stdout is not None
                found = re.search(r"listening on osc\.udp://127\.0\.0\.1:(\d+)", bridge.stdout.readline())
                assert found is not None
                yield Studio(gateway, key, int(found[1]), root / "loops")
            finally:
                bridge.terminate()
    finally:
        gateway.stop()


def check_conversation(studio: Studio, lines: list[str], plain: Callable[[str], str] = str.strip) -> None:
    """What a host heard, a line for each answer, against the gateway's books and the files.

    The host says hello (id ``h``), asks the price of ``ASKED`` (``q``), makes it (``take1``), makes the long loop
    (``long``) and cancels it at its first progress, and asks for a loop in the key of H (``bad``). A line is the
    answer's name below ``/loopmeter/`` and its arguments, with spaces between.
    """
    heard = _heard(lines, plain)
    assert heard["welcome", "h"][0][1:] == ["loopmeter", "1"]
    ((code, *message),) = heard["error", "bad"]
    assert code == "bad_arguments"
    assert "key: expected a key such as" in " ".join(message).replace("\\", "")
    check_made_and_cancelled(studio, lines, plain)


def check_made_and_cancelled(studio: Studio, lines: list[str], plain: Callable[[str], str] = str.strip) -> None:
    """The part of ``check_conversation`` that is about money and files."""
    heard = _heard(lines, plain)
    frames, chunks = _length(ASKED)
    ((tokens, *length),) = heard["quoted", "q"]
    assert [whole(value) for value in length] == [frames, chunks]
    ((job, held),) = heard["accepted", "take1"]
    assert whole(held) == whole(tokens)
    progress = heard["progress", "take1"]
    assert [whole(values[0]) for values in progress] == list(range(1, chunks + 1))
    assert whole(progress[-1][2]) == whole(tokens)
    ((wav_path, midi_path, *numbers),) = heard["ready", "take1"]
    assert [float(number) for number in numbers] == [frames, 96, whole(tokens)]
    with wave.open(wav_path) as wav:
        assert wav.readframes(frames + 1) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), ASKED))
    assert Path(midi_path).read_bytes() == FakeEngine().score(ASKED).midi
    ((stopped_job, _),) = heard["accepted", "long"]
    ((stopped_tokens, *_),) = heard["cancelled", "long"]
    with studio.client() as client:
        made, stopped = client.loops.get(job), client.loops.get(stopped_job)
    assert (made.state, made.tokens_charged) == ("completed", whole(tokens))
    assert stopped.state == "cancelled"
    assert 1 <= stopped.chunks_delivered < LONG_CHUNKS
    assert stopped.tokens_charged == whole(stopped_tokens) < stopped.tokens_quoted


def _heard(lines: list[str], plain: Callable[[str], str]) -> dict[tuple[str, str], list[list[str]]]:
    """The arguments of every answer, by its name and its id."""
    heard: dict[tuple[str, str], list[list[str]]] = {}
    for line in lines:
        name, _, rest = plain(line).partition(" ")
        own_id, _, values = rest.partition(" ")
        heard.setdefault((name, own_id), []).append(values.split())
    return heard


def whole(value: str) -> int:
    """A whole number as a host prints it: ``800``, ``800.0`` or ``8e2``."""
    number = float(value)
    assert number == int(number), value
    return int(number)


def _length(request: LoopRequest) -> tuple[int, int]:
    plan = FakeEngine().plan(request)
    return plan.frames, len(plan.chunk_frames)
