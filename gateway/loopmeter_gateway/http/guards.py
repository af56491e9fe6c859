"""Who may call what. Guards run before the body is read."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.accounts.keys import find_caller
from loopmeter_gateway.clock import to_ms
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


async def require_customer(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Let customers through whose key has one of the handler's ``scopes`` (an ``opt``), as it stands or by its method:
    ``make`` to change something, ``make`` or ``read`` to look. Raises ``Refused`` unauthenticated, forbidden.
    """
    looks = dict(connection.scope).get("method") in ("GET", "HEAD")  # A WebSocket has none, and makes.
    await _require(connection, handler.opt.get("scopes", ("make", "read") if looks else ("make",)))


async def require_admin(connection: _Connection, _: BaseRouteHandler) -> None:
    """Let operators through. Raises ``Refused`` unauthenticated, forbidden."""
    await _require(connection, ("admin",))


async def _require(connection: _Connection, scopes: tuple[str, ...]) -> None:
    kind, _, key = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise Refused("unauthenticated", "expected the header 'Authorization: Bearer lm_…', found none")
    gateway = gateway_of(connection)
    now_ms = to_ms(gateway.clock.now())
    caller = await gateway.database.read(lambda database: find_caller(database, key.strip(), now_ms))
    if caller is None:
        raise Refused("unauthenticated", "expected a valid API key, found an unknown, expired or revoked one")
    if caller.scopes.isdisjoint(scopes):
        found = ", ".join(sorted(caller.scopes))
        raise Refused("forbidden", f"expected a key of scope {' or '.join(scopes)}, found one of scope {found}")
    gateway.keys_used[caller.key_id] = now_ms
    connection.scope["auth"] = caller
    await _count(connection, caller)


async def _count(connection: _Connection, caller: Caller) -> None:
    """Count a request against its key's plan, but no cancel: who wants to spend less is not sent away.

    Raises ``Refused`` rate_limited.
    """
    gateway = gateway_of(connection)
    if dict(connection.scope).get("method") == "DELETE":
        return
    limit = (await gateway.plan_of(caller)).requests_per_minute if caller.customer_id else 0
    if not limit:
        return
    allowance = gateway.limiter.take(caller.key_id, limit)
    connection.scope["state"]["allowance"] = allowance
    if allowance.retry_after_s:
        detail = f"expected at most {limit} requests a minute in plan {caller.plan}, found more"
        wait_s = allowance.retry_after_s
        raise Refused("rate_limited", f"{detail}; ask again in {wait_s} s", retry_after_s=wait_s)


async def require_json(connection: _Connection, _: BaseRouteHandler) -> None:
    """Let plain JSON bodies through: nothing is unpacked. Raises ``Refused`` unsupported_media_type."""
    encoding = connection.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise Refused("unsupported_media_type", f"Content-Encoding: expected none, found {encoding}")
    found = connection.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != "application/json":
        raise Refused("unsupported_media_type", f"Content-Type: expected application/json, found {found or 'none'}")
