"""What ``make demo`` runs, with the fake engine: the same programs, the same checks, in a second."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import wave
from pathlib import Path

import mido
import pytest
from scripts.demo import TOKENS, Entry, broken_promises

ROOT = Path(__file__).parents[2]
FIELDS = [
    "prompt", "tempo_bpm", "bars", "beats_per_bar", "key", "wav", "midi", "frames", "seam_ratio", "tokens_quoted",
    "tokens_charged", "first_chunk_ms", "total_ms",
]  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "files"


@pytest.fixture(scope="module")
def demo(out: Path) -> subprocess.CompletedProcess[str]:
    return run_demo("--engine", "fake", "--out", str(out))


@pytest.fixture
def entries(demo: subprocess.CompletedProcess[str], out: Path) -> list[Entry]:
    return [Entry(**fields) for fields in json.loads((out / "report.json").read_text())]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.demo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_the_demo_ends_by_itself_and_finds_nothing_wrong(demo: subprocess.CompletedProcess[str]) -> None:
    assert (demo.returncode, demo.stderr) == (0, "")


def test_the_report_has_the_fields_that_others_read(entries: list[Entry], out: Path) -> None:
    assert [list(fields) for fields in json.loads((out / "report.json").read_text())] == [FIELDS] * len(entries)
    assert len({(entry.tempo_bpm, entry.bars, entry.beats_per_bar, entry.key) for entry in entries}) >= 4


def test_every_loop_is_a_file_of_the_exact_length_with_its_score(entries: list[Entry]) -> None:
    for entry in entries:
        with wave.open(entry.wav) as file:
            exact = round(entry.bars * entry.beats_per_bar * 60 / entry.tempo_bpm * 44_100)
            assert file.getnframes() == entry.frames == exact
        assert mido.MidiFile(entry.midi).length == pytest.approx(entry.frames / 44_100, abs=0.01)


def test_every_bill_is_its_quote_and_is_printed(entries: list[Entry], demo: subprocess.CompletedProcess[str]) -> None:
    charged = [entry.tokens_charged for entry in entries]

    assert charged == [entry.tokens_quoted for entry in entries]
    assert min(charged) > 0
    assert all(entry.prompt in demo.stdout and f"{entry.frames} frames (exact)" in demo.stdout for entry in entries)
    assert f"{TOKENS - sum(charged)} of {TOKENS} tokens are left" in demo.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"frames": 1}, "expected 460174 frames, found 1"),
        ({"tokens_charged": 1}, "tokens charged, found 1"),
        ({"tempo_bpm": 93.0}, "expected the one tempo of 93 bpm"),
    ],
    ids=["frames", "bill", "tempo"],
)
def test_a_broken_promise_is_named(entries: list[Entry], wrong: dict[str, float], said: str) -> None:
    assert broken_promises(entries[0]) == []
    assert any(said in promise for promise in broken_promises(dataclasses.replace(entries[0], **wrong)))


def test_an_engine_that_is_not_installed_ends_the_demo_with_its_name(tmp_path: Path) -> None:
    failed = run_demo("--engine", "nobody", "--out", str(tmp_path))

    assert failed.returncode == 1
    assert "expected one of the installed engines" in failed.stderr and "'nobody'" in failed.stderr
