"""The command line against a gateway in memory behind a socket: what it prints, for people and for programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loopmeter._cli._picture import waveform
from loopmeter._cli._program import program
from loopmeter.testing import FakeGateway, Lose, Refuse

Run = Callable[..., Result]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(tokens=3_000, api_key="lm_test")


@pytest.fixture
def run(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.chdir(tmp_path)
    with gateway.serve() as url:
        env = {"LOOPMETER_URL": url, "LOOPMETER_API_KEY": "lm_test", "COLUMNS": "100"}
        yield lambda *arguments, **kwargs: CliRunner(env=env).invoke(program, list(arguments), **kwargs)


def test_a_preview_is_a_table_with_totals_and_what_is_left(run: Run) -> None:
    result = run("preview", "calm pads", "battle drums", "--bars", "2", "--quality", "hifi")

    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["prompt", "quality", "seconds", "tokens"],
        ["calm", "pads", "hifi", "4.000", "1040"],
        ["battle", "drums", "hifi", "4.000", "1040"],
        ["2", "in", "all", "8.000", "2080"],
        ["3000", "tokens", "available,", "920", "left", "after", "all"],
    ]
    assert "3000 tokens available, 200 too few" in run("preview", "a", "b", "c", "d", "--bars", "1").stdout


@pytest.mark.parametrize("columns", ["", "120", "80", "40"], ids=["a pipe", "wide", "usual", "narrow"])
@pytest.mark.parametrize("command", ["usage", "models", "quote", "preview"])
def test_no_width_cuts_anything_out_of_a_table(command: str, columns: str, run: Run) -> None:
    job = json.loads(run("loop", "dusty lo-fi drums, tape, vinyl", "--bars", "1", "--json").stdout)["job"]
    arguments = [command, *(["dusty lo-fi drums, tape, vinyl"] if command in ("quote", "preview") else [])]

    result = run(*arguments, env={"COLUMNS": columns or None})

    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    expected = {
        "usage": [job, "completed", "vinyl", "charged", "quoted", "800"],
        "models": ["licence", "midi", "Apache-2.0"],
        "quote": ["tokens", "60", "s", "800"],
        "preview": ["quality", "tokens", "vinyl", "standard", "seconds", "800"],
    }[command]
    assert [word for word in expected if word not in words] == []
    assert "…" not in result.stdout


@pytest.mark.parametrize(
    ("pace", "said"),
    [
        ((0.312, 8.44), "first sound after 0.31 s, then 8.44 s of sound per second"),
        ((75.2, 0.5), "first sound after 75 s, then 0.5 s of sound per second, slower than it plays"),
        ((4.21, 2e9), "first sound after 4.2 s, the rest at once"),
    ],
    ids=["keeps up", "slow", "all work first"],
)
def test_a_quote_says_when_the_sound_will_come(
    pace: tuple[float, float], said: str, gateway: FakeGateway, run: Run
) -> None:
    assert "predicted" not in run("quote", "drums").stdout
    gateway.pace = pace
    assert f"predicted, once its turn has come: {said}\n" in run("quote", "drums").stdout


def test_a_preview_and_a_bake_say_how_long_the_making_takes(gateway: FakeGateway, run: Run) -> None:
    Path("music.toml").write_text(
        '[pack]\nname = "game"\n\n[[loop]]\nname = "a"\nprompt = "a"\nbars = 2\ntempo_bpm = 120\n'
    )
    bake = ("bake", "--dry-run")
    assert "predicted" not in run("preview", "a", "b").stdout + run(*bake).stdout
    gateway.pace = (0.5, 8.0)

    assert (
        "predicted: about 2.0 s to make them all, one after the other" in run("preview", "a", "b", "--bars", "2").stdout
    )
    result = run(*bake)
    assert "predicted: about 1.0 s to make them, one after the other" in result.stdout, result.output


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["preview", "a", "b"], {"tokens", "duration_s", "items"}),
        (["quote", "a"], {"tokens", "quote_id", "lines"}),
        (["balance"], {"available", "held", "posted"}),
        (["models"], {"models"}),
        (["prices"], {"base_tokens", "included_s"}),
        (["usage"], {"balance", "entries"}),
        (["loop", "a", "--bars", "1"], {"job", "tokens_charged", "idempotency_key"}),
        (["job", "job_x"], {"error"}),
        (["cancel", "job_x"], {"error"}),
        (["engines"], {"engines"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_with_json_every_command_prints_one_object(arguments: list[str], keys: set[str], run: Run) -> None:
    result = run(*arguments, "--json")

    assert keys <= json.loads(result.stdout).keys()
    assert len(result.stdout.splitlines()) == 1 and result.stderr == ""


def test_a_job_is_shown_and_stopped(run: Run) -> None:
    run("loop", "drums", "--bars", "1")

    assert run("job", "job_1").stdout == "job_1 completed: 4 of 4 chunks, 800 of 800 tokens charged\n"
    assert run("cancel", "job_1").stdout == "job_1 completed: 4 of 4 chunks, 800 of 800 tokens charged\n"
    assert json.loads(run("job", "job_1", "--json").stdout)["tokens_charged"] == 800


def test_people_read_tokens_models_and_prices(run: Run) -> None:
    assert run("balance").stdout == "available 3000, held 0, posted 3000 tokens\n"
    assert run("models").stdout.split()[6:8] == ["loopmeter", "1"]
    assert run("prices").stdout.startswith("standard, version 1: 800 tokens for up to 60 s, then 10 for each started")


@pytest.mark.parametrize(
    ("arguments", "code", "fields"),
    [
        (["quote", "x", "--bars", "900"], 2, {"code": "invalid_request", "status": 422, "retryable": False}),
        (["quote", "x", "--bpm", "fast"], 2, {"code": "usage"}),
        (["loop", "x", "--max-tokens", "10"], 3, {"code": "budget_exceeded", "status": None}),
        (["job", "job_x"], 1, {"code": "not_found", "status": 404, "request_id": "req_fake"}),
        (["balance", "--url", "http://127.0.0.1:1"], 4, {"code": "connection_failed", "retryable": True}),
    ],
    ids=["field", "usage", "limit", "job", "no gateway"],
)
def test_with_json_an_error_is_an_object_with_its_exit_code(
    arguments: list[str], code: int, fields: dict[str, object], run: Run
) -> None:
    result = run(*arguments, "--json")

    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, error["exit_code"], result.stderr) == (code, code, "")
    assert fields.items() <= error.items() and error["message"]


def test_an_order_that_broke_names_the_key_to_run_it_again(gateway: FakeGateway, run: Run, tmp_path: Path) -> None:
    gateway.faults.extend([Lose()] * 5)
    broken = run("loop", "drums", "--bars", "2", "--idempotency-key", "level-1")
    gateway.faults.clear()

    again = run("loop", "drums", "--bars", "2", "--idempotency-key", "level-1")

    assert broken.exit_code == 4 and "--idempotency-key level-1: nothing is made or charged twice" in broken.stderr
    assert again.exit_code == 0 and (tmp_path / "loop.wav").is_file()
    assert gateway.balance().posted == 2_200 and len(gateway.jobs) == 1


def test_verbose_logs_calls_and_retries_without_the_key(gateway: FakeGateway, run: Run) -> None:
    gateway.faults_on = "/"
    gateway.faults.append(Refuse(503))

    result = run("-v", "balance")

    assert "loopmeter: GET /v1/balance: 503 after" in result.stderr
    assert "loopmeter: try 2 in" in result.stderr and "lm_test" not in result.output


@pytest.mark.parametrize(("typed", "offered"), [("pre", "preview"), ("loop x --qual", "--quality")])
def test_the_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    words = f"loopmeter {typed}"
    env = {
        **os.environ,
        "_LOOPMETER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    script = [sys.executable, "-c", "import sys; sys.argv[0] = 'loopmeter'; from loopmeter._cli import main; main()"]

    result = subprocess.run(script, env=env, capture_output=True, text=True, check=True)

    assert f"plain,{offered}" in result.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_the_shell_reads(shell: str) -> None:
    script = CliRunner().invoke(program, ["completion", shell]).stdout

    assert "_LOOPMETER_COMPLETE" in script
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=script, text=True, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("samples", "columns", "line"),
    [
        ([0.0, 0.1, -1.0, 0.5], 4, " ▁█▅"),
        ([0.0] * 8, 3, "   "),
        ([], 2, "  "),
        ([0.2], 2, " █"),
    ],
    ids=["rising", "silence", "nothing", "fewer samples than columns"],
)
def test_a_loop_is_drawn_relative_to_its_loudest_sample(samples: list[float], columns: int, line: str) -> None:
    assert waveform(samples, columns) == line
