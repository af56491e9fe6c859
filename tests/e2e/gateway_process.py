"""A real gateway in its own process, on a loopback port and an empty database; with the fake engine unless told."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from tests.gateway.conftest import Postgres
from tests.gateway.level_prices import put_level_prices_in_force

from loopmeter_gateway import admin

PROGRAM = [sys.executable, "-c", "from loopmeter._cli import main; main()"]


def run_program(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command line prints. Raises ``CalledProcessError``."""
    return subprocess.run(
        [*PROGRAM, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    ).stdout


_databases = count()


def new_database(folder: Path) -> str:
    """The address of an empty database of the kind that ``LOOPMETER_TEST_STORE`` asks for; SQLite by default."""
    if os.environ.get("LOOPMETER_TEST_STORE", "sqlite") == "sqlite":
        return f"sqlite:///{folder}/gateway.db"
    return _postgres().create(f"process_{next(_databases)}")


@cache
def _postgres() -> Postgres:
    """A server for as long as this process lives. Not in a test's folder: its path may be too long for a socket."""
    folder = tempfile.TemporaryDirectory(prefix="loopmeter-postgres-")
    server = Postgres(Path(folder.name) / "data")
    atexit.register(folder.cleanup)
    atexit.register(server.stop)  # Which comes first: the last that was registered.
    return server


class GatewayProcess:
    """Starts, is killed, and starts again on the same port and database. With ``level`` prices there are no peaks."""

    def __init__(self, folder: Path, engine: str = "fake", *options: str, level: bool = False) -> None:
        self._folder = folder
        self._engine = engine
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._log = folder / "gateway.log"
        self.db = new_database(folder)
        self.url = ""
        self._level = level

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
        if self._level:
            options += ["--price-book", put_level_prices_in_force(self.db)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "serve", *options], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on http://"), self._log.read_text()
        self.url = line.removeprefix("listening on ").strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def children(self) -> list[int]:
        """The processes that it has started and that run."""
        found = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for path in found for pid in path.read_text().split()]

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


def running(process: GatewayProcess) -> Iterator[GatewayProcess]:
    """The body of a fixture: the gateway is up meanwhile."""
    process.start()
    try:
        yield process
    finally:
        process.stop()
