"""What runs in an engine process: one engine, and a thread for each connection that the host opens to it.

    python -m loopmeter_engine.processes.child NAME CORES DESCRIPTOR

Connections come as descriptors over the socket ``DESCRIPTOR``. On each the host asks one thing after the other:
``(method, arguments)``, both pickled, since both ends are ours. The answer is ``("value", result)`` or ``("raised",
(kind, message, field))``; a lease gives each chunk as a value and None at its end. A host that does not want a lease
any more closes the connection. What is printed goes to the host, which logs it. The process ends with its host.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from loopmeter import LoopRequest
from loopmeter_engine.contract import Engine, EngineError, InvalidRequest
from loopmeter_engine.processes.giving_back import GivingBack, trim_function
from loopmeter_engine.registry import load_engine
from loopmeter_engine.stopping import LeaseStopped, stop_when

ANSWER = "loopmeter-engine: "  # Before the one line that says what the engine is.
_WAKE_UP = LoopRequest(prompt="house", tempo_bpm=120, bars=1)


def main() -> None:
    name, cores, descriptor = sys.argv[1:]
    # Ctrl-C and a service's stop reach every process; the host still needs this one to finish its streams.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    threading.Thread(target=_end_with_host, daemon=True).start()
    from loopmeter_engine.remote.wire import INFO

    try:
        engine = load_engine(name, int(cores))
        answer = {"info": INFO.dump_python(engine.info(), mode="json")}
    # An engine is a plug-in: the host hears why it cannot run, in the engine's words.
    except Exception as error:
        _say({"problem": str(error)})
        sys.exit(1)
    _say(answer)
    _wake_up(engine)
    # What is loaded stays: a sweep for garbage through all of it would hold up every stream.
    gc.collect()
    gc.freeze()
    trim = trim_function()
    work = GivingBack(trim).work if trim is not None else contextlib.nullcontext
    with socket.socket(fileno=int(descriptor)) as control:
        while found := socket.recv_fds(control, 1, 1)[1]:
            threading.Thread(target=_serve, args=(engine, Connection(found[0]), work), daemon=True).start()


def _say(answer: dict[str, object]) -> None:
    print(ANSWER + json.dumps(answer), flush=True)


def _end_with_host() -> None:
    """The host holds the other end of standard input for as long as it lives."""
    sys.stdin.read()
    os._exit(0)


def _wake_up(engine: Engine) -> None:
    """Load what is loaded at first use, before somebody waits for it."""
    with contextlib.suppress(Exception):  # Whoever asks for the same will hear of it.
        next(engine.lease(engine.plan(_WAKE_UP).request, 0, 1, None))


def _serve(engine: Engine, connection: Connection, work: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    with connection, contextlib.suppress(EOFError, OSError):  # The host has closed it.
        while True:
            method, arguments = connection.recv()
            try:
                with work():
                    _answer(engine, method, arguments, connection)
            # What the engine raises belongs to the host.
            except Exception as error:
                connection.send(("raised", _told(error)))


def _answer(engine: Engine, method: str, arguments: tuple[object, ...], connection: Connection) -> None:
    # While a lease runs, nothing comes from the host but the end of the connection.
    with stop_when(connection.poll):
        result = getattr(engine, method)(*arguments)
        if not method.startswith("lease"):
            connection.send(("value", result))
            return
        with _closing(result) as chunks:
            for chunk in chunks:
                connection.send(("value", chunk))
    connection.send(("value", None))


@contextlib.contextmanager
def _closing(chunks: Iterator[object]) -> Iterator[Iterator[object]]:
    try:
        yield chunks
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _told(error: Exception) -> tuple[str, str, str]:
    """An exception as the host can raise it again: its kind, its words, and the field it names."""
    if isinstance(error, InvalidRequest):
        return "invalid_request", str(error), error.field
    if isinstance(error, LeaseStopped):
        return "stopped", str(error), ""
    if isinstance(error, EngineError):
        return "failed", str(error), ""
    if isinstance(error, ValueError):
        return "value", str(error), ""
    return "broken", f"expected what the contract allows, found {type(error).__name__}: {error}", ""


if __name__ == "__main__":
    main()
