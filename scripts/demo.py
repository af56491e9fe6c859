"""Loops from nothing: ``python -m scripts.demo`` starts a gateway, asks for four loops, writes files and bills, stops.

Three loops come through the SDK and one through the OSC bridge, each as a customer would ask for it. Every promise is
checked from outside: the length from the file, the bill from the ledger. Exits with 1 when one is broken.

Reading order: ``main``, ``make_loops``, ``_by_sdk``, ``_by_osc``, ``broken_promises``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mido
import soundfile
from pythonosc.osc_message import OscMessage
from pythonosc.udp_client import SimpleUDPClient
from rich import box
from rich.console import Console
from rich.table import Table
from scripts import programs

from loopmeter import Loopmeter, LoopmeterError, LoopRequest
from loopmeter_engine.seam import seam_ratio

TOKENS = 10_000
OSC_WAIT_S = 120.0

BY_SDK: dict[str, LoopRequest] = {
    "drums": LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92, bars=4, key="Am", layers=("drums",), seed=7),
    "bass-and-chords": LoopRequest(
        prompt="deep house bass and electric piano chords",
        tempo_bpm=122,
        bars=4,
        key="Fm",
        layers=("bass", "chords"),
        seed=8,
    ),
    "full": LoopRequest(
        prompt="80s synthwave, driving, full band", tempo_bpm=104.5, bars=8, key="F#m", quality="hifi", seed=9
    ),
}
BY_OSC: dict[str, LoopRequest] = {
    "waltz": LoopRequest(prompt="slow jazz waltz with piano", tempo_bpm=96, bars=4, beats_per_bar=3, key="Dm", seed=10)
}


@dataclass(frozen=True)
class Entry:
    """One loop of ``report.json``. ``frames`` are counted in the file; times run from the order."""

    prompt: str
    tempo_bpm: float
    bars: int
    beats_per_bar: int
    key: str
    wav: str
    midi: str
    frames: int
    seam_ratio: float
    tokens_quoted: int
    tokens_charged: int
    first_chunk_ms: int
    total_ms: int


class OscFailed(Exception):
    """The bridge answered with an error, or not at all."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description="Make loops, their MIDI and bills.")
    parser.add_argument("--engine", default="loopmeter", help="the engine that makes them; default: loopmeter")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where the files go; default: demo")
    given = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        entries, left = make_loops(given.engine, given.out, console)
    except (programs.DidNotStart, LoopmeterError, OscFailed) as error:
        print(f"demo: {error}; the logs are in {given.out}/", file=sys.stderr)
        return 1
    report = given.out / "report.json"
    report.write_text(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2) + "\n")
    console.print(_bill(entries))
    console.print(f"{left} of {TOKENS} tokens are left; files and report.json are in {given.out}/")
    broken = [promise for entry in entries for promise in broken_promises(entry)]
    charged = sum(entry.tokens_charged for entry in entries)
    if left != TOKENS - charged:
        broken.append(f"expected {TOKENS - charged} tokens to be left after {charged} charged, found {left}")
    for promise in broken:
        print(f"demo: {promise}", file=sys.stderr)
    return 1 if broken else 0


def make_loops(engine: str, out: Path, console: Console) -> tuple[list[Entry], int]:
    """Start everything, make every loop, stop everything. Gives the entries and the tokens that are left.

    Raises:
        DidNotStart, LoopmeterError, OscFailed: something does not work; the message says what.
    """
    out.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console.print(f"starting a gateway with the engine {engine} ...")
        with programs.gateway(engine, folder, out / "gateway.log") as url:
            key = programs.open_account(folder, "demo", TOKENS)
            console.print(f"it listens on {url}; a new customer has {TOKENS} tokens")
            with Loopmeter(url, key) as client:
                for loop, request in BY_SDK.items():
                    _announce(console, "SDK", request)
                    entries.append(_by_sdk(client, request, out / loop))
                    _tell(console, entries[-1])
                with programs.bridge(url, key, folder / "loops", out / "bridge.log") as address:
                    for loop, request in BY_OSC.items():
                        _announce(console, "OSC", request)
                        entries.append(_by_osc(address, request, out / loop))
                        _tell(console, entries[-1])
                return entries, client.balance().posted


def _by_sdk(client: Loopmeter, request: LoopRequest, path: Path) -> Entry:
    quote = client.quote(request)
    loop = client.loops.create(request, quote=quote)
    loop.save(path.with_suffix(".wav"))
    loop.save_midi(path.with_suffix(".mid"))
    return _entry(request, path, quote.tokens, loop.tokens_charged, loop.first_chunk_s, loop.total_s)


