"""An engine as an HTTP server of its own, for gateways on other machines. Plain ASGI; uvicorn runs it.

    GET /healthz    POST /plan, /score          LoopRequest in, JSON out
    GET /info       POST /lease                 LeaseCall in, records out (``wire.py``)
                    POST /plan-live, /lease-live  the same for endless sessions, where the engine plays them

Stateless: whoever holds a state may go on here, whatever became of the process that gave it. A client that leaves
closes its lease, which stops the engine at the next step. As many leases are made at once as the engine allows; up to
``LEASES_MAX`` take turns, chunk by chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hmac
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar

from loopmeter import LiveRequest, LoopRequest
from loopmeter_engine.contract import Chunk, Engine, EngineFailed, InvalidRequest, LiveEngine
from loopmeter_engine.processes.count import default_processes
from loopmeter_engine.registry import EngineUnavailable, open_engine
from loopmeter_engine.remote import wire
from loopmeter_engine.remote.wire import LeaseCall, LiveLeaseCall, PlanAnswer, Refusal
from loopmeter_engine.stopping import LeaseStopped, stop_when

TOKEN_VARIABLE = "LOOPMETER_ENGINE_TOKEN"
LEASES_MAX = 16  # Or as many as the engine can make at a time. Whoever comes then is told to come back.

_log = logging.getLogger(__name__)
_Scope = dict[str, Any]
_Result = TypeVar("_Result")
_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class EngineApp:
    """``engine`` behind HTTP. Everybody who knows ``token`` may use it; with ``None``, everybody who gets through."""

    def __init__(self, engine: Engine, token: str | None = None) -> None:
        self._engine = engine
        self._token = token
        self._leases = 0
        at_once = engine.info().streams_at_once
        self._leases_max = max(LEASES_MAX, at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="loopmeter-lease")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except InvalidRequest as error:
            await _refuse(send, 422, Refusal(kind="invalid_request", field=error.field, message=str(error)))
        except ValueError as error:
            await _refuse(send, 400, Refusal(kind="value", message=str(error)))
        except EngineFailed as error:
            await _refuse(send, 502, Refusal(kind="failed", message=str(error)))

    async def _answer(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        call = (scope["method"], scope["path"])
        if call == ("GET", "/healthz"):
            await _send_json(send, 200, b'{"status": "ok"}')
            return
        if not self._knows(scope):
            await _refuse(send, 401, Refusal(kind="unauthenticated", message=f"expected the token of {TOKEN_VARIABLE}"))
        elif call == ("GET", "/info"):
            await _send_json(send, 200, wire.INFO.dump_json(self._engine.info()))
        elif call == ("POST", "/plan"):
            request = LoopRequest.model_validate_json(await _body(receive))
            plan = await asyncio.to_thread(self._engine.plan, request)
            answer = PlanAnswer(plan=plan, fingerprint=self._engine.info().fingerprint)
            await _send_json(send, 200, answer.model_dump_json().encode())
        elif call == ("POST", "/score"):
            request = LoopRequest.model_validate_json(await _body(receive))
            await _send_json(send, 200, wire.encode_score(await asyncio.to_thread(self._engine.score, request)))
        elif call == ("POST", "/lease"):
            asked = LeaseCall.model_validate_json(await _body(receive))
            make = partial(self._engine.lease, asked.request, asked.start_chunk, asked.count, asked.state)
            await self._lease(asked.fingerprint, make, receive, send)
        elif isinstance(self._engine, LiveEngine) and call == ("POST", "/plan-live"):
            session = LiveRequest.model_validate_json(await _body(receive))
            plan_live = await asyncio.to_thread(self._engine.plan_live, session)
            await _send_json(send, 200, wire.LIVE_PLAN.dump_json(plan_live))
        elif isinstance(self._engine, LiveEngine) and call == ("POST", "/lease-live"):
            live = LiveLeaseCall.model_validate_json(await _body(receive))
            place = (live.start_chunk, live.count, live.state)
            play = partial(self._engine.lease_live, live.request, live.changes, *place)
            await self._lease(live.fingerprint, play, receive, send)
        else:
            message = f"expected /info, /plan, /score, /lease or, if it plays live, /plan-live, /lease-live: {call}"
            await _refuse(send, 404, Refusal(kind="not_found", message=message))

    def _knows(self, scope: _Scope) -> bool:
        if self._token is None:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())

    async def _lease(self, asked: str, make: Callable[[], Iterator[Chunk]], receive: _Receive, send: _Send) -> None:
        """``asked`` is the fingerprint of the engine that the caller means, ``make`` gives the lease."""
        fingerprint = self._engine.info().fingerprint
        if asked != fingerprint:
            message = f"expected a lease for {fingerprint!r}, found one for {asked!r}"
            await _refuse(send, 409, Refusal(kind="fingerprint", message=message))
            return
        if self._leases >= self._leases_max:
            message = f"expected at most {self._leases_max} leases at a time"
            await _refuse(send, 503, Refusal(kind="busy", message=message))
            return
        self._leases += 1
        try:
            await self._stream(await self._run(make), receive, send)
        finally:
            self._leases -= 1

    async def _stream(self, chunks: Iterator[Chunk], receive: _Receive, send: _Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _headers(wire.LEASE_MEDIA_TYPE)})
        left = threading.Event()
        with stop_when(left.is_set):
            sending = asyncio.create_task(self._send_chunks(chunks, send))
        leaving = asyncio.create_task(_until_client_leaves(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            left.set()
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send_chunks(self, chunks: Iterator[Chunk], send: _Send) -> None:
        """Chunks as they are made. The engine's step in hand cannot be cancelled; it is waited for, then closed."""
        made = 0
        try:
            while True:
                step = asyncio.ensure_future(self._run(lambda: next(chunks, None)))
                try:
                    chunk = await asyncio.shield(step)
                except asyncio.CancelledError:
                    await asyncio.wait({step})
                    step.exception()  # That it was stopped, most likely; nobody is there to hear of it.
                    raise
                record = wire.encode_end(made) if chunk is None else wire.encode_chunk(chunk)
                await send({"type": "http.response.body", "body": record, "more_body": chunk is not None})
                if chunk is None:
                    return
                made += 1
        except EngineFailed as error:
            _log.warning("a lease failed: %s", error)
            await send({"type": "http.response.body", "body": wire.encode_failure(str(error)), "more_body": False})
        except LeaseStopped:
            pass  # Its client has left.
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                await self._run(close)

    def _run(self, call: Callable[[], _Result]) -> Awaitable[_Result]:
        """A call of a lease, in one of the engine's threads and in this context."""
        context = contextvars.copy_context()
        return asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)


