"""What the gateway does for live sessions: start, resume, steer, pause, end. No HTTP in here.

Chunks are made, charged and handed over by the same code as those of loops: ``Gateway.next_event``.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
from datetime import timedelta
from typing import TYPE_CHECKING

from loopmeter import LiveEndReason, LiveRequest, LiveSet, LiveStart, PlanInfo, PriceBook, QuoteLine, ResolvedRequest
from loopmeter_engine.contract import InvalidRequest, LiveEngine, LivePlan
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.clock import to_ms
from loopmeter_gateway.jobs.records import JobRecord
from loopmeter_gateway.live import records
from loopmeter_gateway.live.session import LiveSession
from loopmeter_gateway.live.terms import LiveTerms
from loopmeter_gateway.money.price_book import Work, book_id, find_plan, price
from loopmeter_gateway.money.quotes import Offer, check_model, field_problem
from loopmeter_gateway.problems import Refused

if TYPE_CHECKING:
    from loopmeter_gateway.gateway import Gateway

_log = logging.getLogger(__name__)


class LiveSessions:
    """The sessions of one gateway. Those in memory are among ``gateway.live_jobs``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def start(self, caller: Caller, asked: LiveStart) -> LiveSession:
        """The one session of the key ``asked.session``.

        Raises:
            Refused: too_many_streams, invalid_request, model_not_in_plan, insufficient_tokens, key_budget_exceeded,
                idempotency_key_reused, live_unsupported; nothing is held.
        """
        gateway = self._gateway
        gateway.refuse_if_full()
        book = await gateway.book_of(caller)
        granted = find_plan(book, caller.plan)
        check_model(book, granted, gateway.engine.info(), asked.request().model)
        plan = await self._plan(asked.request())
        terms = self._terms(plan, book, granted, asked.max_tokens)
        body = asked.model_dump_json(exclude={"session", "credit"})
        order = records.LiveOrder(
            customer_id=caller.customer_id,
            key_id=caller.key_id,
            budget_id=caller.budget_id,
            gateway_id=gateway.id,
            session=asked.session,
            order_sha256=hashlib.sha256(body.encode()).digest(),
            request=plan.request,
            terms=terms,
            offer=self._offer(plan, book, granted, terms),
            sessions_max=granted.live_streams_max,
            grace_ms=self._grace_ms,
        )
        now_ms = gateway.now_ms()
        try:
            found, new = await gateway.database.write(
                lambda connection: records.start(connection, order, now_ms, now_ms + gateway.hold_ttl_ms)
            )
        except records.TooManySessions as error:
            raise self._too_many(caller, granted, error.ends_at_ms) from error
        if new:
            session = LiveSession(found, gateway.clock.now())
            gateway.register(session, granted)
            return session
        return await self._open(found)

    def _too_many(self, caller: Caller, granted: PlanInfo, ends_at_ms: list[int]) -> Refused:
        """Ask again when enough of them have ended: at the sweep after that."""
        gateway, found = self._gateway, len(ends_at_ms)
        rest_s = (ends_at_ms[found - granted.live_streams_max] - gateway.now_ms()) / 1000
        limit = f"at most {granted.live_streams_max} live sessions at once in plan {caller.plan}"
        return Refused(
            "too_many_streams",
            f"expected {limit}, found {found}; stop one, or wait until one has ended",
            retry_after_s=max(1, math.ceil(rest_s + gateway.settings.sweep_every_s)),
        )

    @property
    def _grace_ms(self) -> int:
        return math.ceil(self._gateway.settings.grace_s * 1000)

    def _ends_at_ms(self, live: LiveSession) -> int | None:
        """When a session ends by itself unless its client does something; ``None`` while that plays it."""
        found = []
        if live.parked_since is not None:
            found.append(to_ms(live.parked_since) + self._grace_ms)
        if live.paused_since is not None:
            found.append(to_ms(live.paused_since) + math.ceil(self._gateway.settings.live_pause_s * 1000))
        return min(found, default=None)

    def _changed(self, live: LiveSession) -> None:
        """A session may end at another time now: the other gateways shall know it."""
        live.notify()
        self._gateway.keep(self._say_end(live))

    async def _say_end(self, live: LiveSession) -> None:
        """Write down when a session ends by itself, one change after the other."""
        gateway = self._gateway
        if live.saying:
            return
        live.saying = True
        try:
            while live.said_ends_at_ms != (ends_at_ms := self._ends_at_ms(live)) and not live.record.ended:
                note = functools.partial(records.note_end, job_id=live.record.id, gateway_id=gateway.id)
                await gateway.database.write(functools.partial(note, ends_at_ms=ends_at_ms))
                live.said_ends_at_ms = ends_at_ms
        # The sweep says it again. Until then others take the session for one that is played.
        except Exception:
            _log.exception("the end of a session could not be noted", extra={"job_id": live.record.id})
        finally:
            live.saying = False

    async def resume(self, caller: Caller, session: str) -> LiveSession:
        """A session that was started before, also one that has ended. Raises ``Refused`` not_found."""
        find = functools.partial(records.find_by_key, session=session, customer_id=caller.customer_id)
        return await self._open(await self._gateway.database.read(find))

    async def _open(self, found: records.SessionRecord) -> LiveSession:
        live = await self._gateway.live(found.job.id, found.job.customer_id)
        return live if isinstance(live, LiveSession) else LiveSession(found, self._gateway.clock.now())

    async def restore(self, record: JobRecord) -> LiveSession:
        """A session that is in the database alone."""
        found = await self._gateway.database.read(lambda connection: records.find(connection, record))
        return LiveSession(found, self._gateway.clock.now())

    def connect(self, live: LiveSession, connection: object, credit: int) -> None:
        """Play a session to ``connection``. Whoever played it before learns that it was taken over."""
        live.connection = connection
        live.credit = credit
        self._gateway.attach(live)
        self._changed(live)

    def disconnect(self, live: LiveSession) -> None:
        """Stop playing it. Nothing more is made; after the grace time the session ends as lost."""
        self._gateway.detach(live)
        self._changed(live)

    async def steer(self, live: LiveSession, asked: LiveSet) -> None:
        """Change what is played. Raises ``Refused`` invalid_request: the engine cannot play that; nothing changed."""
        if asked.ref in live.refs:
            return
        await self._plan(live.steered(asked.settings()))
        live.steer(asked.ref, asked.settings())

    def pause(self, live: LiveSession) -> None:
        """Make and charge nothing until ``play``."""
        live.paused_since = live.paused_since or self._gateway.clock.now()
        self._changed(live)

    def play(self, live: LiveSession) -> None:
        """Go on."""
        live.paused_since = None
        self._changed(live)
        self._gateway.wake()

    async def end(self, live: LiveSession, reason: LiveEndReason) -> None:
        """End a session. One that has ended stays as it is."""
        live.reason = live.reason or reason
        await self._gateway.end(live, "cancelled" if reason in ("lost", "idle") else "completed")

    async def sweep(self) -> None:
        """End the sessions that nobody takes up, and those that were paused for too long."""
        gateway = self._gateway
        now = gateway.clock.now()
        for live in list(gateway.live_jobs.values()):
            if not isinstance(live, LiveSession):
                continue
            if live.parked_since is not None and now - live.parked_since >= timedelta(seconds=gateway.settings.grace_s):
                await self.end(live, "lost")
            elif live.paused_since is not None and now - live.paused_since >= timedelta(
                seconds=gateway.settings.live_pause_s
            ):
                await self.end(live, "idle")
            else:
                await self._say_end(live)

    async def _plan(self, request: LiveRequest) -> LivePlan:
        engine = self._gateway.engine
        if not isinstance(engine, LiveEngine):
            raise Refused("live_unsupported", f"expected an engine that plays live, found {engine.info().name}")
        try:
            return await self._gateway.plan(lambda: engine.plan_live(request))
        except InvalidRequest as error:
            problem = field_problem(error.field, str(error))
            raise Refused("invalid_request", f"{error.field}: {error}", errors=(problem,)) from error

    def _terms(self, plan: LivePlan, book: PriceBook, granted: PlanInfo, max_tokens: int | None) -> LiveTerms:
        at, minute_frames = self._gateway.clock.now(), 60 * plan.sample_rate_hz
        minute_flops = plan.flops_per_chunk * minute_frames // plan.chunk_frames
        first, second = (
            price(
                book,
                frames=minutes * minute_frames,
                sample_rate_hz=plan.sample_rate_hz,
                quality=plan.request.quality,
                at=at,
                plan=granted,
                work=Work(minutes * minute_flops, plan.peak_memory_bytes),
            ).tokens
            for minutes in (1, 2)
        )
        return LiveTerms(
            first_minute_tokens=first,
            minute_tokens=second - first,
            max_tokens=max_tokens,
            sample_rate_hz=plan.sample_rate_hz,
            channels=plan.channels,
            bits=plan.bits,
            chunk_frames=plan.chunk_frames,
        )

    def _offer(self, plan: LivePlan, book: PriceBook, granted: PlanInfo, terms: LiveTerms) -> Offer:
        """The offer of one chunk; a session's job grows by it."""
        shared = plan.request.model_dump(include=set(ResolvedRequest.model_fields))
        prompt = ", ".join(prompt.text for prompt in plan.request.prompts)[:1000]
        return Offer(
            request=ResolvedRequest.model_validate(shared | {"prompt": prompt}),
            frames=plan.chunk_frames,
            sample_rate_hz=plan.sample_rate_hz,
            channels=plan.channels,
            bits=plan.bits,
            chunk_frames=(plan.chunk_frames,),
            flops=plan.flops_per_chunk,
            peak_memory_bytes=plan.peak_memory_bytes,
            fingerprint=self._gateway.engine.info().fingerprint,
            price_book=book_id(book),
            plan=granted.name,
            tokens=terms.hold_due(0),
            lines=(
                QuoteLine(text="first minute, by frames", tokens=terms.first_minute_tokens),
                QuoteLine(text="each later minute, by frames", tokens=terms.minute_tokens),
            ),
            live=True,
        )
