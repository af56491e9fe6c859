"""What the gateway does, from quote to delivery. HTTP calls this; nothing in here knows HTTP.

The way of the money, top to bottom: ``quote`` prices, ``order`` holds, ``next_event`` charges a chunk and hands it
over, ``cancel`` and ``sweep`` free what is left. The rules behind each step are in ``money/`` and ``jobs/records.py``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from loopmeter import ChunkReceived, KeepAlive, LoopRequest, PlanInfo, PriceBook, Quote, ResolvedRequest, StreamEnded
from loopmeter_engine.contract import Engine, ScoreSheet
from loopmeter_gateway import shared_limits
from loopmeter_gateway.accounts import keys
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.clock import Clock, to_ms
from loopmeter_gateway.database import Database
from loopmeter_gateway.jobs import owners, records, scores, sent_sound
from loopmeter_gateway.jobs.chunk_store import open_chunk_store
from loopmeter_gateway.jobs.deliveries import Deliveries, Delivery
from loopmeter_gateway.jobs.kept_chunks import KeptChunks
from loopmeter_gateway.jobs.live import LiveJob
from loopmeter_gateway.jobs.queue import LeaseQueue
from loopmeter_gateway.jobs.records import JobRecord, Order
from loopmeter_gateway.jobs.worker import Worker
from loopmeter_gateway.limits import RateLimiter
from loopmeter_gateway.live.sessions import LiveSessions
from loopmeter_gateway.metrics import Metrics
from loopmeter_gateway.money import allowances, ledger, quotes
from loopmeter_gateway.money.books import Books
from loopmeter_gateway.money.price_book import find_plan
from loopmeter_gateway.money.quotes import Offer
from loopmeter_gateway.money.targets import parse_target
from loopmeter_gateway.money.usage_sender import UsageSender
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.settings import Settings
from loopmeter_gateway.tracing import span

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
SCORES_TRIED_S = 86_400  # The engine that can make it may come back.
QUOTES_KEPT_S = 86_400  # A client that comes late is told that its quote has expired, not that it never was.


class Gateway:
    """One gateway: a database, an engine, a worker. Open it with ``start``, close it with ``stop``."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock) -> None:
        self.settings = settings
        self.engine = engine
        self.clock = clock
        self.books = Books(settings.price_book)
        self.database = Database(settings.db)
        self._deliveries = Deliveries(self.database)
        self._usage = None
        if settings.usage_target:
            named = parse_target(settings.usage_target, settings.usage_token)
            self._usage = UsageSender(self.database, *named, self.now_ms)
        self.chunks = KeptChunks(open_chunk_store(settings.chunks, settings.data), self.database)
        self.live_jobs: dict[str, LiveJob] = {}
        self._adrift: set[str] = set()  # Jobs of which only the database knows how far they are.
        self.keys_used: dict[str, int] = {}  # and when, until the next sweep writes it down
        self.ready = False
        self.closing = False
        self.sessions = LiveSessions(self)
        self._month_opened = ""
        self._beat_ms = 0
        self.id = "gw_" + secrets.token_hex(8)
        self.limiter = RateLimiter(clock)
        self.metrics = Metrics()
        slots = engine.info().streams_at_once
        self.queue = LeaseQueue(self.live_jobs, settings.lease_chunks, settings.ageing_s, clock, slots)
        self._worker = Worker(engine, self.queue, self._fail, self.metrics.leased)
        self._watch()
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="loopmeter-plan")
        self._tasks: set[asyncio.Task[Any]] = set()

    def _watch(self) -> None:
        live_jobs = self.live_jobs
        self.metrics.watch("jobs_active", "Jobs that have not ended.", lambda: len(live_jobs))
        self.metrics.watch("live_sessions", "Live sessions that have not ended.", self._live_sessions)
        self.metrics.watch("readers", "Open streams.", lambda: sum(job.readers for job in live_jobs.values()))
        self.metrics.watch("leases_running", "Leases that the engine makes now.", lambda: self.queue.running)
        self.metrics.watch("queue_jobs", "Jobs that wait for a lease.", lambda: self.queue.length)
        self.metrics.watch("queue_wait_seconds", "What a newcomer would wait.", lambda: self.queue.wait_s)

    def _live_sessions(self) -> int:
        return sum(live.record.offer.live for live in self.live_jobs.values())

    async def start(self) -> None:
        """Open the database, take up the jobs that a former process left, and begin to work."""
        self.settings.data.mkdir(parents=True, exist_ok=True)
        await self.database.start()
        now_ms = self.now_ms()
        await self.database.write(lambda connection: self.books.put_in_force(connection, now_ms))
        await self.sweep()
        await self._take_up_orphans(alone=not self.database.shared)
        self._worker.start()
        self.keep(self._sweep_on())
        if self._usage is not None:
            self.keep(self._usage.run(self.id, self.settings.usage_every_s))
        self.ready = True

    def say_goodbye(self) -> None:
        """End every stream at the next chunk border; their jobs stay, to be resumed at the next start."""
        self.closing = True
        self.ready = False
        for live in self.live_jobs.values():
            live.notify()

    async def stop(self) -> None:
        """Stop after the chunks in hand. What was charged is durable; the rest is resumed at the next start."""
        self.ready = False
        self.say_goodbye()
        await self._worker.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliveries.stop()
        self._planner.shutdown()
        self.chunks.close()
        if self.database.shared:
            await self.database.write(lambda connection: owners.leave(connection, self.id))
        await self.database.stop()

    # Prices and orders.

    async def quote(self, caller: Caller, request: LoopRequest) -> Quote:
        """The exact price of a request, kept for a while. Raises ``Refused`` as ``make_offer``."""
        offer = await self._offer(caller, request)
        expires_at_ms = self.now_ms() + self.settings.quote_ttl_s * 1000
        return await self.database.write(
            lambda connection: quotes.create_quote(connection, caller.customer_id, request, offer, expires_at_ms)
        )

    async def order(self, caller: Caller, order: Order) -> JobRecord:
        """The one job of the order's idempotency key, held and ready to be read.

        Raises:
            Refused: as ``make_offer`` and ``order_job``; nothing is held.
        """
        self.refuse_if_full()
        offer = None if order.quote_id is not None else await self._offer(caller, order.request)
        now_ms = self.now_ms()
        order = replace(order, key_id=caller.key_id, budget_id=caller.budget_id, gateway_id=self.id)
        record, new = await self.database.write(
            lambda connection: records.order_job(connection, order, offer, now_ms, now_ms + self.hold_ttl_ms)
        )
        if new:
            self.register(LiveJob(record, self.clock.now()), await self.plan_of(caller))
        return record

    async def plan_of(self, caller: Caller) -> PlanInfo:
        """What a customer's plan grants; one that the price book does not know grants nothing special."""
        return find_plan(await self.book_of(caller), caller.plan)

    def refuse_if_full(self) -> None:
        """Take no new work that would wait too long. Raises ``Refused`` overloaded, not_ready; nothing is held."""
        if self.closing:
            raise Refused("not_ready", "expected a running gateway, found one that is stopping; ask again")
        if self.queue.length >= self.settings.queue_jobs_max:
            wait_s = max(1, math.ceil(self.queue.wait_s))
            detail = f"expected fewer than {self.settings.queue_jobs_max} waiting jobs, found {self.queue.length}"
            raise Refused("overloaded", f"{detail}; ask again in about {wait_s} s", retry_after_s=wait_s)

    async def _offer(self, caller: Caller, request: LoopRequest) -> Offer:
        at, book = self.clock.now(), await self.book_of(caller)
        return await self.plan(lambda: quotes.make_offer(self.engine, book, caller.plan, request, at))

    async def book_of(self, caller: Caller) -> PriceBook:
        """The prices for a customer: its own price book, or that of the gateway."""
        return await self._book(caller.price_book)

    async def _book(self, id_: str | None) -> PriceBook:
        known = self.books.known(id_)
        return known if known is not None else await self.database.read(partial(self.books.find, id_=id_))

    async def plan(self, call: Callable[[], _Result]) -> _Result:
        """Run a short engine call off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._planner, call)

    # Delivery.

    async def live(self, job_id: str, customer_id: str) -> LiveJob:
        """A job of this customer, to be read. Raises ``Refused`` not_found."""
        live = self.live_jobs.get(job_id)
        if live is not None and live.record.customer_id == customer_id:
            return live
        record = await self.database.read(lambda connection: records.find_job(connection, job_id, customer_id))
        if record.ended:
            return LiveJob(record, self.clock.now())
        return await self._take_up(await self.database.write(lambda c: owners.claim(c, job_id, self.id)))

    def attach(self, live: LiveJob) -> None:
        """Read a job: from now on it is made."""
        live.attach()
        self.wake()

    def wake(self) -> None:
        """Look again whether there is something to make."""
        self._worker.wake()

    def detach(self, live: LiveJob) -> None:
        """Stop reading. A job without readers waits for the grace time, then it is cancelled by ``sweep``."""
        live.detach(self.clock.now())

    async def next_event(self, live: LiveJob, index: int) -> ChunkReceived | KeepAlive | StreamEnded:
        """Chunk ``index``, or why there is none. The chunk is charged and durable when this returns.

        Chunks that were charged before come from the database, free. Needs an attached reader. If the caller is
        cancelled while the charge is written, the charge stands, and the chunk can be fetched again.
        """
        while True:
            record = live.record
            if live.moved:
                raise owners.JobMoved(f"job {record.id} is made by another gateway; resume it by chunk number")
            if index < record.chunks_delivered:
                if live.latest is not None and live.latest.index == index:
                    return live.latest
                return await self.chunks.read(record, index)
            if record.ended or self.closing:
                return StreamEnded(state=record.state, tokens_charged=record.tokens_charged, problem=record.error)
            if live.ahead and not live.stopping:
                await self._deliver(live)
            elif not await live.change(self.settings.keep_alive_s):
                return KeepAlive()

    async def _deliver(self, live: LiveJob) -> None:
        """Charge the first chunk ahead, once, however many readers ask for it."""
        if live.delivering is None:
            live.delivering = self.keep(self._deliver_first(live))
        await asyncio.shield(live.delivering)

    async def _deliver_first(self, live: LiveJob) -> None:
        chunk, now_ms, began_s = live.ahead[0], self.now_ms(), time.perf_counter()
        owner = self.id if self.database.shared else None
        delivery = Delivery(live.record, chunk, owner, now_ms, now_ms + self.hold_ttl_ms)
        try:
            with span("deliver", job_id=live.record.id, chunk=chunk.index):
                await self.chunks.put(live.record, chunk)
                try:
                    record, live.latest = await live.deliver(self._deliveries, delivery)
                except (Refused, owners.JobMoved):
                    raise
                except Exception:  # Perhaps after the commit: the database knows, and is asked by the sweep.
                    self._adrift.add(live.record.id)
                    self._let_go(live)
                    raise
            if live.latest is not None:
                self.metrics.delivered(live.kind, live.latest.meter, time.perf_counter() - began_s)
            live.ahead.popleft()
            live.handed(chunk.frames, self.clock.now())
            self._update(live, record)
            if live.failure is not None and not live.ahead and not record.ended:
                await self._end(live, "failed", live.failure)
        except owners.JobMoved:
            self._let_go(live)
        except Refused as refused:
            await self._end(live, "failed", refused)
        finally:
            live.delivering = None
        self._worker.wake()

    async def score(self, record: JobRecord) -> ScoreSheet | None:
        """The score of a job; ``None`` if it was not kept and cannot be made: a live session has none, another engine
        would play another one, and so would this one without the sound that the job was made from."""
        if record.offer.live:
            return None
        found, sheet, request = await self.database.read(partial(_score_or_request, record=record))
        if found or record.offer.fingerprint != self.engine.info().fingerprint:
            return sheet
        made = await self.plan(lambda: self.engine.score(request))
        return await self.database.write(lambda connection: scores.keep_score(connection, record.id, made))

    async def _score_early(self, record: JobRecord) -> bool:
        """Keep the score of a job that came with sound, which is forgotten then; whether it is kept."""
        try:
            return await self.score(record) is not None
        # An engine is a plug-in. The job goes on; whoever asks for its score is told.
        except Exception:
            _log.exception("the score could not be kept", extra={"job_id": record.id})
            return False

    async def _score_late(self) -> None:
        """Make the scores of jobs that ended without, because a gateway died; give up after ``SCORES_TRIED_S``."""
        for record in await self.database.read(records.unscored_jobs):
            over_ms = self.now_ms() - (record.finished_at_ms or 0)
            if not await self._score_early(record) and over_ms > SCORES_TRIED_S * 1000:
                await self.database.write(partial(scores.keep_none, job_id=record.id))

    async def _with_sound(self, record: JobRecord) -> JobRecord:
        """A job as the engine needs it: with the sound that came along, unless it has ended."""
        read = partial(sent_sound.find_sound, job_id=record.id, offer=record.offer)
        return replace(record, offer=await self.database.read(read))

    # The ends of a job.

    async def cancel(self, live: LiveJob) -> JobRecord:
        """Cancel a job: charged for what was delivered, the rest of its hold is free. An ended job stays as it is."""
        await self._end(live, "cancelled", None, by_customer=True)
        return live.record

    async def end(self, live: LiveJob, state: records.Ended) -> None:
        """End a job that nothing is wrong with. An ended job stays as it is."""
        await self._end(live, state, None)

    async def _fail(self, live: LiveJob, refused: Refused) -> None:
        """The engine makes no more of this job. What it has made is good, and is delivered first."""
        live.failure = refused
        if not live.ahead:
            await self._end(live, "failed", refused)

    async def _end(
        self, live: LiveJob, state: records.Ended, refused: Refused | None, *, by_customer: bool = False
    ) -> None:
        """End a job. One that moved to another gateway is only let go, unless its customer wants it to end."""
        live.stopping = True
        delivering = live.delivering
        if delivering is not None and delivering is not asyncio.current_task():
            await asyncio.wait([delivering])
        now_ms = self.now_ms()

        def end(connection: Connection) -> JobRecord:
            if self.database.shared and not by_customer:
                owners.check_owner(connection, live.record.id, self.id)
            return live.end(connection, state=state, now_ms=now_ms, refused=refused)

        try:
            self._update(live, await self.database.write(end))
        except owners.JobMoved:
            self._let_go(live)

    def _let_go(self, live: LiveJob) -> None:
        """Another gateway makes this job now, or this one will take it up anew."""
        live.stopping = live.moved = True
        self.live_jobs.pop(live.record.id, None)
        live.notify()

    def _update(self, live: LiveJob, record: JobRecord) -> None:
        live.update(record)
        if record.ended and self.live_jobs.pop(record.id, None) is not None:
            self.metrics.ended(live.kind, record.state)

    async def sweep(self) -> None:
        """Expire overdue holds, and cancel jobs whose readers stayed away for the grace time."""
        await self._expire()
        await self._keep_accounts()
        if self.database.shared:
            await self._take_up_orphans(alone=False)
            await self._count_together()
        await self._take_up_adrift()
        await self.sessions.sweep()
        oldest = self.clock.now() - timedelta(seconds=self.settings.grace_s)
        for live in list(self.live_jobs.values()):
            if live.parked_since is not None and live.parked_since <= oldest:
                await self.end(live, "cancelled")

    async def _expire(self) -> None:
        now_ms = self.now_ms()
        if await self.database.read(lambda connection: ledger.expired_holds(connection, now_ms)):
            for record in await self.database.write(lambda connection: records.expire_jobs(connection, now_ms)):
                live = self.live_jobs.get(record.id)
                if live is not None:
                    self._update(live, record)

    async def _keep_accounts(self) -> None:
        """Open the months of plans that grant tokens, and note when keys were used."""
        now_ms = self.now_ms()
        month = allowances.month_of(now_ms)
        if month != self._month_opened:
            await self.database.write(lambda connection: allowances.open_months(connection, self.books, now_ms))
            self._month_opened = month
        if self.keys_used:
            used, self.keys_used = self.keys_used, {}
            await self.database.write(lambda connection: keys.note_use(connection, used))

    async def _count_together(self) -> None:
        """Tell the other gateways how many requests there were, and hear of theirs."""
        if paid := self.limiter.report():
            now_ms = self.now_ms()
            self.limiter.learn(await self.database.write(lambda c: shared_limits.exchange(c, paid, now_ms)))

    async def _take_up_orphans(self, *, alone: bool) -> None:
        """Say that this gateway lives, and take up the jobs that nobody makes: all, if it is ``alone``."""
        now_ms = self.now_ms()
        if now_ms - self._beat_ms < owners.BEAT_MS and not alone:
            return
        self._beat_ms = now_ms
        if alone:
            found = await self.database.write(lambda c: owners.claim_all(c, self.id))
        else:
            await self.database.write(lambda c: owners.beat(c, self.id, now_ms))
            found = await self.database.write(lambda c: owners.claim_orphans(c, self.id, now_ms))
        for record in found:
            await self._take_up(record)

    async def _sweep_on(self) -> None:
        forget_at = self.clock.now()
        while True:
            await asyncio.sleep(self.settings.sweep_every_s)
            try:
                await self.sweep()
                if self.clock.now() >= forget_at:
                    before_ms = self.now_ms() - QUOTES_KEPT_S * 1000
                    await self.database.write(partial(quotes.forget_quotes, before_ms=before_ms))
                    await self.database.write(partial(keys.forget_client_tokens, before_ms=before_ms))
                    await self.database.write(partial(shared_limits.forget, now_ms=self.now_ms()))
                    await self.chunks.forget(self.clock.now() - timedelta(days=self.settings.chunk_days))
                    await self._score_late()
                    forget_at = self.clock.now() + timedelta(hours=1)
            # A full disk now may be a free one later. The sweeper must outlive what it cannot do today.
            except Exception:
                _log.exception("the sweep failed and will be repeated")

    # Jobs in memory.

    async def _take_up(self, record: JobRecord) -> LiveJob:
        """Continue a job that is in the database alone."""
        made = await self.database.read(lambda connection: records.engine_state(connection, record.id))
        record = await self._with_sound(record)
        live = self.live_jobs.get(record.id)
        if live is None:
            live = LiveJob(record, self.clock.now(), *made)
            if record.offer.live:
                live = await self.sessions.restore(record)
            if record.offer.fingerprint != self.engine.info().fingerprint:
                detail = f"expected engine {record.offer.fingerprint}, found another; ask again with a new request"
                await self._fail(live, Refused("engine_changed", detail))
            else:
                book = await self._book(record.offer.price_book)
                self.register(live, find_plan(book, record.offer.plan))
        return live

    async def _take_up_adrift(self) -> None:
        for job_id in list(self._adrift):
            record = await self.database.read(partial(owners.find_unfinished, job_id=job_id, gateway_id=self.id))
            if record is not None:
                await self._take_up(record)
            self._adrift.discard(job_id)

    def register(self, live: LiveJob, plan: PlanInfo) -> None:
        """Make a job, as soon as it has a reader, as soon as its plan lets it."""
        live.priority = plan.priority
        self.live_jobs[live.record.id] = live
        if any(getattr(live.record.offer.request, name) for name in quotes.SOUNDS):
            self.keep(self._score_early(live.record))
        if live.record.runs_by_itself:
            self.keep(self._read_to_end(live))

    async def _read_to_end(self, live: LiveJob) -> None:
        """Be the reader of a job that runs by itself."""
        self.attach(live)
        try:
            while True:
                try:
                    if isinstance(await self.next_event(live, live.record.chunks_delivered), StreamEnded):
                        return
                except owners.JobMoved:
                    return  # Whoever makes it now reads it to its end, too.
                # A full disk now may be a free one later, until the hold expires.
                except Exception:
                    _log.exception("job %s stands still and is tried again", live.record.id)
                    await asyncio.sleep(self.settings.sweep_every_s)
        finally:
            self.detach(live)

    def keep(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start a task and keep it from being collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def now_ms(self) -> int:
        """The clock, as the database keeps it."""
        return to_ms(self.clock.now())

    @property
    def hold_ttl_ms(self) -> int:
        """How long a hold lasts that does not move."""
        return self.settings.hold_ttl_s * 1000


def _score_or_request(connection: Connection, record: JobRecord) -> tuple[bool, ScoreSheet | None, ResolvedRequest]:
    """Whether the score of a job is settled, that score, and else the request to make it of, with its sound."""
    offer = sent_sound.find_sound(connection, record.id, record.offer)
    return *scores.find_score(connection, record.id), offer.request
