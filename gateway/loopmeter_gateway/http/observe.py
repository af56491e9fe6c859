"""Every answer is counted, timed, logged and traced, here and nowhere else."""

from __future__ import annotations

import logging
import time

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.http.errors import request_id
from loopmeter_gateway.tracing import span

_log = logging.getLogger("loopmeter.requests")
_QUIET = {"/healthz", "/readyz", "/metrics"}  # Asked every few seconds by machines.


class Observe:
    """Middleware. A stream is counted at its first byte and logged at its last."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        route = str(scope.get("path_template", "other"))
        method = str(scope.get("method", "WS"))
        seen: dict[str, object] = {"status": 0}

        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                status = int(message.get("status", 101))  # type: ignore[call-overload]
                seen["status"] = status
                for name, value in message.get("headers", ()):
                    if name == b"loopmeter-job-id":
                        seen["job_id"] = value.decode()
                self._gateway.metrics.answered(method, route, status, time.perf_counter() - began_s)
            await send(message)

        with (
            structlog.contextvars.bound_contextvars(request_id=request_id(scope)),
            span(f"{method} {route}", request_id=request_id(scope)),
        ):
            try:
                await self._app(scope, receive, sending)
            finally:
                if route not in _QUIET:
                    seconds = round(time.perf_counter() - began_s, 6)
                    caller = scope.get("auth")
                    extra = {"method": method, "path": scope["path"], "seconds": seconds, **seen}
                    if caller is not None:
                        extra |= {"customer_id": caller.customer_id, "key_id": caller.key_id}
                    _log.info("answered", extra=extra)
