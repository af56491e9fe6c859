"""A gateway in memory: prices, holds, charges and streams as the real one's, without a server, an engine or a wait.

Requests come in as values and answers go out as values, through ``FakeGateway.answer``. ``_transports.py`` joins it
to a client in the same process, ``_server.py`` puts it behind a socket. A job lives in ``_jobs.py``.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, ValidationError

from loopmeter._async_client import AsyncLoopmeter
from loopmeter._budget import Budget
from loopmeter._cache import LoopCache
from loopmeter._chunks import CHUNKS_MEDIA_TYPE
from loopmeter._client import Loopmeter
from loopmeter._core import HttpRequest, problem_of_validation
from loopmeter._models import (
    ENDED_STATES,
    Balance,
    FieldProblem,
    Job,
    LoopOrder,
    LoopRequest,
    ModelInfo,
    ModelPage,
    PriceBook,
    Problem,
    Quote,
    UsagePage,
)
from loopmeter._settings import Timeout
from loopmeter.testing import _sound
from loopmeter.testing._clock import AsyncManualClock, ManualClock
from loopmeter.testing._faults import ConnectionReset, Delay, Fault, Lose, Refuse, Unreachable, damaged
from loopmeter.testing._jobs import Answer, FakeJob

if TYPE_CHECKING:
    from loopmeter.bake import Pack

_Model = TypeVar("_Model", bound=BaseModel)

QUOTE_VALID_S = 300
FAKE_URL = "http://gateway.fake"


class ClientOptions(TypedDict, total=False):
    """What ``FakeGateway.client`` passes on to the client."""

    timeout: Timeout | None
    max_retries: int
    patience_s: float
    max_tokens: int | None
    budget: Budget | None
    cache: LoopCache | None
    pack: Pack | None


class FakeGateway:
    """A gateway for your tests: every answer, price and byte as the real protocol has them, and faults on request.

        gateway = FakeGateway(tokens=2_000, faults=[Refuse(503), Cut(5_000)])
        with gateway.client() as client:
            loop = client.loops.create("dusty lo-fi drums", tempo_bpm=92, bars=4)
        assert loop.tokens_charged == 800 and gateway.balance().available == 1_200

    ``tokens`` is what the customer has, ``prices`` the price book (its hours and plans are not applied). ``faults``
    are taken one per request whose path begins with ``faults_on``; ``None`` in the list lets one request through.
    ``api_key`` is the only key that is let in, if given. Set ``reachable`` to ``False`` to unplug the gateway, ``pace``
    to the ``first_sound_s`` and ``rate`` that its quotes shall predict; they predict nothing otherwise.
    ``requests`` has all that arrived. Time is ``clock``; clients made here share it, so no test waits.

    The sound is a steady tone that depends on the request alone. Not served: ``/admin``, ``/v1/live``, and formats
    other than WAV.
    """

    def __init__(
        self,
        *,
        tokens: int = 100_000,
        faults: Iterable[Fault | None] = (),
        faults_on: str = "/v1/loops",
        api_key: str | None = None,
        prices: PriceBook = _sound.STANDARD,
    ) -> None:
        self.clock = ManualClock()
        self.faults: deque[Fault | None] = deque(faults)
        self.faults_on = faults_on
        self.reachable = True
        self.requests: list[HttpRequest] = []
        self.api_key = api_key
        self.pace: tuple[float, float] | None = None
        self._prices = prices
        self._posted = tokens
        self._quotes: dict[str, _OpenQuote] = {}
        self._jobs: dict[str, FakeJob] = {}
        self._jobs_by_key: dict[str, FakeJob] = {}
        self._lock = threading.RLock()

    def client(self, api_key: str | None = None, **options: Unpack[ClientOptions]) -> Loopmeter:
        """A client of this gateway, with its key unless told; ``options`` are those of ``Loopmeter``."""
        from loopmeter.testing._transports import InProcessTransport

        transport = InProcessTransport(self, api_key or self.api_key)
        return Loopmeter(FAKE_URL, transport=transport, clock=self.clock, **options)

    def async_client(self, api_key: str | None = None, **options: Unpack[ClientOptions]) -> AsyncLoopmeter:
        """As ``client``, for asyncio."""
        from loopmeter.testing._transports import AsyncInProcessTransport

        transport = AsyncInProcessTransport(self, api_key or self.api_key)
        return AsyncLoopmeter(FAKE_URL, transport=transport, clock=AsyncManualClock(self.clock), **options)

    def serve(self) -> AbstractContextManager[str]:
        """Serve on a free loopback port, for programs that take an address; gives the address.

        with FakeGateway().serve() as url:
            subprocess.run(["my-game"], env={**os.environ, "LOOPMETER_URL": url})
        """
        from loopmeter.testing._server import serving

        return serving(self)

    def balance(self) -> Balance:
        """The customer's tokens."""
        held = sum(job.held for job in self._jobs.values())
        return Balance(available=self._posted - held, held=held, posted=self._posted)

    def grant(self, tokens: int) -> None:
        """Give tokens to the customer."""
        self._posted += tokens

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every job that was ordered, oldest first."""
        return tuple(job.shown() for job in self._jobs.values())

    def answer(self, request: HttpRequest, api_key: str | None) -> Answer:
        """Serve one request. Raises ``ConnectionReset`` where no answer comes back."""
        with self._lock:
            if not self.reachable:
                raise ConnectionReset
            faulty = bool(self.faults) and request.path.startswith(self.faults_on)
            fault = self.faults.popleft() if faulty else None
            if isinstance(fault, Unreachable):
                raise ConnectionReset
            self.requests.append(request)
            if isinstance(fault, Delay):
                self.clock.advance(fault.seconds)
            try:
                answer = self._route(request, api_key, fault)
            except _Refused as refused:
                answer = _problem(refused.problem, refused.headers)
            if isinstance(fault, Lose):
                for _ in answer.body:
                    pass
                raise ConnectionReset
            headers = {
                "x-request-id": f"req_{len(self.requests)}",
                "loopmeter-features": "max-tokens",
                **answer.headers,
            }
            return Answer(answer.status, headers, damaged(self._while_reachable(answer.body), fault))

    def _while_reachable(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for piece in body:
            if not self.reachable:
                raise ConnectionReset
            yield piece

    def _route(self, request: HttpRequest, api_key: str | None, fault: Fault | None) -> Answer:
        if isinstance(fault, Refuse):
            raise _Refused(fault.status, fault.code, "scripted", headers=fault.headers)
        if self.api_key is not None and api_key != self.api_key:
            raise _Refused(401, "unauthenticated", "expected the API key of this gateway, found another or none")
        parts = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match request.method, parts.path.strip("/").split("/"):
            case "POST", ["v1", "quotes"]:
                return _json(self._quote(_parsed(LoopRequest, request.body)))
            case "POST", ["v1", "loops"]:
                return self._order(request, fault)
            case "GET", ["v1", "balance"]:
                return _json(self.balance())
            case "GET", ["v1", "usage"]:
                return _json(self._usage(int(query.get("limit", "50")), int(query.get("cursor", "0"))))
            case "GET", ["v1", "models"]:
                return _json(ModelPage(models=(_MODEL,)))
            case "GET", ["v1", "price-book"]:
                return _json(self._prices)
            case method, ["v1", "loops", job_id, *rest] if unquote(job_id) in self._jobs:
                return self._about(method, self._jobs[unquote(job_id)], rest, query, fault)
        raise _Refused(404, "not_found", f"expected a path of this gateway, found {request.method} {parts.path}")

    def _quote(self, request: LoopRequest) -> Quote:
        planned = self._plan(request)
        first_sound_s, rate = self.pace or (None, None)
        quote = Quote(
            quote_id=f"quo_{len(self._quotes) + 1}",
            tokens=planned.tokens,
            frames=planned.frames,
            chunks=len(planned.chunk_frames),
            sample_rate_hz=_sound.SAMPLE_RATE_HZ,
            expires_at=self.clock.date() + timedelta(seconds=QUOTE_VALID_S),
            lines=planned.lines,
            channels=planned.channels,
            bits=planned.bits,
            price_book=f"{self._prices.name}-{self._prices.version}",
            request=planned.request,
            first_sound_s=first_sound_s,
            rate=rate,
        )
        self._quotes[quote.quote_id] = _OpenQuote(quote, request)
        return quote

    def _plan(self, request: LoopRequest) -> _sound.Plan:
        if request.model not in (_MODEL.name, "fake"):
            raise _Refused.field("model", f"one of fake, {_MODEL.name}", request.model)
        planned = _sound.plan(request, self._prices)
        if planned.frames > _sound.DURATION_S_MAX * _sound.SAMPLE_RATE_HZ:
            found = f"{planned.frames / _sound.SAMPLE_RATE_HZ:.2f} s; ask for fewer bars or a faster tempo"
            raise _Refused.field("bars", f"a loop of at most {_sound.DURATION_S_MAX} s", found)
        return planned

    def _order(self, request: HttpRequest, fault: Fault | None) -> Answer:
        key = request.idempotency_key or f"none-{len(self._jobs) + 1}"
        if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
            raise _Refused.field("Idempotency-Key", "1 to 255 visible ASCII characters", key)
        order = _parsed(LoopOrder, request.body)
        cap = request.headers.get("Loopmeter-Max-Tokens")
        if cap is not None and not re.fullmatch("[0-9]{1,15}", cap):
            raise _Refused.field("Loopmeter-Max-Tokens", "a whole number of tokens of at most 15 digits", cap)
        wanted = LoopRequest.model_validate(order.model_dump(exclude={"quote_id"}))
        job = self._jobs_by_key.get(key)
        if job is None:
            job = self._new_job(wanted, order.quote_id, None if cap is None else int(cap))
            self._jobs_by_key[key] = job
        elif job.request != wanted:
            detail = "expected the request that this idempotency key came with first, found another; use a new key"
            raise _Refused(422, "idempotency_key_reused", detail)
        accept = request.headers.get("Accept", CHUNKS_MEDIA_TYPE)
        if accept == "application/json":
            job.deliver_all()
            return _json(job.shown())
        if accept == "audio/wav":
            job.deliver_all()
            return Answer(200, {"content-type": accept}, iter([job.wav()]))
        return job.stream(0, fault)

    def _new_job(self, request: LoopRequest, quote_id: str | None, cap: int | None) -> FakeJob:
        planned = self._plan(request)
        quoted = self._redeem(quote_id, request) if quote_id is not None else None
        if cap is not None and planned.tokens > cap:
            raise _Refused.over_cap(planned.tokens, cap)
        available = self.balance().available
        if planned.tokens > available:
            detail = f"expected {planned.tokens} available tokens, found {available}"
            raise _Refused(402, "insufficient_tokens", detail)
        job = FakeJob(f"job_{len(self._jobs) + 1}", request, planned, self.clock, self._post, quote_id)
        self._jobs[job.id] = job
        if quoted is not None:
            quoted.job_id = job.id
        return job

    def _redeem(self, quote_id: str, request: LoopRequest) -> _OpenQuote:
        found = self._quotes.get(quote_id)
        if found is None:
            raise _Refused(404, "quote_unknown", f"expected a quote of this customer, found {quote_id!r}")
        if found.job_id is not None:
            raise _Refused(409, "quote_used", f"expected an unused quote, found one used for {found.job_id}")
        if found.request != request:
            raise _Refused.field("quote_id", "the quote of this very request", quote_id, "quote_mismatch")
        if found.quote.expires_at <= self.clock.date():
            raise _Refused(410, "quote_expired", f"expected a valid quote, found one until {found.quote.expires_at}")
        return found

    def _post(self, tokens: int) -> None:
        with self._lock:
            self._posted -= tokens

    def _about(
        self, method: str, job: FakeJob, rest: list[str], query: Mapping[str, str], fault: Fault | None
    ) -> Answer:
        match method, rest:
            case "GET", []:
                return _json(job.shown())
            case "DELETE", []:
                if job.state not in ENDED_STATES:
                    job.state = "cancelled"
                return _json(job.shown())
            case "GET", ["chunks"]:
                first = int(query.get("from", "0"))
                if not 0 <= first <= job.chunks_delivered:
                    raise _Refused.field("from", f"0 to {job.chunks_delivered}, the next chunk of this job", first)
                return job.stream(first, fault)
            case "GET", ["midi"]:
                return Answer(200, {"content-type": "audio/midi"}, iter([_sound.midi(job.plan)]))
            case "GET", ["audio"]:
                if query.get("format", "wav") != "wav":
                    raise _Refused.field("format", "wav, the only one that the fake encodes", query["format"])
                if job.state != "completed":
                    raise _Refused(409, "not_finished", f"expected a completed job, found {job.id} {job.state}")
                return Answer(200, {"content-type": "audio/wav"}, iter([job.wav()]))
        raise _Refused(404, "not_found", f"expected a path of this gateway, found {method} /{'/'.join(rest)}")

    def _usage(self, limit: int, cursor: int) -> UsagePage:
        newest = list(reversed(self._jobs.values()))
        end = cursor + limit
        return UsagePage(
            entries=tuple(job.entry() for job in newest[cursor:end]),
            next=str(end) if end < len(newest) else None,
            tokens_charged=sum(job.tokens_charged for job in newest),
        )


_MODEL = ModelInfo(
    name="loopmeter",
    version="1",
    fingerprint="fake-1",
    sample_rate_hz=_sound.SAMPLE_RATE_HZ,
    duration_s_max=_sound.DURATION_S_MAX,
    capabilities=("hifi", "midi"),
    licence="Apache-2.0",
)


@dataclass
class _OpenQuote:
    quote: Quote
    request: LoopRequest
    job_id: str | None = None


class _Refused(Exception):
    """A request that is not served."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, code=code, detail=detail, errors=errors, request_id="req_fake")
        self.headers = headers or {}

    @classmethod
    def field(cls, name: str, expected: str, found: object, code: str = "invalid_request") -> _Refused:
        error = FieldProblem(field=name, expected=expected, found=str(found))
        return cls(422, code, f"{name}: expected {expected}, found {found}", (error,))

    @classmethod
    def over_cap(cls, tokens: int, cap: int) -> _Refused:
        refused = cls(402, "over_max_tokens", f"expected a price of at most {cap} tokens, found {tokens}")
        refused.problem = refused.problem.model_copy(update={"tokens": tokens, "max_tokens": cap})
        return refused


def _problem(problem: Problem, headers: Mapping[str, str]) -> Answer:
    found = {name.lower(): value for name, value in headers.items()}
    body = problem.model_dump_json(exclude_none=True).encode()
    return Answer(problem.status, {"content-type": "application/problem+json"} | found, iter([body]))


def _json(model: BaseModel) -> Answer:
    return Answer(200, {"content-type": "application/json"}, iter([model.model_dump_json().encode()]))


def _parsed(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problem = problem_of_validation(error)
        raise _Refused(422, "invalid_request", problem.detail, problem.errors) from error
