"""Every example of the SDK's pages runs, in order, against the gateway in memory; shown output is what comes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopmeter.testing import FakeGateway

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [match[2] for match in _BLOCK.finditer(PAGE.read_text()) if match[1] == language]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    gateway = FakeGateway(api_key="lm_docs")
    monkeypatch.chdir(tmp_path)
    with gateway.serve() as url:
        monkeypatch.setenv("LOOPMETER_URL", url)
        monkeypatch.setenv("LOOPMETER_API_KEY", "lm_docs")
        yield gateway


def test_every_python_example_runs_in_the_order_of_the_page(served: FakeGateway, tmp_path: Path) -> None:
    """In a process of its own, as a reader would run them; leaving connections open is the reader's business."""
    program = tmp_path / "tutorial.py"
    program.write_text("\n".join(blocks("python")))

    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr
    assert "2 made, 1600 tokens spent, 400 left: expected a price of at most 400 tokens" in result.stdout
    assert result.stdout.rstrip().endswith("[]")
    assert {"loop.wav", "loop.mid", "house.wav", "castle.wav"} <= {path.name for path in tmp_path.iterdir()}
    assert served.balance().held == 0


def test_every_command_prints_what_the_page_shows(served: FakeGateway, tmp_path: Path) -> None:
    env = {**os.environ, "COLUMNS": "100"}
    (console,) = blocks("console")
    calls = re.findall(r"^\$ loopmeter (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    assert len(calls) == console.count("$ ") > 3

    for arguments, shown in calls:
        command = [sys.executable, "-c", "from loopmeter._cli import main; main()", *shlex.split(arguments)]
        result = subprocess.run(command, capture_output=True, text=True, env=env)
        printed = "".join(line.rstrip() + "\n" for line in (result.stdout + result.stderr).splitlines())
        assert printed == shown or (not shown and result.returncode == 0), arguments
