"""``loopmeter serve`` and ``loopmeter bridge`` as processes of our own, which always stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loopmeter_gateway import admin

_LOOPMETER = str(Path(sys.executable).with_name("loopmeter"))
_STOP_S = 20.0


class DidNotStart(Exception):
    """A program ended instead of listening. The message holds what it said."""


@contextmanager
def gateway(engine: str, folder: Path, log: Path) -> Iterator[str]:
    """A gateway on a free port, with its database and files in ``folder``; gives its address.

    Raises:
        DidNotStart: the engine or the gateway could not be loaded.
    """
    options = ["--port", "0", "--db", database_of(folder), "--engine", engine, "--data", str(folder / "data")]
    with _listening(["serve", *options], log) as address:
        yield address


@contextmanager
def bridge(url: str, api_key: str, out: Path, log: Path) -> Iterator[tuple[str, int]]:
    """An OSC bridge that writes into ``out``, on a free port; gives its host and port. Raises as ``gateway``."""
    options = ["--listen", "127.0.0.1:0", "--out", str(out)]
    with _listening(["bridge", *options], log, LOOPMETER_URL=url, LOOPMETER_API_KEY=api_key) as address:
        parts = urlsplit(address)
        assert parts.hostname is not None and parts.port is not None
        yield parts.hostname, parts.port


def open_account(folder: Path, name: str, tokens: int) -> str:
    """A new customer of the gateway in ``folder``, with tokens; gives the API key."""
    db = database_of(folder)
    customer_id = str(admin.create_customer(db, name)["customer_id"])
    admin.grant(db, customer_id, tokens)
    return str(admin.create_key(db, customer_id)["key"])


def database_of(folder: Path) -> str:
    return f"sqlite:///{folder}/loopmeter.db"


@contextmanager
def _listening(arguments: list[str], log: Path, **environment: str) -> Iterator[str]:
    """Run the program until the block ends; gives the address that it says it listens on."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOOPMETER_")}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [_LOOPMETER, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, env=inherited | environment
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            process.wait(_STOP_S)
            raise DidNotStart(f"expected 'loopmeter {arguments[0]}' to listen, found: {log.read_text().strip()}")
        yield line.removeprefix("listening on ").strip()
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