async def _until_client_leaves(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: _Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("expected a whole body, found one that was cut")
        body += message.get("body", b"")
        if len(body) > wire.BODY_BYTES_MAX:
            raise ValueError(f"expected a body of at most {wire.BODY_BYTES_MAX} bytes, found more")
        if not message.get("more_body", False):
            return bytes(body)


async def _refuse(send: _Send, status: int, refusal: Refusal) -> None:
    await _send_json(send, status, refusal.model_dump_json().encode())


async def _send_json(send: _Send, status: int, body: bytes) -> None:
    headers = [*_headers("application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(media_type: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]


def serve_engine_process(
    name: str,
    host: str,
    port: int,
    deadline_s: float,
    announce: Callable[[str], None] | None = None,
    processes: int | None = None,
) -> None:
    """Serve the engine called ``name`` until SIGTERM or SIGINT. Prints ``listening on http://HOST:PORT`` when ready.

    ``announce`` is given the address instead of printing it. ``processes``: how many of their own the engine works in;
    None takes ``default_processes``.

    Raises:
        EngineUnavailable: no engine of that name can be loaded, or it is itself a remote one.
        ValueError: an address beyond loopback without a token.
        OSError: the address cannot be listened on.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not _is_loopback(host):
        raise ValueError(
            f"expected a loopback address or a token in {TOKEN_VARIABLE}, found {host} without one; "
            "whoever reaches the port could use the engine"
        )
    if "://" in name:
        raise EngineUnavailable(f"expected the name of an installed engine, found {name!r}; let the gateway use it")
    engine = open_engine(name, deadline_s, default_processes(name) if processes is None else processes)
    _run(EngineApp(engine, token), host, port, announce or _announce)


def _announce(url: str) -> None:
    print(f"listening on {url}", flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(app: EngineApp, host: str, port: int, announce: Callable[[str], None]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Says where it listens."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            for listener in sockets or ():
                address = listener.getsockname()
                shown = f"[{address[0]}]" if ":" in address[0] else address[0]
                announce(f"http://{shown}:{address[1]}")

    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    Server(config).run(sockets=[listener])
