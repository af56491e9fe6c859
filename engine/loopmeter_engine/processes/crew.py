"""The processes of one engine: kept alive, and chosen among. Torch-free.

Each has a thread here that starts it, logs what it prints and starts it again when it has ended: at once, or, if it has
not answered anything in its life, after 0.5 s, doubling to 30 s.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from loopmeter_engine.contract import EngineFailed, EngineInfo
from loopmeter_engine.processes.process import STEP_S, EngineProcess, Line
from loopmeter_engine.registry import EngineUnavailable
from loopmeter_engine.stopping import check_wanted
from loopmeter_engine.taking_up import Lost

START_S = 120.0  # For a process to be ready: it may load gigabytes of weights.
WAIT_FIRST_S = 0.5
WAIT_MAX_S = 30.0
DEATHS_MAX = 3  # In a row, of a process that never answered: nobody waits for it then.
_HOMES_MAX = 256

_log = logging.getLogger(__name__)


class Crew:
    """``count`` processes with the engine ``name``, each with ``cores`` of the machine's.

    Raises:
        EngineUnavailable: none of them can run it; in the engine's words.
    """

    def __init__(self, name: str, count: int, cores: int) -> None:
        self._name, self._cores = name, cores
        self._changed = threading.Condition()  # Of what follows; held for moments.
        self._running: dict[int, EngineProcess] = {}
        self._ready: dict[int, EngineProcess] = {}
        self._deaths = dict.fromkeys(range(1, count + 1), 0)  # In a row, without an answer in between.
        self._words = ""
        self._info: EngineInfo | None = None
        self._homes: dict[int, int] = {}  # Hash of a request to the process that served it last.
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(number,), name=f"loopmeter-engine-process-{number}", daemon=True)
            for number in self._deaths
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)  # They would end with this process; but like this it sees them off.
        with self._changed:
            self._changed.wait_for(lambda: self._info is not None or all(self._deaths.values()))
        if self._info is None:
            self.close()
            raise EngineUnavailable(self._words)

    @property
    def info(self) -> EngineInfo:
        """What the engine is, in each of them."""
        assert self._info is not None
        return self._info

    @property
    def pids(self) -> list[int]:
        """Of those that are ready."""
        with self._changed:
            return [process.pid for _, process in sorted(self._ready.items())]

    def wait_for_all(self) -> None:
        """Until all of them are ready; the first one is from the start. Raises EngineFailed as ``line``."""
        with self._changed:
            self._wait_for(len(self._deaths))

    @contextlib.contextmanager
    def line(self, request: object, *, lease: bool) -> Iterator[Line]:
        """A line to the process that makes the fewest leases; of several, the one that has ``request`` prepared.

        Closed afterwards if anything was raised, so that the process stops what it does.

        Raises:
            EngineFailed: none of them runs, or none is ready within ``START_S``.
            Lost: it ended in this moment.
            LeaseStopped: nobody wants it any more.
        """
        process = self._choose(request, lease)
        try:
            line = process.open()
            try:
                yield line
            except BaseException:
                line.close()
                raise
            process.put_back(line)
        except Lost:
            self._gone(process)
            raise
        finally:
            with self._changed:
                process.leases -= lease

    def _choose(self, request: object, lease: bool) -> EngineProcess:
        key = hash(request)
        with self._changed:
            self._wait_for(1)
            home = self._homes.pop(key, 0)
            process = min(self._ready.values(), key=lambda one: (one.leases, one.number != home, one.number))
            process.leases += lease
            self._homes[key] = process.number  # The newest comes last.
            if len(self._homes) > _HOMES_MAX:
                del self._homes[next(iter(self._homes))]
        return process

    def _wait_for(self, count: int) -> None:
        """Until so many are ready. Holds the lock."""
        until_s = time.monotonic() + START_S
        while len(self._ready) < count:
            hopeless = min(self._deaths.values()) >= DEATHS_MAX or self._closed.is_set()
            if hopeless or time.monotonic() > until_s:
                raise EngineFailed(f"expected an engine process that runs, found none; last: {self._words}")
            check_wanted()
            self._changed.wait(STEP_S)

    def close(self) -> None:
        """End all of them, and wait until they have."""
        atexit.unregister(self.close)
        self._closed.set()
        with self._changed:
            for process in self._running.values():
                process.close()
        for thread in self._threads:
            thread.join()

    def _keep(self, number: int) -> None:
        """Have process ``number`` run, until this is closed."""
        while not self._closed.is_set():
            answered, words = self._live(number)
            with self._changed:
                self._deaths[number] = deaths = 0 if answered else self._deaths[number] + 1
                self._words = words
                self._changed.notify_all()
            if not self._closed.is_set():
                _log.warning("%s; it is started again", words)
                self._closed.wait(min(WAIT_FIRST_S * 2 ** (deaths - 1), WAIT_MAX_S) if deaths else 0)

    def _live(self, number: int) -> tuple[bool, str]:
        """One life of process ``number``: whether it has answered anything in it, and how it ended."""
        with self._changed:
            if self._closed.is_set():
                return False, "the engine was closed"
            try:
                process = self._running[number] = EngineProcess(self._name, self._cores, number)
            except OSError as error:
                return False, f"engine process {number} could not be started: {error}"
        info = process.meet()
        if info is not None and self._welcome(process, info):
            process.listen()
        self._gone(process)
        how = process.end()
        process.release()
        # What could not even start has said why, or how it ended.
        return process.answered, process.last_words if info is None else f"{how}; it last said: {process.last_words}"

    def _welcome(self, process: EngineProcess, info: EngineInfo) -> bool:
        """Give it leases from now on, if it has the same engine as the others."""
        with self._changed:
            self._info = self._info or info
            if info.fingerprint != self._info.fingerprint:
                process.last_words = (
                    f"expected engine {self._info.fingerprint}, found {info.fingerprint}; it was changed, start anew"
                )
                process.close()
                return False
            self._ready[process.number] = process
            self._changed.notify_all()
            return True

    def _gone(self, process: EngineProcess) -> None:
        with self._changed:
            if self._ready.get(process.number) is process:
                del self._ready[process.number]
