"""The pages about baking, adaptive music and recipes: every example runs, and shown output is what comes."""

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

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text()
    return [match[1] for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    """A gateway, and a folder with the list of music that ``bake.md`` shows."""
    gateway = FakeGateway(api_key="lm_docs")
    monkeypatch.chdir(tmp_path)
    (music,) = blocks("bake.md", "toml")
    (tmp_path / "music.toml").write_text(music)
    with gateway.serve() as url:
        monkeypatch.setenv("LOOPMETER_URL", url)
        monkeypatch.setenv("LOOPMETER_API_KEY", "lm_docs")
        monkeypatch.setenv("COLUMNS", "100")
        yield gateway


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from loopmeter._cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def run_page(page: str, tmp_path: Path) -> str:
    """All examples of a page in one process, as a reader would run them."""
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=90)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_bake_prints_what_the_page_shows(served: FakeGateway) -> None:
    (console,) = blocks("bake.md", "console")
    calls = re.findall(r"^\$ loopmeter (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    assert len(calls) == 3

    for arguments, shown in calls:
        result = program(*shlex.split(arguments))
        assert [line.rstrip() for line in result.stdout.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_the_examples_of_baking_run(served: FakeGateway, tmp_path: Path) -> None:
    printed = run_page("bake.md", tmp_path)

    assert "5600 ['new', 'new', 'new', 'new', 'new', 'new', 'new']" in printed
    assert "gateway 800" in printed
    served.reachable = False
    offline = subprocess.run(
        [sys.executable, "-c", _OFFLINE], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert offline.stdout.startswith("pack 0 no answer from"), offline.stderr


_OFFLINE = """
from loopmeter import Loopmeter
from loopmeter.bake import Pack
with Loopmeter(pack=Pack("dungeon"), max_retries=0) as client:
    loop = client.loops.create("another storm", tempo_bpm=120, bars=2, fallback="battle.drums")
    print(loop.source, loop.tokens_charged, loop.reason)
"""


def test_the_examples_of_adaptive_music_run(served: FakeGateway, tmp_path: Path) -> None:
    assert program("bake", "music.toml").returncode == 0
    printed = run_page("adaptive.md", tmp_path)

    assert re.search(r"SectionStarted\(frame=88200, take=Take\(name='battle', number=0\), asked_frame=44100\)", printed)
    assert "Take(name='intro', number=0) 0" in printed


def test_the_recipes_run(served: FakeGateway, tmp_path: Path) -> None:
    printed = run_page("recipes.md", tmp_path)

    assert "4000 tokens for 5 files" in printed
    assert [line.split()[0] for line in printed.splitlines() if " s on" in line] == ["hall", "siege", "hall"]
    assert "2400 spent, 100 left" in printed and printed.count("no budget left") == 1
    assert served.balance().held == 0
