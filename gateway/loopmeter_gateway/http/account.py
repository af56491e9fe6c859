"""What a customer has, used and may use; and whether the gateway lives."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import JSONBody, QueryParameter
from sqlalchemy import text

from loopmeter import Balance, ClientToken, ClientTokenRequest, ModelInfo, ModelPage, PriceBook, UsagePage
from loopmeter_gateway.accounts.keys import create_client_token
from loopmeter_gateway.clock import to_ms
from loopmeter_gateway.http.guards import caller_of, gateway_of, require_customer, require_json
from loopmeter_gateway.jobs.usage import CURSOR_MAX, PAGE_MAX, usage_page
from loopmeter_gateway.metrics import METRICS_MEDIA_TYPE
from loopmeter_gateway.money import ledger
from loopmeter_gateway.money.price_book import book_id, find_plan
from loopmeter_gateway.money.quotes import HOUSE_MODEL, includes_model
from loopmeter_gateway.problems import Refused

_Request = Request[Any, Any, Any]


class Account(Controller):
    """One customer's tokens."""

    path = "/v1"
    guards = [require_customer]  # noqa: RUF012  # Litestar declares it so.
    tags = ["account"]  # noqa: RUF012

    @get("/balance", opt={"scopes": ("read",)})
    async def balance(self, request: _Request) -> Balance:
        """Tokens: available, held for jobs in the making, and posted."""
        account_id = caller_of(request).customer_id
        return await gateway_of(request).database.read(partial(ledger.balance, account_id=account_id))

    @get("/usage", opt={"scopes": ("read",)})
    async def usage(
        self,
        request: _Request,
        cursor: Annotated[int | None, QueryParameter(name="cursor", ge=0, le=CURSOR_MAX)] = None,
        limit: Annotated[int, QueryParameter(name="limit", ge=1, le=PAGE_MAX)] = 50,
    ) -> UsagePage:
        """Jobs, newest first, each with its bill and what it took. ``next`` is the cursor of the next page."""
        customer_id = caller_of(request).customer_id
        page = partial(usage_page, customer_id=customer_id, cursor=cursor, limit=limit)
        return await gateway_of(request).database.read(page)

    @post("/client-tokens", guards=[require_json], status_code=201)
    async def client_token(self, request: _Request, data: JSONBody[ClientTokenRequest]) -> ClientToken:
        """A short-lived key with a small budget, to make loops with on other people's machines."""
        gateway, caller = gateway_of(request), caller_of(request)
        now_ms = to_ms(gateway.clock.now())
        make = partial(
            create_client_token, caller=caller, tokens_max=data.tokens_max, ttl_s=data.expires_in_s, now_ms=now_ms
        )
        return await gateway.database.write(make)

    @get("/models")
    async def models(self, request: _Request) -> ModelPage:
        """What loops can be made with, under which licence, in which plans. ``loopmeter`` names the house model."""
        gateway, caller = gateway_of(request), caller_of(request)
        info, book = gateway.engine.info(), await gateway.book_of(caller)
        granted = find_plan(book, caller.plan)
        return ModelPage(
            models=tuple(
                ModelInfo(
                    name=name,
                    version=info.version,
                    fingerprint=info.fingerprint,
                    sample_rate_hz=info.sample_rate_hz,
                    duration_s_max=min(info.duration_s_max, granted.duration_s_max),
                    capabilities=tuple(sorted(info.capabilities)),
                    licence=info.licence,
                    output_rights=info.output_rights,
                    price_book=book_id(book),
                    plans=tuple(plan.name for plan in book.plans if includes_model(plan, info)),
                    included=includes_model(granted, info),
                )
                for name in dict.fromkeys((HOUSE_MODEL, info.name))
            )
        )

    @get("/price-book")
    async def price_book(self, request: _Request) -> PriceBook:
        """The prices in force for this customer."""
        return await gateway_of(request).book_of(caller_of(request))


@get("/healthz", tags=["health"])
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/readyz", tags=["health"])
async def readyz(request: _Request) -> dict[str, str]:
    """Database and engine answer, so that requests may come."""
    gateway = gateway_of(request)
    if not gateway.ready:
        raise Refused("not_ready", "expected a running gateway, found one that is starting or stopping")
    await gateway.database.read(lambda connection: connection.execute(text("SELECT 1")).one())
    info = gateway.engine.info()
    return {"status": "ready", "engine": info.name, "engine_processes": str(info.processes)}


@get("/metrics", tags=["health"], media_type=METRICS_MEDIA_TYPE)
async def metrics(request: _Request) -> bytes:
    """Counts and times for Prometheus."""
    return gateway_of(request).metrics.text()
