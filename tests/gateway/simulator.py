"""A seeded simulation of the money: customers order, chunks are charged, and everything that can go wrong does.

The world drives the very units of work that the gateway runs, on a real store, with a clock that it turns and an
engine that it plays itself. Beside the database it keeps a model in plain Python, which knows what everybody should
have; after every step the touched rows must agree with it, and every so often all of the books are added up.

``python -m tests.gateway.simulator [SEEDS [STEPS [sqlite|postgresql]]]`` runs it and prints what was done.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, Usage
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts import customers
from loopmeter_gateway.clock import ManualClock, to_ms
from loopmeter_gateway.database import create_tables, open_writer
from loopmeter_gateway.jobs import records
from loopmeter_gateway.jobs.deliveries import Delivered, Delivery, charge_at_once, deliver_chunk, deliver_chunks
from loopmeter_gateway.money import ledger, movements, quotes
from loopmeter_gateway.money.audit import audit
from loopmeter_gateway.money.movements import Why
from loopmeter_gateway.money.price_book import charge_due, load_price_book
from loopmeter_gateway.money.quotes import Offer
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import accounts, chunks, jobs, transfers

from .conftest import Postgres

_Result = TypeVar("_Result")
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
TTL_MS = 3_600_000
BOOK = load_price_book("standard")
WHY = Why("simulated", "simulator")
AUDIT_EVERY = 250


# Of each customer: what the account says, and what its open holds come to.
_BOOKS = """
    SELECT a.id, a.posted, a.held, count(h.id), coalesce(sum(h.amount), 0), coalesce(sum(h.posted), 0)
    FROM accounts a LEFT JOIN holds h ON h.account_id = a.id AND h.state = 'open'
    WHERE substr(a.id, 1, 4) = 'cus_' GROUP BY a.id, a.posted, a.held
