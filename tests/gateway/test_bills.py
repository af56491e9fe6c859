"""Whatever is asked for, under whichever price book and plan: the bill is the quote, and the charges add up to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, Usage
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.accounts.customers import create_customer
from loopmeter_gateway.database import create_tables
from loopmeter_gateway.jobs.deliveries import Delivered, Delivery, charge_at_once, deliver_chunks
from loopmeter_gateway.jobs.records import JobRecord, Order, order_job
from loopmeter_gateway.money import ledger, movements
from loopmeter_gateway.money.audit import audit
from loopmeter_gateway.money.price_book import load_price_book
from loopmeter_gateway.money.quotes import create_quote, make_offer
from loopmeter_gateway.tables import chunks, transfers

from .conftest import BOTH_STORES
from .test_migrations import open_sync

FAR_MS = 10**12
BOOKS = {name: load_price_book(name) for name in ("standard", "loops", "resource")}
REQUESTS = st.builds(
    LoopRequest,
    prompt=st.just("x"),
    tempo_bpm=st.floats(60, 240),
    bars=st.integers(1, 8),
    beats_per_bar=st.integers(2, 6),
    quality=st.sampled_from(("standard", "hifi")),
)


@pytest.fixture
def db(store: str) -> Iterator[Engine]:
    engine = open_sync(store)
    create_tables(engine)
    with engine.begin() as connection:
        ledger.open_house_accounts(connection)
    yield engine
    engine.dispose()


def take_all(connection: Connection, job: JobRecord, choices: Iterator[bool]) -> JobRecord:
    """Deliver a job chunk by chunk, each in one of the two ways of PostgreSQL where there are two."""
    for index, frames in enumerate(job.offer.chunk_frames):
        usage = Usage(frames, 1, 1, 0.1, 1)
        chunk = Chunk(index=index, pcm=b"", frames=frames, usage=usage, state_after=b"state")
        asked = [Delivery(job, chunk, None, 0, FAR_MS)]
        quick = connection.dialect.name == "postgresql" and not asked[0].completes and next(choices)
        (found,) = charge_at_once(connection, asked) if quick else deliver_chunks(connection, asked)
        assert isinstance(found, Delivered)
        job = found.record
    return job


@BOTH_STORES
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=REQUESTS,
    book=st.sampled_from(sorted(BOOKS)),
    plan=st.sampled_from(("free", "studio", "scale", "standard")),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    seed=st.randoms(use_true_random=False),
)
def test_the_bill_is_the_quote(db: Engine, request: LoopRequest, book: str, plan: str, at: datetime, seed: Any) -> None:
    with db.connect() as connection, connection.begin() as everything:
        customer_id = create_customer(connection, "ada", plan, 0)
        offer = make_offer(FakeEngine(), BOOKS[book], plan, request, at)
        movements.grant(connection, customer_id, offer.tokens, 0)
        quote = create_quote(connection, customer_id, request, offer, FAR_MS)
        order = Order(customer_id, "key", b"", request, quote.quote_id, runs_by_itself=False)
        job, _ = order_job(connection, order, None, 0, FAR_MS)

        job = take_all(connection, job, iter(lambda: seed.random() < 0.5, None))

        assert job.state == "completed"
        assert sum(line.tokens for line in quote.lines) == quote.tokens
        charged = select(func.coalesce(func.sum(transfers.c.amount), 0)).where(transfers.c.kind == "charge")
        metered = select(func.sum(chunks.c.tokens))
        sums = [connection.execute(wanted).scalar_one() for wanted in (charged, metered)]
        assert [job.tokens_charged, *sums] == [quote.tokens] * 3
        assert ledger.balance(connection, customer_id).posted == 0
        assert audit(connection).faults == ()
        everything.rollback()
