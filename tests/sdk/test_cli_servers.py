"""The commands that run until they are stopped: what they print for programs, and when they cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from loopmeter._cli._program import program
from loopmeter.testing import FakeGateway


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, str]]:
    """A command with ``--json``, once it is ready; gives what it printed."""
    command = [sys.executable, "-c", "from loopmeter._cli import main; main()", *arguments, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "LOOPMETER_API_KEY": ""})
    try:
        assert process.stdout is not None
        found: dict[str, str] = json.loads(process.stdout.readline())
        yield found
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM) and rest == ""
    finally:
        process.kill()
        process.wait()


def test_servers_print_one_object_with_their_addresses(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/gateway.db"
    with (
        running("serve", "--engine", "fake", "--port", "0", "--db", database, "--data", str(tmp_path)) as gateway,
        running("engine", "serve", "--engine", "fake", "--engine-processes", "2", "--port", "0") as engine,
        running("bridge", "--listen", "127.0.0.1:0", "--out", str(tmp_path), "--url", gateway["url"]) as bridge,
    ):
        assert httpx.get(f"{gateway['url']}/healthz", trust_env=False).status_code == 200
        assert httpx.get(f"{engine['url']}/info", trust_env=False).json()["name"] == "fake"
        assert httpx.get(bridge["description"], trust_env=False).json()["FULL_PATH"] == "/"
        assert bridge["udp"].removeprefix("osc.udp") == bridge["tcp"].removeprefix("osc.tcp")


@pytest.mark.parametrize(
    ("tokens", "key", "told"),
    [
        (0, "lm_good", "no tokens are left for this key"),
        (
            1,
            "lm_other",
            "expected the API key of this gateway, found another or none [401 unauthenticated]; set LOOPMETER_",
        ),
        (None, "lm_good", "check that the gateway runs there: start one with 'loopmeter serve'"),
    ],
    ids=["no tokens", "wrong key", "no gateway"],
)
def test_a_bridge_says_at_its_start_why_loops_would_fail_and_listens(
    tokens: int | None, key: str, told: str, tmp_path: Path
) -> None:
    gateway = FakeGateway(tokens=tokens or 0, api_key="lm_good")
    gateway.reachable = tokens is not None
    with gateway.serve() as url:
        command = [sys.executable, "-c", "from loopmeter._cli import main; main()", "bridge", "--listen", "127.0.0.1:0"]
        command += ["--out", str(tmp_path), "--url", url, "--no-advertise"]
        bridge = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"LOOPMETER_API_KEY": key},
        )
        try:
            assert bridge.stdout is not None and bridge.stderr is not None
            assert bridge.stdout.readline().startswith("listening on osc.udp://127.0.0.1:")
            line = bridge.stderr.readline()
        finally:
            bridge.terminate()
            bridge.communicate(timeout=30)

    assert told in line and line.rstrip().endswith("The bridge listens all the same")
    assert bridge.returncode == 0


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
def test_a_port_in_use_is_named_with_what_to_do(as_json: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", "--engine", "fake", "--port", port, "--db", f"sqlite:///{tmp_path}/g.db"]
        result = CliRunner().invoke(program, [*arguments, "--data", str(tmp_path), *(["--json"] if as_json else [])])

    assert result.exit_code == 1
    message = json.loads(result.stdout)["error"]["message"] if as_json else result.stderr
    assert f"expected a free port, found 127.0.0.1:{port} in use" in message and "--port" in message


def test_a_port_in_use_is_told_before_anything_else_is_begun(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", "--engine", "no such engine", "--port", port, "--db", f"sqlite:///{tmp_path}/g.db"]
        result = CliRunner().invoke(program, arguments)

    assert result.exit_code == 1 and "expected a free port" in result.stderr
    assert not (tmp_path / "g.db").exists()


def test_every_command_that_reports_takes_json() -> None:
    """The others print a script, a file or another program's output."""
    without = {"completion", "adapter", "admin export", "admin outbox show"}

    def commands(group: object, path: str = "") -> Iterator[tuple[str, bool]]:
        for name, command in getattr(group, "commands", {}).items():
            here = f"{path} {name}".strip()
            yield from commands(command, here)
            if not hasattr(command, "commands") or command.invoke_without_command:
                yield here, any("--json" in parameter.opts for parameter in command.params)

    found = dict(commands(program))
    assert {name for name, takes_json in found.items() if not takes_json} == without
    assert len(found) > 25