"""


class Fault(Exception):
    """The disk is full, or the database is gone, after the work was done and before it was committed."""


@dataclass
class Job:
    """What the model knows of a job."""

    id: str
    customer: str
    key: str
    request: LoopRequest
    offer: Offer
    delivered: int = 0
    charged: int = 0
    refunded: int = 0
    state: str = "queued"
    touched_ms: int = 0
    record: records.JobRecord | None = None  # As it was ordered.
    latest: records.JobRecord | None = None

    @property
    def open(self) -> bool:
        return self.state in ("queued", "running")


@dataclass
class World:
    """One run: a database, a model, and the dice."""

    url: str
    seed: int
    tokens: dict[str, int] = field(default_factory=dict)  # by customer: granted, adjusted, refunded, less charged
    jobs: list[Job] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    sound: dict[tuple[str, int], bytes] = field(default_factory=dict)  # the chunk store: no crash forgets it

    def __post_init__(self) -> None:
        self._maybe_open: list[Job] = []
        self.dice = random.Random(self.seed)
        self.clock = ManualClock(START)
        self.engine = FakeEngine()
        self.fault: str | None = None
        self.db = self._open()
        create_tables(self.db)
        for name in ("ada", "bob", "eve"):
            with self.db.begin() as connection:
                self.tokens[customers.create_customer(connection, f"{name}-{self.seed}", "standard", self.now_ms)] = 0

    def _open(self) -> Engine:
        if not self.url.startswith("sqlite"):
            return create_engine(make_url(self.url).set(drivername="postgresql+psycopg"))
        found = open_writer(self.url)

        @event.listens_for(found, "connect")
        def hurry(connection: Any, _: object) -> None:
            # The simulation is about what is committed, not about the disk.
            connection.execute("PRAGMA synchronous=OFF")

        return found

    @property
    def now_ms(self) -> int:
        return to_ms(self.clock.now())

    def run(self, steps: int) -> None:
        """Take steps, and check after each. Raises ``AssertionError`` with the seed and the step."""
        kinds: list[tuple[Callable[[], str], int]] = [
            *(
                (self.order, 24),
                (self.replay, 4),
                (self.deliver, 40),
                (self.deliver_group, 10),
                (self.charge_at_once, 10),
                (self.deliver_again, 6),
                (self.cancel, 5),
            ),
            *((self.grant, 8), (self.adjust, 4), (self.refund, 4), (self.jump, 3), (self.expire, 3), (self.crash, 1)),
        ]
        steps_of, weights = zip(*kinds, strict=True)
        try:
            for number in range(steps):
                self.fault = self.dice.choice(("full disk", "database gone")) if self.dice.random() < 0.05 else None
                step = self.dice.choices(steps_of, weights)[0]
                try:
                    self.done[f"{step.__name__}: {step()}"] += 1
                except Fault:
                    self.done[f"fault: {self.fault}"] += 1
                self.check(number)
        except Exception as error:
            raise AssertionError(f"seed {self.seed}, step {number} ({step.__name__}): {error!r}") from error
        finally:
            self.db.dispose()

    def commit(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run work in a transaction, which a fault undoes at the last moment."""
        try:
            with self.db.begin() as connection:
                result = work(connection)
                if self.fault == "database gone":
                    self._lose(connection)
                if self.fault is not None:
                    raise Fault(self.fault)
        except Refused:
            raise
        except Exception as error:
            if self.fault is not None:
                raise Fault(self.fault) from error
            raise
        return result

    def _lose(self, connection: Connection) -> None:
        """The connection breaks in the middle of the transaction."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        else:
            connection.invalidate()

    # Steps. Each says how it ended.

    def order(self) -> str:
        customer = self.dice.choice(list(self.tokens))
        request = LoopRequest(prompt="x", tempo_bpm=240, bars=self.dice.randint(1, 8), seed=self.dice.randrange(4))
        quality = self.dice.choice(("standard", "hifi"))
        request = request.model_copy(update={"quality": quality})
        offer = quotes.make_offer(self.engine, BOOK, "standard", request, self.clock.now())
        job = Job("", customer, f"key-{len(self.jobs)}", request, offer, touched_ms=self.now_ms)
        quote_id = None
        if self.dice.random() < 0.3:
            expires_at_ms = self.now_ms + 300_000
            make = quotes.create_quote
            quote_id = self.commit(lambda c: make(c, customer, request, offer, expires_at_ms)).quote_id
        try:
            record, new = self.commit(lambda c: self._order(c, job, quote_id))
        except Refused as refused:
            assert refused.code == "insufficient_tokens" and self.available(customer) < offer.tokens, refused
            return refused.code
        assert new and self.available(customer) >= offer.tokens
        job.id, job.record, job.latest = record.id, record, record
        self.jobs.append(job)
        self._maybe_open.append(job)
        return "new"

    def _order(self, connection: Connection, job: Job, quote_id: str | None) -> tuple[records.JobRecord, bool]:
        sha256 = hashlib.sha256(job.request.model_dump_json().encode()).digest()
        order = records.Order(job.customer, job.key, sha256, job.request, quote_id, runs_by_itself=False)
        offer = None if quote_id is not None else job.offer
        return records.order_job(connection, order, offer, self.now_ms, self.now_ms + TTL_MS)

    def replay(self) -> str:
        """The same idempotency key again, or with another body."""
        if not self.jobs:
            return "nothing"
        job = self.dice.choice(self.jobs)
        other = self.dice.random() < 0.3
        asked = Job("", job.customer, job.key, job.request, job.offer)
        if other:
            asked.request = job.request.model_copy(update={"prompt": "another"})
        try:
            record, new = self.commit(lambda c: self._order(c, asked, None))
        except Refused as refused:
            assert other and refused.code == "idempotency_key_reused", refused
            return refused.code
        assert not other and not new and record.id == job.id
        return "replayed"

    def deliver(self) -> str:
        job = self._open_job()
        if job is None:
            return "nothing"
        for _ in range(self.dice.choice((1, 1, 1, 1, 2, 4, 30))):  # A slow reader, a quick one, one that takes all.
            if not job.open:
                return "completed"
            self._deliver([job])
        return "charged"

    def deliver_group(self) -> str:
        """The next chunks of several jobs in one transaction; of those that have ended, nothing."""
        self._deliver(self._group())
        return "charged"

    def charge_at_once(self) -> str:
        """The next chunks of several jobs in one statement, which leaves out those that have ended or are told of
        wrongly. SQLite has no such thing."""
        if self.db.dialect.name != "postgresql":
            return self.deliver_group()
        asked = [(job, self._next(job)) for job in self._group()]
        asked = [(job, delivery) for job, delivery in asked if not (job.open and delivery.completes)]
        known = [job.latest if self.dice.random() < 0.8 else job.record for job, _ in asked]
        told = [replace(each, record=record) for (_, each), record in zip(asked, known, strict=True) if record]
        outcomes = self.commit(lambda c: charge_at_once(c, told))
        for (job, _), record, outcome in zip(asked, known, outcomes, strict=True):
            assert (outcome is not None) == (job.open and record == job.latest), outcome
            if outcome is not None:
                self._charged(job, outcome)
        return "charged"

    def _group(self) -> list[Job]:
        return self.dice.sample(self.jobs[-30:], min(len(self.jobs[-30:]), self.dice.randint(1, 8)))

    def _next(self, job: Job) -> Delivery:
        """Its sound is put before it is charged, as the gateway does."""
        chunk = _chunk(job, min(job.delivered, len(job.offer.chunk_frames) - 1))
        if job.open:
            self.sound[job.id, chunk.index] = chunk.pcm
        return self._delivery(job, chunk)

    def _deliver(self, group: list[Job]) -> None:
        asked = [self._next(job) for job in group]
        outcomes = self.commit(lambda c: deliver_chunks(c, asked))
        for job, outcome in zip(group, outcomes, strict=True):
            if not job.open:
                assert isinstance(outcome, Refused) and outcome.code == "job_ended", outcome
                continue
            assert isinstance(outcome, Delivered), outcome
            self._charged(job, outcome)

    def _charged(self, job: Job, outcome: Delivered) -> None:
        assert outcome.received is not None
        job.delivered += 1
        job.touched_ms = self.now_ms
        frames = sum(job.offer.chunk_frames[: job.delivered])
        total = charge_due(job.offer.tokens, frames, job.offer.frames)
        assert outcome.received.meter.tokens == total - job.charged
        self.tokens[job.customer] -= total - job.charged
        job.charged, job.latest = total, outcome.record
        job.state = "completed" if job.delivered == len(job.offer.chunk_frames) else "running"
        assert outcome.record.state == job.state

    def _delivery(self, job: Job, chunk: Chunk) -> Delivery:
        """As a gateway would ask for it; of the record only what never changes is still true."""
        assert job.record is not None
        return Delivery(job.record, chunk, None, self.now_ms, self.now_ms + TTL_MS)

    def deliver_again(self) -> str:
        """A chunk that was charged, once more: whatever happens, nothing changes."""
        made = [job for job in self.jobs[-40:] if job.delivered]
        if not made:
            return "nothing"
        job = self.dice.choice(made)
        chunk = _chunk(job, self.dice.randrange(job.delivered))
        try:
            self.commit(lambda c: deliver_chunk(c, self._delivery(job, chunk)))
        except (Refused, AssertionError):
            return "refused"
        raise RuntimeError("a chunk was charged twice")

    def cancel(self) -> str:
        job = self.dice.choice(self.jobs) if self.jobs else None
        if job is None:
            return "nothing"
        was_open = job.open
        record = self.commit(lambda c: records.end_job(c, job.id, "cancelled", self.now_ms))
        job.state = "cancelled" if was_open else job.state
        assert record.state == job.state
        return "cancelled" if was_open else "ended before"

    def grant(self) -> str:
        customer, tokens = self.dice.choice(list(self.tokens)), self.dice.randint(1, 8000)
        self.commit(lambda c: movements.grant(c, customer, tokens, self.now_ms, WHY))
        self.tokens[customer] += tokens
        return "granted"

    def adjust(self) -> str:
        customer, tokens = self.dice.choice(list(self.tokens)), self.dice.choice((-3000, -200, -1, 150))
        try:
            self.commit(lambda c: movements.adjust(c, customer, tokens, self.now_ms, WHY))
        except Refused as refused:
            assert refused.code == "insufficient_tokens" and self.available(customer) + tokens < 0, refused
            return refused.code
        self.tokens[customer] += tokens
        return "adjusted"

    def refund(self) -> str:
        ended = [job for job in self.jobs[-40:] if not job.open and job.charged]
        if not ended:
            return "nothing"
        job, tokens = self.dice.choice(ended), self.dice.randint(1, 900)
        try:
            self.commit(lambda c: movements.refund(c, job.id, tokens, self.now_ms, WHY))
        except Refused as refused:
            assert refused.code == "refund_too_large" and job.refunded + tokens > job.charged, refused
            return refused.code
        job.refunded += tokens
        self.tokens[job.customer] += tokens
        return "refunded"

    def jump(self) -> str:
        seconds = self.dice.choice((1, 60, 1800, 3601, 3601, -5, -600))
        self.clock.advance(seconds)
        return "forward" if seconds > 0 else "back"

    def expire(self) -> str:
        ended = {record.id for record in self.commit(lambda c: records.expire_jobs(c, self.now_ms))}
        overdue = [job for job in self.open_jobs if job.touched_ms + TTL_MS <= self.now_ms]
        assert ended == {job.id for job in overdue}
        for job in overdue:
            job.state = "failed"
        return "expired" if ended else "none"

    def crash(self) -> str:
        """The process dies: nothing but the database is left."""
        self.db.dispose()
        self.db = self._open()
        return "restarted"

    def _open_job(self) -> Job | None:
        return self.dice.choice(self.open_jobs) if self.open_jobs else None

    @property
    def open_jobs(self) -> list[Job]:
        """Those that have not ended. Jobs never open again, so a long life looks at each ended one once."""
        self._maybe_open = [job for job in self._maybe_open if job.open]
        return self._maybe_open

    # Invariants.

    def available(self, customer: str) -> int:
        held = sum(job.offer.tokens - job.charged for job in self.open_jobs if job.customer == customer)
        return self.tokens[customer] - held

    def check(self, number: int) -> None:
        with self.db.begin() as connection:
            open_jobs = self.open_jobs
            books = {row[0]: row[1:] for row in connection.exec_driver_sql(_BOOKS)}
            for customer in self.tokens:
                theirs = [job for job in open_jobs if job.customer == customer]
                streaming, held = sum(job.charged for job in theirs), sum(job.offer.tokens for job in theirs)
                expected = (self.tokens[customer] + streaming, held, len(theirs), held, streaming)
                assert books[customer] == expected, (customer, books[customer], expected)
                assert self.tokens[customer] + streaming >= held
            customer = self.dice.choice(list(self.tokens))
            found = ledger.balance(connection, customer)
            available = self.available(customer)
            expected_here = (available, self.tokens[customer] - available, self.tokens[customer])
            assert (found.available, found.held, found.posted) == expected_here, (customer, found, expected_here)
            if self.jobs:
                self._check_job(connection, self.dice.choice(self.jobs[-20:]))
            if number % AUDIT_EVERY == 0:
                self._check_all(connection)

    def _check_job(self, connection: Connection, job: Job) -> None:
        row = connection.execute(select(jobs).where(jobs.c.id == job.id)).one()
        known = (job.state, job.charged, job.delivered)
        assert (row.state, row.tokens_charged, row.chunks_delivered) == known, (row, known)
        if job.state == "completed":
            assert row.tokens_charged == row.tokens_quoted == job.offer.tokens
        count = select(func.count(), func.max(chunks.c.index)).where(chunks.c.job_id == job.id)
        assert connection.execute(count).one() == (job.delivered, job.delivered - 1 if job.delivered else None)
        if job.delivered:  # Whatever was charged can be fetched.
            index = self.dice.randrange(job.delivered)
            assert records.read_chunk(connection, job.id, index).index == index
            assert self.sound[job.id, index] == _chunk(job, index).pcm

    def _check_all(self, connection: Connection) -> None:
        found = audit(connection)
        assert (found.posted_sum, found.faults) == (0, ()), found
        twice: Any = (
            select(transfers.c.hold_id)
            .where(transfers.c.kind == "charge")
            .group_by(transfers.c.hold_id, transfers.c.chunk_index)
            .having(func.count() > 1)
        )
        assert connection.execute(twice).first() is None
        negative = select(accounts.c.id).where(accounts.c.posted < accounts.c.held, ~accounts.c.may_overdraw)
        assert connection.execute(negative).first() is None
        stored = connection.execute(select(func.count()).select_from(chunks)).scalar_one()
        assert stored == sum(job.delivered for job in self.jobs)


def _chunk(job: Job, index: int) -> Chunk:
    frames = job.offer.chunk_frames[index]
    pcm = hashlib.sha256(f"{job.key}/{index}".encode()).digest()
    usage = Usage(frames=frames, steps=1, flops=1, device_seconds=0.01, peak_memory_bytes=1)
    return Chunk(index=index, pcm=pcm, frames=frames, usage=usage, state_after=pcm[:8])


def main() -> None:
    seeds, steps, store = (*sys.argv[1:], *("20", "10000", "sqlite")[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if store == "sqlite":
            _run(int(seeds), int(steps), lambda seed: f"sqlite:///{folder}/{seed}.db")
            return
        server = Postgres(Path(folder) / "data")
        stack.callback(server.stop)
        _run(int(seeds), int(steps), lambda seed: server.create(f"seed_{seed}"))


def _run(seeds: int, steps: int, new_database: Callable[[int], str]) -> None:
    total: Counter[str] = Counter()
    for seed in range(seeds):
        world = World(new_database(seed), seed)
        world.run(steps)
        total += world.done
        print(f"seed {seed}: {steps} steps, {len(world.jobs)} jobs, no invariant broken", flush=True)
    for name, count in sorted(total.items()):
        print(f"{count:8} {name}")


if __name__ == "__main__":
    main()
