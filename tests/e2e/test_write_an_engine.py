"""The engine of docs/write-an-engine.md, built from the page itself, in a package of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loopmeter import Loopmeter

from .gateway_process import PROGRAM, GatewayProcess

PAGE = Path(__file__).parents[2] / "docs" / "write-an-engine.md"
_FILE = re.compile(r"<!-- file: (?P<name>[\w.]+) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, as pip lays it out."""
    project = tmp_path_factory.mktemp("loopmeter-pluck")
    for found in _FILE.finditer(PAGE.read_text(encoding="utf-8")):
        (project / found["name"]).write_text(found["text"], encoding="utf-8")
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "--target", str(site), str(project)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (site / "test_pluck.py").write_bytes((project / "test_pluck.py").read_bytes())
    return site


def test_its_own_tests_pass(site: Path) -> None:
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(site), str(site)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=100, env=os.environ | {"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d\d passed", done.stdout)


@pytest.mark.timeout(360)
def test_it_is_listed_and_sells_loops(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    # Every engine starts, torch and diffusers with it: seconds, but many on a busy machine.
    done = subprocess.run([*PROGRAM, "engines", "--json"], capture_output=True, text=True, check=True, timeout=240)
    listed = {entry["name"]: entry for entry in json.loads(done.stdout)["engines"]}
    assert (listed["pluck"]["distribution"], listed["pluck"]["version"]) == ("loopmeter-pluck", "0.1.0")
    assert listed["pluck"]["runs"] and listed["pluck"]["licence"] == "Apache-2.0"

    gateway = GatewayProcess(tmp_path, "pluck")
    gateway.start()
    try:
        with Loopmeter(gateway.url, api_key=gateway.customer("ada", 2000)) as client:
            made = client.loops.create("a string", tempo_bpm=92.5, bars=2, quality="hifi")
    finally:
        gateway.stop()
    assert made.frames == round(2 * 4 * 60 / 92.5 * 44_100)
    assert made.tokens_charged == made.job.tokens_quoted
