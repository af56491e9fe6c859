"""Who may call what. Guards run before the body is read."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from loopmeter_gateway.accounts.customers import Caller, Scope, find_caller
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.problems import Refused

_Connection = ASGIConnection[Any, Any, Any, Any]


def gateway_of(connection: _Connection) -> Gateway:
    """The gateway behind this application."""
    gateway: Gateway = connection.app.state.gateway
    return gateway


def caller_of(connection: _Connection) -> Caller:
    """Who calls, once a guard has let the call through."""
    caller: Caller = connection.scope["auth"]
    return caller


async def require_customer(connection: _Connection, _: BaseRouteHandler) -> None:
    """Let customers through. Raises ``Refused`` unauthenticated, forbidden."""
    await _require(connection, "customer")


async def require_admin(connection: _Connection, _: BaseRouteHandler) -> None:
    """Let operators through. Raises ``Refused`` unauthenticated, forbidden."""
    await _require(connection, "admin")


async def _require(connection: _Connection, scope: Scope) -> None:
    kind, _, key = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise Refused("unauthenticated", "expected the header 'Authorization: Bearer lm_…', found none")
    caller = await gateway_of(connection).database.read(lambda database: find_caller(database, key.strip()))
    if caller is None:
        raise Refused("unauthenticated", "expected a valid API key, found an unknown or revoked one")
    if caller.scope != scope:
        raise Refused("forbidden", f"expected a key of scope {scope}, found one of scope {caller.scope}")
    connection.scope["auth"] = caller


async def require_json(connection: _Connection, _: BaseRouteHandler) -> None:
    """Let JSON bodies through. Raises ``Refused`` unsupported_media_type."""
    found = connection.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != "application/json":
        raise Refused("unsupported_media_type", f"Content-Type: expected application/json, found {found or 'none'}")
