"""The gateway as a Litestar application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from loopmeter_engine.contract import Engine
from loopmeter_gateway.clock import Clock, SystemClock
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.http.account import Account, healthz, metrics, readyz
from loopmeter_gateway.http.admin import Admin
from loopmeter_gateway.http.errors import add_request_id, on_exception, on_http_exception, on_refused
from loopmeter_gateway.http.live import live
from loopmeter_gateway.http.loops import Loops
from loopmeter_gateway.http.observe import Observe
from loopmeter_gateway.http.openapi import DocumentedJson
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.settings import Settings


def create_app(settings: Settings, engine: Engine, clock: Clock | None = None) -> Litestar:
    """An application that opens its gateway when it starts and closes it when it stops.

    The gateway is ``app.state.gateway``. Raises ``ValueError`` for settings that cannot work.
    """
    gateway = Gateway(settings, engine, clock or SystemClock())

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    app = Litestar(
        route_handlers=[Loops, Account, Admin, live, healthz, readyz, metrics],
        lifespan=[lifespan],
        middleware=[partial(Observe, gateway=gateway)],
        before_send=[add_request_id],
        exception_handlers={Refused: on_refused, HTTPException: on_http_exception, Exception: on_exception},
        openapi_config=OpenAPIConfig(
            title="Loopmeter",
            version=version("loopmeter"),
            path="/schema",
            render_plugins=[DocumentedJson(path=["/", "/openapi.json"])],
        ),
        request_max_body_size=settings.body_bytes_max,
        logging_config=None,
    )
    app.state.gateway = gateway
    return app
