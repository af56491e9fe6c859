"""What operators do over HTTP, with a key of the scope ``admin``. The work is in ``accounts/administration.py``."""

from __future__ import annotations

import io
from functools import partial
from typing import Annotated, Any, TypeVar

from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from loopmeter import Job, JobState
from loopmeter_gateway.accounts import administration, keys
from loopmeter_gateway.accounts.administration import PAGE_MAX, CustomerRecord, HoldRecord, NewKey, OwnedJob
from loopmeter_gateway.accounts.keys import KeyRecord, KeySpec, key_scopes
from loopmeter_gateway.clock import to_ms
from loopmeter_gateway.database import Work
from loopmeter_gateway.http.guards import caller_of, gateway_of, require_admin, require_json
from loopmeter_gateway.jobs.usage import CURSOR_MAX
from loopmeter_gateway.money import reports, usage_records
from loopmeter_gateway.money.audit import Audit, audit
from loopmeter_gateway.money.books import StoredBook, look_up_book, stored_books
from loopmeter_gateway.money.movements import TOKENS_MAX, Why
from loopmeter_gateway.money.price_book import book_id, parse_price_book
from loopmeter_gateway.money.reports import MarginRow, Rates, Simulation
from loopmeter_gateway.money.statement import Entry
from loopmeter_gateway.problems import Refused

_Request = Request[Any, Any, Any]
_Result = TypeVar("_Result")
_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
_Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
_Tokens = Annotated[int, Field(ge=-TOKENS_MAX, le=TOKENS_MAX)]
_Budget = Annotated[int, Field(ge=0, le=TOKENS_MAX)] | None
_Micros = Annotated[int, Field(ge=0, le=10**15)]
_Since = Annotated[AwareDatetime | None, QueryParameter(name="since")]
_Until = Annotated[AwareDatetime | None, QueryParameter(name="until")]
_MicrosQuery = Annotated[int, QueryParameter(ge=0, le=10**15)]


