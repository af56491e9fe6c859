"""The command line without a gateway: what it refuses, and how it says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopmeter import (
    BudgetExceeded,
    ConnectionFailed,
    LoopmeterError,
    LoopNotCompleted,
    Problem,
    StreamInterrupted,
)
from loopmeter._cli._program import exit_code, program
from loopmeter._exceptions import InsufficientTokens, InvalidRequest, NotFound

NOBODY = "http://127.0.0.1:1"  # Port 1 answers nowhere.


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["usage", "--url", NOBODY], 4, "start one with 'loopmeter serve'", id="no gateway"),
        pytest.param(["usage", "--url", "gateway"], 2, "expected an address such as", id="no address"),
        pytest.param(["loop", "x", "--bpm", "0"], 2, "--bpm: expected greater than or equal to 40", id="bpm 0"),
        pytest.param(["quote", "x", "--bars", "10000"], 2, "bars: expected less than or equal to 256", id="bars"),
        pytest.param(["quote", ""], 2, "prompt: expected at least 1 character, found", id="empty prompt"),
        pytest.param(["quote", "x", "--key", "H"], 2, "key: expected a key such as 'Am'", id="key"),
        pytest.param(["quote", "x", "--layers", "drums,kazoo"], 2, "found 'kazoo'", id="layer"),
        pytest.param(["loop", "x", "-o", "nowhere/x.wav"], 2, "expected an existing folder", id="folder"),
        pytest.param(["bridge"], 2, "Missing option '--out'", id="bridge without a folder"),
        pytest.param(["serve", "--engine", "kazoo", "--port", "0"], 1, "found 'kazoo'", id="engine"),
        pytest.param(["serve", "--engine", "fake", "--db", "x"], 1, "sqlite", id="database"),
    ],
)
def test_a_wrong_call_is_one_clear_message_and_an_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(program, arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LoopNotCompleted("job_1", "failed", 0, None), 1),
        (NotFound(Problem(status=404)), 1),
        (InvalidRequest(Problem(status=422)), 2),
        (BudgetExceeded(2, 1), 3),
        (InsufficientTokens(Problem(status=402)), 3),
        (ConnectionFailed("http://x", "refused"), 4),
        (StreamInterrupted("job_1", 2, "cut"), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_the_exit_code_that_the_help_names(error: LoopmeterError, code: int) -> None:
    assert exit_code(error) == code
    assert re.search(rf"^ +{code} ", CliRunner().invoke(program, ["--help"]).stdout, re.MULTILINE)


@pytest.mark.parametrize("module", ["click", "rich"])
def test_without_the_extra_the_program_says_what_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from loopmeter._cli import main; main()"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.returncode == 1
    assert result.stderr == (
        f"loopmeter: the command line needs {module}; install it with: pip install 'loopmeter[cli]'\n"
    )


def test_engines_are_listed_without_loading_them() -> None:
    result = CliRunner().invoke(program, ["engines", "--json"])

    assert {"fake", "loopmeter"} <= {entry["name"] for entry in json.loads(result.stdout)["engines"]}


@pytest.mark.parametrize("json_first", [True, False], ids=["admin --json", "create --json"])
def test_the_administration_prints_one_json_object_per_call(json_first: bool, tmp_path: Path) -> None:
    def admin(*arguments: str) -> dict[str, object]:
        head = ["admin", "--db", f"sqlite:///{tmp_path}/gateway.db"]
        call = [*head, "--json", *arguments] if json_first else [*head, *arguments, "--json"]
        result: dict[str, object] = json.loads(CliRunner().invoke(program, call).stdout)
        return result

    customer_id = str(admin("customer", "create", "studio")["customer_id"])

    assert str(admin("key", "create", customer_id)["key"]).startswith("lm_")
    assert admin("grant", customer_id, "900")["available"] == 900
    assert admin("grant", "studio", "100")["available"] == 1000
