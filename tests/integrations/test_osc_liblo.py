"""Real peers all the way: liblo's oscsend and oscdump, the bridge's process, the gateway's process, the ledger."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from loopmeter import Loopmeter, LoopRequest
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all
from loopmeter_gateway import admin

WAIT_S = 30.0
GRANT_TOKENS = 10_000
LOOPMETER = str(Path(sys.executable).with_name("loopmeter"))

pytestmark = pytest.mark.skipif(
    shutil.which("oscsend") is None or shutil.which("oscdump") is None, reason="needs liblo-tools"
)


class Process:
    """A program whose output is read line by line, and which is stopped in the end."""

    def __init__(self, *command: str, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LOOPMETER_")}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean | environment
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def line(self, wait_s: float = WAIT_S) -> str:
        """The next line. Raises ``queue.Empty`` when none comes in time."""
        return self._lines.get(timeout=wait_s)

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As a power cut does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)

    def stop(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return status

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))


@contextlib.contextmanager
def running(*command: str, **environment: str) -> Iterator[Process]:
    process = Process(*command, **environment)
    try:
        yield process
    finally:
        process.stop()


class Studio:
    """A gateway on money, a bridge, and a listening oscdump."""

    def __init__(self, bridge: str, oscdump: Process, dump_port: int, folder: Path, client: Loopmeter) -> None:
        self.bridge = bridge
        self.folder = folder
        self.client = client
        self._oscdump = oscdump
        self._dump_port = dump_port

    def send(self, address: str, types: str, *values: str) -> None:
        arguments = (*values, "reply_port", str(self._dump_port))
        subprocess.run(["oscsend", self.bridge, address, f"{types}si", *arguments], check=True, timeout=WAIT_S)

    def heard(self) -> str:
        """The next message as oscdump prints it, without its time stamp."""
        return re.sub(r"^[0-9a-f.]+ ", "", self._oscdump.line())


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("studio")
    db, folder = f"sqlite:///{root}/loopmeter.db", root / "loops"
    customer = str(admin.create_customer(db, "ada")["customer_id"])
    key = str(admin.create_key(db, customer)["key"])
    admin.grant(db, customer, GRANT_TOKENS)
    serve = ("serve", "--port", "0", "--db", db, "--engine", "fake", "--data", str(root / "data"))
    with running(LOOPMETER, *serve) as gateway:
        url = gateway.line().removeprefix("listening on ")
        bridge_command = ("bridge", "--listen", "127.0.0.1:0", "--out", str(folder))
        dump_port = _free_udp_port()
        with (
            running(LOOPMETER, *bridge_command, LOOPMETER_URL=url, LOOPMETER_API_KEY=key) as bridge,
            running("oscdump", "-L", str(dump_port)) as oscdump,
        ):
            address = bridge.line().removeprefix("listening on ")
            with Loopmeter(url, key) as client:
                _wake(oscdump, dump_port)
                yield Studio(address, oscdump, dump_port, folder, client)


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wake(oscdump: Process, port: int) -> None:
    """oscdump does not say when it listens: ask until it prints, then read up to the last question."""
    for attempt in itertools.count():
        subprocess.run(["oscsend", "127.0.0.1", str(port), "/awake", "i", str(attempt)], check=True, timeout=WAIT_S)
        with contextlib.suppress(queue.Empty):
            line = oscdump.line(0.2)
            break
        assert attempt < 100, "oscdump does not listen"
    while not line.endswith(f"/awake i {attempt}"):
        line = oscdump.line()


def test_a_loop_by_oscsend_is_accepted_made_written_and_paid(studio: Studio) -> None:
    studio.send("/loopmeter/loop", "ssfissss", "take1", "dusty drums", "92.5", "2", "Am", "standard", "layers", "drums")
    request = LoopRequest(prompt="dusty drums", tempo_bpm=92.5, bars=2, key="Am", layers=("drums",))
    plan = FakeEngine().plan(request)
    chunks = len(plan.chunk_frames)

    accepted = re.fullmatch(r'/loopmeter/accepted ssi "take1" "(\S+)" (\d+)', studio.heard())
    assert accepted is not None
    price = int(accepted[2])  # Dearer at peak hours, so not the same at every hour.
    for number in range(1, chunks + 1):
        tokens = price * sum(plan.chunk_frames[:number]) // plan.frames
        assert studio.heard() == f'/loopmeter/progress siii "take1" {number} {chunks} {tokens}'
    ready = re.fullmatch(
        rf'/loopmeter/ready sssifi "take1" "(\S+\.wav)" "(\S+\.mid)" {plan.frames} 92\.500000 {price}', studio.heard()
    )
    assert ready is not None

    wav_path, midi_path = map(Path, ready.groups())
    assert plan.frames == round(2 * 4 * 60 / 92.5 * 44_100)
    with wave.open(str(wav_path)) as wav:
        assert wav.getparams()[:4] == (1, 2, 44_100, plan.frames)
        assert wav.readframes(plan.frames) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), request))
    assert midi_path.read_bytes() == FakeEngine().score(request).midi
    assert wav_path.parent == midi_path.parent == studio.folder
    job = studio.client.loops.get(accepted[1])
    assert (job.state, job.tokens_charged, job.tokens_quoted) == ("completed", price, price)


def test_hello_quote_and_balance_by_oscsend(studio: Studio) -> None:
    studio.send("/loopmeter/hello", "i", "5")
    assert (
        studio.heard() == f'/loopmeter/welcome sssi "5" "{version("loopmeter")}" "{studio.client.models()[0].name}" 1'
    )
    before = studio.client.quote("drums", tempo_bpm=120, bars=1, quality="hifi").tokens
    studio.send("/loopmeter/quote", "ssfiss", "q", "drums", "120", "1", "", "hifi")
    quoted = re.fullmatch(r'/loopmeter/quoted siii "q" (\d+) 88200 4', studio.heard())
    after = studio.client.quote("drums", tempo_bpm=120, bars=1, quality="hifi").tokens
    assert quoted is not None
    assert int(quoted[1]) in (before, after)
    studio.send("/loopmeter/balance", "s", "b")
    balance = studio.client.balance()
    assert studio.heard() == f'/loopmeter/balance sii "b" {balance.available} {balance.held}'


@pytest.mark.parametrize(
    ("types", "values", "said"),
    [
        ("ssfiss", ("e", "drums", "0", "4", "Am", "standard"), "bpm: expected greater than or equal to 40, found 0.0"),
        ("ssfiss", ("e", "drums", "92", "10000", "Am", "standard"), "bars: expected less than or equal to 256"),
        ("ssfiss", ("e", "drums", "40", "256", "Am", "standard"), "bars: expected "),
        ("ssfiss", ("e", "drums", "92", "4", "H", "standard"), "key: expected a key such as 'Am'"),
        ("sssiss", ("e", "drums", "fast", "4", "Am", "standard"), "bpm: expected a number, found the string 'fast'"),
    ],
    ids=["bpm 0", "bars 10000", "longer than 300 s", "unknown key", "wrong type"],
)
def test_a_mistake_by_oscsend_is_named_and_costs_nothing(
    studio: Studio, types: str, values: tuple[str, ...], said: str
) -> None:
    before = studio.client.balance()
    studio.send("/loopmeter/loop", types, *values)
    answer = studio.heard()
    assert answer.startswith('/loopmeter/error sss "e" "bad_arguments" ')
    assert said in answer
    assert studio.client.balance() == before


def test_a_live_session_is_steered_and_stopped_by_oscsend(studio: Studio) -> None:
    studio.send("/loopmeter/live/start", "ssfsssi", "jam", "dusty drums", "120", "Am", "standard", "max_tokens", "2000")
    started = re.fullmatch(r'/loopmeter/live/started ssiii "jam" "(\S+)" 44100 (\d+) (\d+)', studio.heard())
    assert started is not None
    studio.send("/loopmeter/live/set", "ssf", "jam", "density", "0.8")
    studio.send("/loopmeter/live/set", "ssf", "jam", "prompt:deep house", "2")
    studio.send("/loopmeter/live/set", "ssf", "jam", "kazoo", "1")
    chunks: list[Path] = []
    others: list[str] = []
    while len(others) < 3 or len(chunks) < 4:
        heard = studio.heard()
        chunk = re.fullmatch(r'/loopmeter/live/chunk sisii "jam" (\d+) "(\S+)" (\d+) (\d+)', heard)
        if chunk is None:
            others.append(heard)
            continue
        assert int(chunk[1]) == len(chunks)
        chunks.append(Path(chunk[2]))
        with wave.open(chunk[2]) as wav:
            assert wav.getnframes() == int(chunk[3]) == int(started[2])
    assert '"name: expected bpm, density, intensity' in next(line for line in others if "/error " in line)
    applied = [line for line in others if "/live/applied" in line]
    assert sorted(line.split('"')[3] for line in applied) == ["density", "prompt:deep house"]
    studio.send("/loopmeter/live/stop", "s", "jam")
    while (heard := studio.heard()).startswith("/loopmeter/live/chunk"):
        chunks.append(studio.folder)
    ended = re.fullmatch(r'/loopmeter/live/ended ssii "jam" "stopped" (\d+) (\d+)', heard)
    assert ended is not None
    assert int(ended[1]) == len(chunks)
    assert studio.client.loops.get(started[1]).tokens_charged == int(ended[2])


class Connected:
    """liblo on a TCP connection to the bridge; what it hears is on the connection, or on a UDP port with SLIP."""

    def __init__(self, process: Process, framing: str) -> None:
        self._process = process
        own_port = process.line()
        self._options = ("reply_port", own_port) if framing == "slip" else ()

    def send(self, address: str, types: str, *values: str) -> None:
        options = "si" if self._options else ""
        self._process.say("\t".join((address, types + options, *values, *self._options)))

    def heard(self) -> list[str]:
        return self._process.line().split("\t")


@pytest.fixture(params=["length", "slip"])
def connected(studio: Studio, request: pytest.FixtureRequest) -> Iterator[Connected]:
    port = studio.bridge.rpartition(":")[2]
    script = str(Path(__file__).with_name("liblo_client.py"))
    with running(sys.executable, script, port.strip("/"), request.param) as process:
        yield Connected(process, request.param)


def test_quote_loop_progress_and_ready_by_liblo_over_tcp(studio: Studio, connected: Connected) -> None:
    connected.send("/loopmeter/hello", "s", "h")
    assert connected.heard()[:3] == ["/loopmeter/welcome", "sssi", "h"]
    connected.send("/loopmeter/quote", "ssfiss", "q", "drums", "120", "1", "Am", "standard")
    quoted = connected.heard()
    assert quoted[:3] == ["/loopmeter/quoted", "siii", "q"]
    connected.send("/loopmeter/loop", "ssfiss", "take", "drums", "120", "1", "Am", "standard")
    accepted = connected.heard()
    assert accepted[:3] == ["/loopmeter/accepted", "ssi", "take"]
    for number in range(1, 5):
        assert connected.heard()[:5] == ["/loopmeter/progress", "siii", "take", str(number), "4"]
    ready = connected.heard()
    assert ready[:3] == ["/loopmeter/ready", "sssifi", "take"]
    with wave.open(ready[3]) as wav:
        assert wav.getnframes() == int(ready[5]) == 88_200
    assert studio.client.loops.get(accepted[3]).tokens_charged == int(ready[7])


def test_errors_and_cancel_by_liblo_over_tcp(studio: Studio, connected: Connected) -> None:
    connected.send("/loopmeter/loop", "ssfiss", "bad", "drums", "0", "1", "Am", "standard")
    assert connected.heard()[:4] == ["/loopmeter/error", "sss", "bad", "bad_arguments"]
    connected.send("/loopmeter/nonesuch", "s", "n")
    assert connected.heard()[2:4] == ["n", "unknown_address"]
    # 240 s: it cannot be made before the cancel is heard.
    connected.send("/loopmeter/loop", "ssfiss", "long", "drums", "60", "60", "Am", "hifi")
    accepted = connected.heard()
    connected.send("/loopmeter/cancel", "s", "long")
    answers = [connected.heard()]
    while answers[-1][0] == "/loopmeter/progress":
        answers.append(connected.heard())
    assert answers[-1][:3] == ["/loopmeter/cancelled", "si", "long"]
    job = studio.client.loops.get(accepted[3])
    assert (job.state, job.tokens_charged) == ("cancelled", int(answers[-1][3]))


def test_a_sender_that_hangs_up_at_once_is_answered_where_it_says(studio: Studio) -> None:
    """``oscsend`` closes its connection behind the message."""
    tcp = studio.bridge.replace("osc.udp", "osc.tcp")
    with running("oscdump", "-L", str(port := _free_udp_port())) as oscdump:
        _wake(oscdump, port)
        arguments = ["ssfisssi", "t", "drums", "120", "1", "Am", "standard", "reply_port", str(port)]
        subprocess.run(["oscsend", tcp, "/loopmeter/loop", *arguments], check=True, timeout=WAIT_S)
        lines = [oscdump.line() for _ in range(6)]
    assert "/loopmeter/ready" in lines[-1]


def test_sigterm_ends_the_bridge_in_order(tmp_path: Path) -> None:
    process = Process(LOOPMETER, "bridge", "--listen", "127.0.0.1:0", "--out", str(tmp_path))
    assert re.fullmatch(r"listening on osc\.udp://127\.0\.0\.1:\d+", process.line())
    assert process.stop() == 0
