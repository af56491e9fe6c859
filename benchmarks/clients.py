"""What a client waits for: ``python -m benchmarks.clients [ENGINE]``; ``measure`` gives its rows.

A gateway and an OSC bridge run as processes of their own, as customers meet them. Beside the bridge runs a bare
python-osc server that sends each message back; both are asked in turn, so that whatever else runs hits both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import table
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_server import BlockingOSCUDPServer
from pythonosc.udp_client import SimpleUDPClient
from scripts import programs

from loopmeter import Loopmeter

LOOPS = 15
MESSAGES = 100
TOKENS = 10**9
WAIT_S = 60.0
AHEAD_S = 0.8

Value = str | float | int


class Row(NamedTuple):
    """One wait. ``bar`` is what the design asks for at first."""

    what: str
    p50: str
    p99: str
    bar: str


def measure(engine: str, loops: int = LOOPS, messages: int = MESSAGES) -> list[Row]:
    """Start servers, measure, stop them. Takes about a minute on two cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with programs.gateway(engine, folder, folder / "gateway.log") as url:
            key = programs.open_account(folder, "bench", TOKENS)
            with Loopmeter(url, key) as client:
                first_chunks = _first_chunks_s(client, loops)
            with programs.bridge(url, key, folder / "loops", folder / "bridge.log") as bridge, _echo() as echo:
                bare, accepted = _answers_s(echo, bridge, messages)
                late, beside = _timed_s(bridge, max(2, messages // 5))
    return [
        _row("first chunk at the client over HTTP", first_chunks, "300 ms (p50)"),
        _row("OSC request to `accepted`", accepted, "10 ms (p99)"),
        _row("OSC message to a bare python-osc server and back", bare, "-"),
        Row("the one before, over that", *_ratio(accepted, bare), "-"),
        _row("OSC bundle tagged 0.8 s ahead: answered after its time", late, "5 ms (p99)"),
        _row("plain OSC message beside it, and back", beside, "50 ms (p99)"),
    ]


def _ratio(times_s: list[float], of_s: list[float]) -> tuple[str, str]:
    return f"{_p50(times_s) / _p50(of_s):.1f}", f"{_p99(times_s) / _p99(of_s):.1f}"


def _p50(times_s: list[float]) -> float:
    return statistics.median(times_s)


def _p99(times_s: list[float]) -> float:
    return statistics.quantiles(times_s, n=100, method="inclusive")[98]


def _row(what: str, times_s: list[float], bar: str) -> Row:
    return Row(what, f"{_p50(times_s) * 1000:.2f} ms", f"{_p99(times_s) * 1000:.2f} ms", bar)


def _first_chunks_s(client: Loopmeter, loops: int) -> list[float]:
    """From the order to the first chunk in the client's hands; each loop is a new one, and the engine is idle."""
    client.loops.create("wake up", tempo_bpm=120, bars=1)  # Loads what is loaded once; not counted.
    return [
        client.loops.create("deep house with bass and chords", tempo_bpm=120, bars=2, seed=seed).first_chunk_s
        for seed in range(loops)
    ]


def _answers_s(echo: tuple[str, int], bridge: tuple[str, int], messages: int) -> tuple[list[float], list[float]]:
    bare, accepted = [], []
    bare_client, client = SimpleUDPClient(*echo), SimpleUDPClient(*bridge)
    with bare_client, client:
        for number in range(messages):
            order: list[str | float | int] = [
                f"take{number}",
                "house drums",
                240.0,
                1,
                "Am",
                "standard",
                "seed",
                number,
            ]
            bare.append(_answer_s(bare_client, "/echo", order, "/echo"))
            accepted.append(_answer_s(client, "/loopmeter/loop", order, "/loopmeter/accepted"))
            _wait_for(client, "/loopmeter/ready")  # The next one meets an idle engine again.
    return bare, accepted


def _timed_s(bridge: tuple[str, int], bundles: int) -> tuple[list[float], list[float]]:
    """How late bundles are answered, by the wall clock, and how long plain messages take that are sent meanwhile."""
    late, beside = [], []
    client = SimpleUDPClient(*bridge)
    with client:
        for _ in range(bundles):
            due_s = time.time() + AHEAD_S
            client.send(_tagged(due_s))
            while time.time() < due_s - 0.1:
                beside.append(_answer_s(client, "/loopmeter/clock", ["plain"], "/loopmeter/clock"))
                time.sleep(0.02)
            _wait_for(client, "/loopmeter/clock")
            late.append(time.time() - due_s)
    return late, beside


def _tagged(due_s: float) -> OscBundle:
    bundle = OscBundleBuilder(due_s)  # type: ignore[arg-type]  # Fractions are taken, but not annotated.
    message = OscMessageBuilder("/loopmeter/clock")
    message.add_arg("tagged")
    bundle.add_content(message.build())
    return bundle.build()


def _answer_s(client: SimpleUDPClient, address: str, values: list[Value], answer: str) -> float:
    began = time.perf_counter()
    client.send_message(address, values)
    _wait_for(client, answer)
    return time.perf_counter() - began


def _wait_for(client: SimpleUDPClient, address: str) -> None:
    for message in client.get_messages(timeout=WAIT_S):
        if message.address == address:
            return
        if message.address == "/loopmeter/error":
            raise RuntimeError(f"expected {address} from the bridge, found {message.params}")
    raise RuntimeError(f"expected {address}, found silence for {WAIT_S:g} s")


@contextmanager
def _echo() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "benchmarks.clients", "echo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def _serve_echo() -> None:
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: (address, *values))
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def main() -> None:
    if sys.argv[1:] == ["echo"]:
        _serve_echo()
        return
    print(table.plain(Row._fields, measure(sys.argv[1] if len(sys.argv) > 1 else "loopmeter")))


if __name__ == "__main__":
    main()
