"""Quotes: an offer is what a request will take and cost; a quote keeps an offer for a while, for one job.

``make_offer`` asks the engine and the price book; the rest are units of work inside a transaction.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from itertools import chain, groupby, repeat
from typing import Any

from pydantic import BaseModel, ConfigDict, field_serializer, field_validator
from sqlalchemy import Connection, insert, select, update

from loopmeter import FieldProblem, LoopRequest, PlanInfo, PriceBook, Quote, QuoteLine, ResolvedRequest
from loopmeter_engine.contract import Engine, EngineError, EngineInfo, InvalidRequest, Plan
from loopmeter_engine.guard import GuardedEngine
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.money.price_book import Work, book_id, find_plan, price
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import quotes

SOUNDS = ("source_audio_base64", "reference_audio_base64")  # What may come along with a request, megabytes each.
HOUSE_MODEL = "loopmeter"  # What a request asks for by default: the engine that this gateway runs.


class Offer(BaseModel):
    """What a request will take, exactly, and what it costs. Stored with quote and job, and never worked out again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: ResolvedRequest
    frames: int
    sample_rate_hz: int
    channels: int
    bits: int
    chunk_frames: tuple[int, ...]
    flops: int
    peak_memory_bytes: int
    fingerprint: str
    price_book: str
    plan: str = ""
    tokens: int
    lines: tuple[QuoteLine, ...]
    first_sound_s: float | None = None  # Predicted, as is the rate; no part of the price.
    rate: float | None = None
    live: bool = False  # The offer of an endless session is for one chunk; see ``live/records.py``.

    @field_serializer("chunk_frames", when_used="json")
    def _in_runs(self, frames: tuple[int, ...]) -> list[tuple[int, int]]:
        """As ``(frames, how many such chunks)``: nearly all are alike, and SQLite writes the row anew at each charge.

        Of 300 s, one by one, it would fill a page of the database.
        """
        return [(length, len(list(alike))) for length, alike in groupby(frames)]

    @field_validator("chunk_frames", mode="before")
    @classmethod
    def _from_runs(cls, found: Any) -> Any:
        """Also one by one, as earlier releases stored them."""
        if found and isinstance(found[0], list):
            return tuple(chain.from_iterable(repeat(length, count) for length, count in found))
        return found

    def kept(self) -> str:
        """As it is stored with quote and job: without the sound that came along."""
        return self.model_copy(update={"request": shown(self.request)}).model_dump_json()


def make_offer(engine: Engine, book: PriceBook, plan_name: str, request: LoopRequest, at: datetime) -> Offer:
    """The offer for a request at the moment ``at``. Takes the engine's planning time: milliseconds.

    Raises:
        Refused: invalid_request, naming the field; model_not_in_plan; engine_failed, naming the engine that could
            not plan.
    """
    info, granted = engine.info(), find_plan(book, plan_name)
    check_model(book, granted, info, request.model)
    try:
        plan = engine.plan(request)
    except InvalidRequest as error:
        raise Refused(
            "invalid_request", f"{error.field}: {error}", errors=(field_problem(error.field, str(error)),)
        ) from error
    except EngineError as error:
        raise Refused("engine_failed", str(error)) from error
    _check_duration(plan, min(info.duration_s_max, granted.duration_s_max))
    cost = price(
        book,
        frames=plan.frames,
        sample_rate_hz=plan.sample_rate_hz,
        quality=request.quality,
        at=at,
        plan=granted,
        work=Work(plan.flops, plan.peak_memory_bytes),
    )
    pace = engine.pace(plan) if isinstance(engine, GuardedEngine) else None
    return Offer(
        request=ResolvedRequest.model_validate(plan.request.model_dump()),
        frames=plan.frames,
        sample_rate_hz=plan.sample_rate_hz,
        channels=plan.channels,
        bits=plan.bits,
        chunk_frames=plan.chunk_frames,
        flops=plan.flops,
        peak_memory_bytes=plan.peak_memory_bytes,
        fingerprint=info.fingerprint,
        price_book=book_id(book),
        plan=plan_name,
        tokens=cost.tokens,
        lines=cost.lines,
        first_sound_s=None if pace is None else pace.first_sound_s,
        rate=None if pace is None else pace.rate,
    )


def includes_model(plan: PlanInfo, info: EngineInfo) -> bool:
    """Whether a plan includes a model. A plan that names none includes all whose sound may be sold."""
    return info.name in plan.models or (not plan.models and info.commercial)


def check_model(book: PriceBook, plan: PlanInfo, info: EngineInfo, asked: str) -> None:
    """Raises ``Refused`` invalid_request (no such model), model_not_in_plan."""
    if asked not in (HOUSE_MODEL, info.name):
        raise Refused.field("model", f"one of {', '.join(sorted({HOUSE_MODEL, info.name}))}", asked)
    if not includes_model(plan, info):
        others = [other.name for other in book.plans if includes_model(other, info)]
        raise Refused(
            "model_not_in_plan",
            f"model: expected one of the plan {plan.name} ({', '.join(plan.models) or 'all that may be sold'}), found "
            f"{info.name} ({info.licence}); it is in the plans {', '.join(others) or 'of nobody'}",
        )


