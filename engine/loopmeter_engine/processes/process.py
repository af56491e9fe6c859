"""One engine process as its host sees it: it starts, says what it is, answers over its connections, and ends."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from loopmeter_engine.contract import EngineFailed, EngineInfo, InvalidRequest
from loopmeter_engine.processes.child import ANSWER
from loopmeter_engine.remote.wire import INFO
from loopmeter_engine.stopping import LeaseStopped, check_wanted
from loopmeter_engine.taking_up import Lost

STEP_S = 0.01  # How often whoever waits for an answer looks whether it is still wanted.
_END_S = 5.0

_log = logging.getLogger(__name__)


class EngineProcess:
    """Engine ``name`` in a process of its own, with ``cores`` of the machine's. ``number`` tells it from the others.

    ``leases`` is how many it makes now, ``answered`` whether it has ever answered a call, ``last_words`` the last line
    that it printed, or how it ended. Raises ``OSError``: the system has no room for another process.
    """

    def __init__(self, name: str, cores: int, number: int) -> None:
        self.number, self.leases, self.answered, self.last_words = number, 0, False, ""
        self._idle: list[Line] = []
        self._control, theirs = socket.socketpair()
        program = [sys.executable, "-P", "-X", "faulthandler", "-m", "loopmeter_engine.processes.child"]
        with theirs, contextlib.ExitStack() as on_failure:
            on_failure.callback(self._control.close)
            self._process = subprocess.Popen(
                [*program, name, str(cores), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(cores)},
                start_new_session=True,  # Away from the terminal and its Ctrl-C.
                text=True,
                errors="replace",
            )
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        return self._process.pid

    def meet(self) -> EngineInfo | None:
        """What its engine is; None if it cannot run, for which ``last_words`` has the reason."""
        for line in self._lines():
            if line.startswith(ANSWER):
                answer = json.loads(line.removeprefix(ANSWER))
                if "info" in answer:
                    return INFO.validate_python(answer["info"])
                self.last_words = answer["problem"]
                return None
        self.last_words = f"{self.end()}: {self.last_words or 'no word'}"
        return None

    def listen(self) -> None:
        """Log what it prints, until it ends."""
        for _ in self._lines():
            pass

    def _lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                yield line
            elif line.strip():
                self.last_words = line.strip()
                _log.info("engine process %d: %s", self.number, self.last_words)

    def open(self) -> Line:
        """A line that nobody else uses. Raises ``Lost``."""
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise Lost(self.end()) from error
        return Line(self, Connection(ours.detach()))

    def put_back(self, line: Line) -> None:
        """A line on which everything was answered."""
        self._idle.append(line)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> str:
        """Wait until it has ended, which it does when its host closes it or is gone; gives how it ended."""
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        how = f"with status {status}" if status >= 0 else f"by signal {signal.Signals(-status).name}"
        return f"engine process {self.number} (pid {self.pid}) was ended {how}"

    def close(self) -> None:
        """Have it end by itself, at once; ``listen`` and ``end`` return then."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def release(self) -> None:
        """Let go of what it was reached by, once it has ended."""
        self._control.close()
        for line in self._idle:
            line.close()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Line:
    """A connection to a process, for one call at a time. Closing it stops what the process does for it."""

    def __init__(self, process: EngineProcess, connection: Connection) -> None:
        self._process, self._connection = process, connection
        self.close = connection.close

    def ask(self, method: str, *arguments: object) -> None:
        """Begin a call; ``answer`` gives its results. Raises ``Lost``."""
        try:
            self._connection.send((method, arguments))
        except OSError as error:
            raise Lost(self._process.end()) from error

    def answer(self, deadline_s: float) -> object:
        """The next value of the call in hand.

        Raises:
            Lost: the process has ended.
            LeaseStopped: nobody wants it any more.
            EngineFailed: nothing came within ``deadline_s``, so the process was ended; or what the engine raised, as
                may be the other exceptions of the contract.
        """
        process, until_s = self._process, time.monotonic() + deadline_s
        try:
            while not self._connection.poll(STEP_S):
                check_wanted()
                if time.monotonic() > until_s:
                    process.kill()
                    raise EngineFailed(
                        f"expected an answer of engine process {process.number} within {deadline_s:g} s, found none; "
                        "the process was ended"
                    )
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise Lost(process.end()) from error
        process.answered = True
        if kind == "raised":
            raise _raised(*value)
        assert kind == "value"
        return value


def _raised(kind: str, message: str, field: str) -> Exception:
    """What the engine raised over there."""
    if kind == "invalid_request":
        return InvalidRequest(field, message)
    if kind == "value":
        return ValueError(message)
    return LeaseStopped(message) if kind == "stopped" else EngineFailed(message)