class _Body(BaseModel):
    """What operators send forbids unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewCustomer(_Body):
    """``price_book`` is a shipped one or one in force; without it the customer has that of the gateway."""

    name: _Text
    plan: _Text = "standard"
    price_book: _Text | None = None


class Terms(_Body):
    """What is left out stays. The price book ``gateway`` is that of the gateway."""

    plan: _Text | None = None
    price_book: _Text | None = None


class KeyOrder(_Body):
    """A key to make."""

    name: Annotated[str, Field(max_length=200)] = ""
    scopes: Annotated[tuple[str, ...], Field(min_length=1, max_length=3)] = ("make", "read")
    expires_at: AwareDatetime | None = None
    day_tokens_max: _Budget = None
    month_tokens_max: _Budget = None


class Rotation(_Body):
    """For how long the old key stays valid beside the new one."""

    overlap_s: Annotated[int, Field(ge=0, le=keys.OVERLAP_S_MAX)] = 86_400


class Budget(_Body):
    """What a key may spend; ``None``: all there is."""

    day_tokens_max: _Budget = None
    month_tokens_max: _Budget = None


class Movement(_Body):
    """Tokens to move. The same ``reference`` again moves nothing; ``Idempotency-Key`` stands in for it."""

    tokens: _Tokens
    reason: _Reason
    reference: _Text | None = None


class Refund(_Body):
    """What to give back; without ``tokens`` all that is left of what the job was charged."""

    tokens: Annotated[int, Field(ge=1, le=TOKENS_MAX)] | None = None
    reason: _Reason
    reference: _Text | None = None


class NewBook(_Body):
    """A price book as TOML."""

    toml: Annotated[str, Field(min_length=1, max_length=100_000)]


class SimulationOrder(_Body):
    """Either the name of a book that is shipped or in force, or the TOML of one that is not."""

    price_book: _Text | None = None
    toml: Annotated[str, Field(max_length=100_000)] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    token_micros: _Micros = 0
    device_hour_micros: _Micros = 0


class JobPage(BaseModel):
    """Jobs, newest first. ``next`` is the cursor of the page after this one."""

    jobs: tuple[OwnedJob, ...]
    next: int | None


class Admin(Controller):
    """Everything an operator does. Money is in whole tokens; reports take and give millionths of a currency."""

    path = "/admin"
    guards = [require_admin]  # noqa: RUF012  # Litestar declares it so.
    tags = ["admin"]  # noqa: RUF012

    # Customers.

    @post("/customers", guards=[require_json], status_code=201)
    async def create_customer(self, request: _Request, data: JSONBody[NewCustomer]) -> CustomerRecord:
        """A new customer, with what its plan grants for this month."""
        books, now_ms = gateway_of(request).books, _now_ms(request)
        return await _write(
            request,
            lambda c: administration.create_customer(c, books, data.name, data.plan, data.price_book, now_ms),
        )

    @get("/customers")
    async def list_customers(
        self,
        request: _Request,
        after: Annotated[str, QueryParameter(name="after", max_length=200)] = "",
        limit: Annotated[int, QueryParameter(name="limit", ge=1, le=PAGE_MAX)] = PAGE_MAX,
    ) -> list[CustomerRecord]:
        """Customers in the order of their ids, from behind ``after``."""
        return await _read(request, lambda c: administration.list_customers(c, after, limit))

    @get("/customers/{customer:str}")
    async def show_customer(self, request: _Request, customer: FromPath[str]) -> CustomerRecord:
        """One customer, by id or name, and its balance."""
        return await _read(request, lambda c: administration.show_customer(c, customer))

    @patch("/customers/{customer:str}", guards=[require_json])
    async def set_terms(self, request: _Request, customer: FromPath[str], data: JSONBody[Terms]) -> CustomerRecord:
        """Another plan or price book, from the next quote on."""
        books, now_ms = gateway_of(request).books, _now_ms(request)
        return await _write(
            request, lambda c: administration.set_terms(c, books, customer, data.plan, data.price_book, now_ms)
        )

    @post("/customers/{customer:str}/grants", guards=[require_json], status_code=201)
    async def grant(self, request: _Request, customer: FromPath[str], data: JSONBody[Movement]) -> CustomerRecord:
        """Give tokens, or with a negative number take back what is available."""
        why, now_ms = _why(request, data.reason, data.reference), _now_ms(request)
        return await _write(request, lambda c: administration.grant(c, customer, data.tokens, now_ms, why))

    @post("/customers/{customer:str}/adjustments", guards=[require_json], status_code=201)
    async def adjust(self, request: _Request, customer: FromPath[str], data: JSONBody[Movement]) -> CustomerRecord:
        """Correct a balance up or down."""
        why, now_ms = _why(request, data.reason, data.reference), _now_ms(request)
        return await _write(request, lambda c: administration.adjust(c, customer, data.tokens, now_ms, why))

    @get("/customers/{customer:str}/entries")
    async def list_entries(
        self,
        request: _Request,
        customer: FromPath[str],
        before_ms: Annotated[int | None, QueryParameter(name="before_ms", ge=0, le=CURSOR_MAX)] = None,
        limit: Annotated[int, QueryParameter(name="limit", ge=1, le=PAGE_MAX)] = 50,
    ) -> list[Entry]:
        """What moved a customer's tokens, newest first; the charges of a job are one entry."""
        return await _read(request, lambda c: administration.list_entries(c, customer, limit, before_ms))

    # Keys.

    @get("/customers/{customer:str}/keys")
    async def list_keys(self, request: _Request, customer: FromPath[str]) -> list[KeyRecord]:
        """The keys of a customer, without their secrets."""
        now_ms = _now_ms(request)
        return await _read(request, lambda c: administration.list_keys(c, customer, now_ms))

    @post("/customers/{customer:str}/keys", guards=[require_json], status_code=201)
    async def create_key(self, request: _Request, customer: FromPath[str], data: JSONBody[KeyOrder]) -> NewKey:
        """A key, shown this once."""
        now_ms = _now_ms(request)
        spec = KeySpec(
            name=data.name,
            scopes=key_scopes(data.scopes),
            expires_at_ms=None if data.expires_at is None else to_ms(data.expires_at),
            day_tokens_max=data.day_tokens_max,
            month_tokens_max=data.month_tokens_max,
        )
        return await _write(request, lambda c: administration.create_key(c, customer, spec, now_ms))

    @post("/keys/{key_id:str}/rotate", guards=[require_json], status_code=201)
    async def rotate_key(self, request: _Request, key_id: FromPath[str], data: JSONBody[Rotation]) -> NewKey:
        """A successor with the same scopes and budget; the old key ends after the overlap."""
        now_ms = _now_ms(request)
        return await _write(request, lambda c: administration.rotate_key(c, key_id, data.overlap_s, now_ms))

    @put("/keys/{key_id:str}/budget", guards=[require_json])
    async def set_budget(self, request: _Request, key_id: FromPath[str], data: JSONBody[Budget]) -> KeyRecord:
        """What a key, its successors and their client tokens may spend in a day and in a month."""
        now_ms, limits = _now_ms(request), (data.day_tokens_max, data.month_tokens_max)
        return await _write(request, lambda c: keys.set_budget(c, key_id, *limits, now_ms))

    @delete("/keys/{key_id:str}", status_code=200)
    async def revoke_key(self, request: _Request, key_id: FromPath[str]) -> KeyRecord:
        """End a key and its client tokens at once."""
        return await _write(request, partial(keys.revoke_key, key_id=key_id, now_ms=_now_ms(request)))

    # Price books.

    @get("/price-books")
    async def list_books(self, request: _Request) -> list[StoredBook]:
        """The price books that are or were in force."""
        return await _read(request, stored_books)

    @post("/price-books", guards=[require_json], status_code=201)
    async def add_book(self, request: _Request, data: JSONBody[NewBook]) -> dict[str, str]:
        """Put a price book in force, for good."""
        now_ms = _now_ms(request)
        book = await _write(request, lambda c: administration.add_book(c, data.toml, now_ms))
        return {"price_book": book_id(book)}

    # Jobs and holds.

    @get("/jobs")
    async def list_jobs(
        self,
        request: _Request,
        customer: Annotated[str | None, QueryParameter(name="customer", max_length=200)] = None,
        job_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
        cursor: Annotated[int | None, QueryParameter(name="cursor", ge=0, le=CURSOR_MAX)] = None,
        limit: Annotated[int, QueryParameter(name="limit", ge=1, le=PAGE_MAX)] = 50,
    ) -> JobPage:
        """Jobs of all customers, newest first."""
        jobs, after = await _read(request, lambda c: administration.list_jobs(c, customer, job_state, cursor, limit))
        return JobPage(jobs=tuple(jobs), next=after)

    @delete("/jobs/{job_id:str}", status_code=200)
    async def cancel_job(self, request: _Request, job_id: FromPath[str]) -> Job:
        """End a job of any customer, charged for what was delivered."""
        return await _write(request, partial(administration.cancel_job, job_id=job_id, now_ms=_now_ms(request)))

    @post("/jobs/{job_id:str}/refunds", guards=[require_json], status_code=201)
    async def refund(self, request: _Request, job_id: FromPath[str], data: JSONBody[Refund]) -> CustomerRecord:
        """Give back a part of what a job was charged, or all that is left of it."""
        why, now_ms = _why(request, data.reason, data.reference), _now_ms(request)
        return await _write(request, lambda c: administration.refund(c, job_id, data.tokens, now_ms, why))

    @get("/holds")
    async def list_holds(self, request: _Request) -> list[HoldRecord]:
        """The open holds; those that expire first come first."""
        return await _read(request, administration.list_holds)

    @delete("/holds/{hold_id:str}", status_code=200)
    async def void_hold(
        self,
        request: _Request,
        hold_id: FromPath[str],
        reason: Annotated[str, QueryParameter(name="reason", min_length=1, max_length=500)],
    ) -> HoldRecord:
        """Free what a hold has not posted, and end its job."""
        why, now_ms = _why(request, reason, None), _now_ms(request)
        return await _write(request, lambda c: administration.void_hold(c, hold_id, now_ms, why))

    # Reports.

    @get("/audit")
    async def audit(self, request: _Request) -> Audit:
        """The books, added up anew."""
        return await _read(request, audit)

    @get("/reports/margin")
    async def margin(
        self,
        request: _Request,
        since: _Since = None,
        until: _Until = None,
        token_micros: _MicrosQuery = 0,
        device_hour_micros: _MicrosQuery = 0,
    ) -> list[MarginRow]:
        """Tokens sold against device seconds and their cost, per model, plan and customer."""
        period, rates = _period(request, since, until), Rates(token_micros, device_hour_micros)
        return await _read(request, lambda c: reports.margin(usage_records.ended_jobs(c, *period), rates))

    @get("/reports/usage", media_type="text/csv")
    async def usage(self, request: _Request, since: _Since = None, until: _Until = None) -> Response[str]:
        """What was made and paid, job by job, as CSV."""
        period = _period(request, since, until)
        found = await _read(request, lambda c: [job.usage for job in usage_records.ended_jobs(c, *period)])
        file = io.StringIO()
        usage_records.write_csv(found, file)
        return Response(file.getvalue(), media_type="text/csv")

    @post("/simulations", guards=[require_json], status_code=200)
    async def simulate(self, request: _Request, data: JSONBody[SimulationOrder]) -> Simulation:
        """The usage of a period under another price book. Nothing changes."""
        if (data.price_book is None) == (data.toml is None):
            raise Refused.field("price_book", "either a price_book or a toml", "both or none")
        period, rates = _period(request, data.since, data.until), Rates(data.token_micros, data.device_hour_micros)
        try:
            written = None if data.toml is None else parse_price_book(data.toml)
        except ValueError as error:
            raise Refused.field("toml", "a price book", str(error)) from error
        return await _read(
            request,
            lambda c: reports.simulate(
                usage_records.ended_jobs(c, *period),
                written or look_up_book(c, data.price_book or ""),
                rates,
                *period,
            ),
        )


async def _read(request: _Request, work: Work[_Result]) -> _Result:
    return await gateway_of(request).database.read(work)


async def _write(request: _Request, work: Work[_Result]) -> _Result:
    return await gateway_of(request).database.write(work)


def _why(request: _Request, reason: str, reference: str | None) -> Why:
    return Why(reason, f"key:{caller_of(request).key_id}", reference or request.headers.get("idempotency-key"))


def _now_ms(request: _Request) -> int:
    return to_ms(gateway_of(request).clock.now())


def _period(request: _Request, since: AwareDatetime | None, until: AwareDatetime | None) -> tuple[int, int]:
    """From ``since`` on and before ``until``, by the end of the job; without them all that there is."""
    period = (0 if since is None else to_ms(since), _now_ms(request) + 1 if until is None else to_ms(until))
    if period[0] >= period[1]:
        raise Refused.field("since", "a time before until", since)
    return period
