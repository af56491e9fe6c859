"""The gateway as a process: uvicorn with uvloop and httptools."""

from __future__ import annotations

import errno
import gc
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn

from loopmeter_engine.contract import Engine
from loopmeter_engine.guard import DEADLINE_S
from loopmeter_engine.processes.count import default_processes
from loopmeter_engine.registry import open_engine
from loopmeter_gateway.app import create_app
from loopmeter_gateway.clock import SystemClock, to_ms
from loopmeter_gateway.database import once
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.logs import set_up_logs
from loopmeter_gateway.money.books import Books
from loopmeter_gateway.settings import Settings, with_numbers

# How long a stream may take to say goodbye. What it has not delivered by then is resumed at the next start.
STOP_S = 5
# What the kernel takes from us before the client reads it counts as delivered, so it is kept small.
SEND_BUFFER_BYTES = 256 * 1024
WS_MESSAGE_BYTES_MAX = 65_536

_log = logging.getLogger(__name__)


def serve(
    *,
    host: str,
    port: int,
    db: str,
    engine: str,
    data: Path | None,
    price_book: str = "standard",
    chunks: str = "",
    deadline_s: float | None = None,
    engine_processes: int | None = None,
    usage_target: str = "",
    usage_token: str = "",
    numbers: Iterable[str] = (),
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Prints ``listening on http://HOST:PORT`` when ready; port 0 takes a free one.

    ``deadline_s`` is what the engine gets for one chunk, ``engine_processes`` how many of their own work for it: None
    takes as many as suit it and the machine (``default_processes``), with 0 it works in this one. ``numbers`` are
    further settings, such as ``chunk_days=90``, as ``with_numbers`` takes them. ``announce`` is given the address
    instead of printing it.

    Raises:
        EngineUnavailable: no engine of that name can be loaded.
        ValueError: the database address or its content cannot be used, or there is no such price book, usage target or
            number; or processes for an engine at an address.
        OSError: the address cannot be listened on.
    """
    _listen(host, port).close()  # Only tried: a taken port is told before anything is loaded.
    # Once more than needed, because what is wrong with either is said here in a sentence, and from within the server
    # by pages of its own frames.
    once(db, partial(Books(price_book).put_in_force, now_ms=to_ms(SystemClock().now())))
    settings = Settings(db=db, price_book=price_book, chunks=chunks, usage_target=usage_target, usage_token=usage_token)
    if data is not None:
        settings = replace(settings, data=data)
    settings = with_numbers(settings, numbers)
    set_up_logs()
    count = default_processes(engine) if engine_processes is None else engine_processes
    opened = open_engine(engine, deadline_s or DEADLINE_S, count)
    where = f"{count} processes" if count > 1 else "a process of its own" if count else "the gateway's process"
    _log.info("engine %s works in %s", opened.info().name, where)
    serve_engine(opened, settings, host, port, announce or _announce)


def _announce(url: str) -> None:
    print(f"listening on {url}", flush=True)


def serve_engine(
    engine: Engine, settings: Settings, host: str, port: int, announce: Callable[[str], None] = _announce
) -> None:
    """``serve`` for an engine that is loaded already, with every setting open."""
    app = create_app(settings, engine)
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=WS_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,  # Sound does not shrink, and a small message could unfold to a large one.
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    _Server(config, app.state.gateway, announce).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        found = (
            f"expected a free port, found {host}:{port} in use; stop what listens there, or take another with --port"
        )
        raise OSError(found) from error
    listener.set_inheritable(True)
    return listener


class _Server(uvicorn.Server):
    """Says where it listens, and ends its streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Engine and libraries stay as long as the process: a sweep for garbage through all of them stops it for 50 ms.
        gc.collect()
        gc.freeze()
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            self._announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.say_goodbye()
        await super().shutdown(sockets)
