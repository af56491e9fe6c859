"""A real gateway in its own process, on a loopback port and an empty database; with the fake engine unless told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from loopmeter_gateway import admin

PROGRAM = [sys.executable, "-c", "from loopmeter._cli import main; main()"]


def run_program(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command line prints. Raises ``CalledProcessError``."""
    return subprocess.run(
        [*PROGRAM, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    ).stdout


class GatewayProcess:
    """Starts, is killed, and starts again on the same port and database."""

    def __init__(self, folder: Path, engine: str = "fake", *options: str) -> None:
        self._folder = folder
        self._engine = engine
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._log = folder / "gateway.log"
        self.db = f"sqlite:///{folder}/gateway.db"
        self.url = ""

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        options = [
            "--port",
            port,
            "--db",
            self.db,
            "--engine",
            self._engine,
            "--data",
            str(self._folder / "data"),
            *self._options,
        ]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "serve", *options, *self._options], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on http://"), self._log.read_text()
        self.url = line.removeprefix("listening on ").strip()

    def kill(self) -> None:
        """As a power cut: SIGKILL, no goodbye."""
        self._end("kill")

    def stop(self) -> None:
        self._end("terminate")

    def _end(self, how: str) -> None:
        if self._process is not None:
            getattr(self._process, how)()
            self._process.communicate(timeout=20)
            self._process = None

    def customer(self, name: str, tokens: int) -> str:
        """A new customer's API key."""
        customer_id = str(admin.create_customer(self.db, name)["customer_id"])
        admin.grant(self.db, customer_id, tokens)
        return str(admin.create_key(self.db, customer_id)["key"])
