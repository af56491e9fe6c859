"""Strict type checkers on a user's code: right use passes, and each deliberate mistake is found on its own line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CODE = Path(__file__).parent / "user_code"
SOURCE = Path(__file__).parents[2] / "sdk"


def mypy_lines(file: Path, folder: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(folder), str(file)]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
    assert output.rstrip().rpartition("\n")[2].startswith(("Success", "Found")), output
    found = [line.split(":", 3) for line in output.splitlines() if ": error:" in line]
    return {int(number): text for _, number, _, text in found}


def pyright_lines(file: Path, folder: Path) -> dict[int, str]:
    """By basedpyright, which is pyright as a wheel, with pyright's own rules of the mode ``strict``."""
    config = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(SOURCE)],
        "include": [str(file)],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(result.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, result.stdout + result.stderr
    found = [entry for entry in report["generalDiagnostics"] if entry["severity"] == "error"]
    return {entry["range"]["start"]["line"] + 1: entry["message"] for entry in found}


CHECKERS = [pytest.param(mypy_lines, id="mypy"), pytest.param(pyright_lines, id="pyright")]
Checker = Callable[[Path, Path], dict[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what mypy has found of the library is kept in it for the next."""
    return tmp_path_factory.mktemp("checked")


@pytest.mark.parametrize("checker", CHECKERS)
def test_right_use_passes(checker: Checker, folder: Path) -> None:
    assert checker(CODE / "good.py", folder) == {}


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_mistake_is_found_where_it_is_made(checker: Checker, folder: Path) -> None:
    lines = (CODE / "misuse.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}

    found = checker(CODE / "misuse.py", folder)

    assert {number: lines[number - 1] for number in wrong - found.keys()} == {}, "not found"
    assert {number: text for number, text in found.items() if number not in wrong} == {}, "found where nothing is wrong"