def _check_duration(plan: Plan, duration_s_max: float) -> None:
    duration_s = plan.frames / plan.sample_rate_hz
    if duration_s > duration_s_max:
        asked = plan.request
        raise Refused.field(
            "bars",
            f"a loop of at most {duration_s_max:g} s",
            f"{duration_s:.2f} s ({asked.bars} bars of {asked.beats_per_bar} beats at {asked.tempo_bpm:g} bpm); "
            "ask for fewer bars or a faster tempo",
        )


_EXPECTED_FOUND = re.compile(r"(?:.*?\b)?expected (?P<expected>.+?), found (?P<found>.+)", re.DOTALL)


def field_problem(field: str, message: str) -> FieldProblem:
    """A message of the house form, ``expected this, found that``, in its parts."""
    parts = _EXPECTED_FOUND.fullmatch(message)
    if parts is None:
        return FieldProblem(field=field, expected=message)
    return FieldProblem(field=field, expected=parts["expected"], found=parts["found"])


def request_sha256(request: LoopRequest) -> bytes:
    """What makes two requests equal: every field but the quote."""
    return hashlib.sha256(request.model_dump_json(exclude={"quote_id"}).encode()).digest()


def create_quote(
    connection: Connection, customer_id: str, request: LoopRequest, offer: Offer, expires_at_ms: int
) -> Quote:
    """Keep an offer until it expires, for one job of one customer."""
    quote_id = "quo_" + secrets.token_hex(12)
    connection.execute(
        insert(quotes).values(
            id=quote_id,
            customer_id=customer_id,
            request_sha256=request_sha256(request),
            offer_json=offer.kept(),
            expires_at_ms=expires_at_ms,
        )
    )
    return Quote(
        quote_id=quote_id,
        tokens=offer.tokens,
        frames=offer.frames,
        chunks=len(offer.chunk_frames),
        sample_rate_hz=offer.sample_rate_hz,
        expires_at=from_ms(expires_at_ms),
        lines=offer.lines,
        channels=offer.channels,
        bits=offer.bits,
        price_book=offer.price_book,
        request=shown(offer.request),
        first_sound_s=offer.first_sound_s,
        rate=offer.rate,
    )


def shown(request: ResolvedRequest) -> ResolvedRequest:
    """A request as it is answered: without the sound that came along, which may be megabytes."""
    return request.model_copy(update=dict.fromkeys(SOUNDS))


def with_sound(offer: Offer, sounds: Mapping[str, str | None]) -> Offer:
    """A stored offer with the sound that came along."""
    return offer.model_copy(update={"request": offer.request.model_copy(update=dict(sounds))})


def redeem_quote(
    connection: Connection, quote_id: str, customer_id: str, request: LoopRequest, job_id: str, now_ms: int
) -> Offer:
    """The offer behind a quote, which from now on belongs to ``job_id``.

    Raises:
        Refused: quote_unknown, quote_used, quote_mismatch, quote_expired; nothing changed.
    """
    row = connection.execute(select(quotes).where(quotes.c.id == quote_id, quotes.c.customer_id == customer_id)).first()
    advice = "ask for a new quote"
    if row is None:
        raise Refused("quote_unknown", f"quote_id: expected a quote of this customer, found {quote_id!r}; {advice}")
    if row.job_id is not None:
        raise Refused("quote_used", f"quote_id: expected an unused quote, found one used for {row.job_id}; {advice}")
    if row.request_sha256 != request_sha256(request):
        raise Refused.field(
            "quote_id", "the quote of this very request", f"{quote_id}, for another one", "quote_mismatch"
        )
    if row.expires_at_ms <= now_ms:
        expired_at = from_ms(row.expires_at_ms).isoformat(timespec="seconds")
        raise Refused(
            "quote_expired", f"quote_id: expected a valid quote, found one that expired {expired_at}; {advice}"
        )
    mine = (quotes.c.id == quote_id) & quotes.c.job_id.is_(None)
    if connection.execute(update(quotes).where(mine).values(job_id=job_id)).rowcount != 1:
        raise Refused("quote_used", f"quote_id: expected an unused quote, found one used just now; {advice}")
    # The request is the quoted one, so its sound is, too.
    return with_sound(Offer.model_validate_json(row.offer_json), {name: getattr(request, name) for name in SOUNDS})


def forget_quotes(connection: Connection, before_ms: int) -> int:
    """Delete unused quotes that expired before ``before_ms``; how many."""
    old = quotes.delete().where(quotes.c.expires_at_ms < before_ms, quotes.c.job_id.is_(None))
    return connection.execute(old).rowcount