def _by_osc(bridge: tuple[str, int], request: LoopRequest, path: Path) -> Entry:
    """As a controller would ask. The bridge names the files; they move to their place in the demo."""
    described: list[str | int | float] = [
        request.prompt, request.tempo_bpm or 0.0, request.bars or 0, request.key or "", request.quality,
        "beats_per_bar", request.beats_per_bar, "seed", request.seed,
    ]  # fmt: skip
    client = SimpleUDPClient(*bridge)
    with client:
        began, first_s, quoted = time.monotonic(), None, 0
        client.send_message("/loopmeter/loop", ["demo", *described])
        for answer in _answers(client, until="/loopmeter/ready"):
            if answer.address == "/loopmeter/accepted":
                _, _, quoted = answer.params
            elif answer.address == "/loopmeter/progress" and first_s is None:
                first_s = time.monotonic() - began
        total_s = time.monotonic() - began
    _, wav, midi, _, _, charged = answer.params
    shutil.move(wav, path.with_suffix(".wav"))
    shutil.move(midi, path.with_suffix(".mid"))
    return _entry(request, path, quoted, charged, first_s if first_s is not None else total_s, total_s)


def _answers(client: SimpleUDPClient, until: str) -> Iterator[OscMessage]:
    """Every answer, up to and with that of address ``until``. Raises OscFailed."""
    for answer in client.get_messages(timeout=OSC_WAIT_S):
        if answer.address == "/loopmeter/error":
            raise OscFailed(f"expected {until} from the bridge, found {answer.params}")
        yield answer
        if answer.address == until:
            return
    raise OscFailed(f"expected {until} from the bridge, found silence for {OSC_WAIT_S:g} s")


def _entry(
    request: LoopRequest, path: Path, tokens_quoted: int, tokens_charged: int, first_chunk_s: float, total_s: float
) -> Entry:
    sound, _ = soundfile.read(path.with_suffix(".wav"), always_2d=True)
    assert request.tempo_bpm is not None and request.bars is not None and request.key is not None
    return Entry(
        prompt=request.prompt,
        tempo_bpm=request.tempo_bpm,
        bars=request.bars,
        beats_per_bar=request.beats_per_bar,
        key=request.key,
        wav=str(path.with_suffix(".wav")),
        midi=str(path.with_suffix(".mid")),
        frames=len(sound),
        seam_ratio=round(seam_ratio(sound.T), 3),
        tokens_quoted=tokens_quoted,
        tokens_charged=tokens_charged,
        first_chunk_ms=round(first_chunk_s * 1000),
        total_ms=round(total_s * 1000),
    )


def expected_frames(entry: Entry) -> int:
    return round(entry.bars * entry.beats_per_bar * 60 / entry.tempo_bpm * 44_100)


def broken_promises(entry: Entry) -> list[str]:
    """What a loop was promised to be and is not, in sentences."""
    broken = []
    if entry.frames != expected_frames(entry):
        broken.append(f"{entry.wav}: expected {expected_frames(entry)} frames, found {entry.frames}")
    if entry.tokens_charged != entry.tokens_quoted:
        broken.append(f"{entry.wav}: expected {entry.tokens_quoted} tokens charged, found {entry.tokens_charged}")
    tempos = [event.tempo for event in mido.MidiFile(entry.midi).merged_track if event.type == "set_tempo"]
    if tempos != [round(60_000_000 / entry.tempo_bpm)]:
        broken.append(f"{entry.midi}: expected the one tempo of {entry.tempo_bpm:g} bpm, found {tempos} us a beat")
    return broken


def _announce(console: Console, way: str, request: LoopRequest) -> None:
    layers = f", {' and '.join(request.layers)} alone" if request.layers else ""
    console.print(
        f"\n[bold]“{request.prompt}”[/] over {way}: {request.tempo_bpm:g} bpm, {request.bars} bars of "
        f"{request.beats_per_bar}, {request.key}, {request.quality}{layers}"
    )


def _tell(console: Console, entry: Entry) -> None:
    exact = "exact" if entry.frames == expected_frames(entry) else f"expected {expected_frames(entry)}"
    console.print(f"  {entry.wav}, {entry.midi}: {entry.frames} frames ({exact}), seam {entry.seam_ratio:.2f}")
    console.print(
        f"  {entry.tokens_quoted} tokens quoted, {entry.tokens_charged} charged; "
        f"first chunk after {entry.first_chunk_ms / 1000:.2f} s, all after {entry.total_ms / 1000:.2f} s"
    )


def _bill(entries: list[Entry]) -> Table:
    table = Table(
        title="\nThe bill", title_justify="left", box=box.SIMPLE_HEAD, show_footer=True, collapse_padding=True
    )
    table.add_column("loop", "sum", no_wrap=True)
    for name in ("bpm", "frames", "seam", "first s", "total s"):
        table.add_column(name, justify="right")
    table.add_column("quoted", str(sum(entry.tokens_quoted for entry in entries)), justify="right")
    table.add_column("charged", str(sum(entry.tokens_charged for entry in entries)), justify="right")
    for entry in entries:
        times = (f"{milliseconds / 1000:.2f}" for milliseconds in (entry.first_chunk_ms, entry.total_ms))
        table.add_row(
            Path(entry.wav).stem, f"{entry.tempo_bpm:g}", str(entry.frames), f"{entry.seam_ratio:.2f}", *times,
            str(entry.tokens_quoted), str(entry.tokens_charged),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
