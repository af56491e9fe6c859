"""Usage for billing systems: written with the bill, sent until taken, under an id that never changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
from sqlalchemy import Connection

from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway import admin
from loopmeter_gateway.app import create_app
from loopmeter_gateway.database import once
from loopmeter_gateway.jobs import owners
from loopmeter_gateway.money.outbox import USAGE
from loopmeter_gateway.money.targets import OpenMeter, StripeMeters, TargetFailed
from loopmeter_gateway.settings import Settings

from .conftest import BOTH_STORES, House, until

pytestmark = [pytest.mark.anyio, BOTH_STORES]


class Billing:
    """A billing system on loopback, that fails as often as it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.failures = 0
        self.paths: list[str] = []
        self.taken: list[dict[str, object]] = []
        self.answer_repeats = False

    def take(self, path: str, content_type: str, body: bytes) -> tuple[int, str]:
        self.paths.append(path)
        if self.failures:
            self.failures -= 1
            return 503, "busy"
        if "json" in content_type:
            self.taken += json.loads(body)
            return 204, ""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if any(form["identifier"] == before["identifier"] for before in self.taken):
            return 400, "An event already exists with identifier " + form["identifier"]
        self.taken.append(dict(form))
        return 200, "{}"


@contextmanager
def serve(billing: Billing) -> Iterator[Billing]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, text = billing.take(self.path, self.headers["Content-Type"], body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    billing.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield billing
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def billing() -> Iterator[Billing]:
    with serve(Billing()) as found:
        yield found


async def make(house: House, count: int) -> list[str]:
    house.grant(800 * count)
    async with house.open() as client:
        ids = [str((await client.order(bars=1, seed=seed)).json()["id"]) for seed in range(count)]
        for job_id in ids:
            await client.ended(job_id)
    return ids


async def test_every_paid_job_is_sent_once_as_a_cloud_event(house: House, billing: Billing) -> None:
    ids = await make(house, 3)
    target = OpenMeter(billing.url, "secret")

    first = admin.send_outbox(house.settings.db, "openmeter", target)
    again = admin.send_outbox(house.settings.db, "openmeter", target)

    assert (first["sent"], again["sent"]) == (3, 0)
    assert {event["id"] for event in billing.taken} == {f"{job_id}:usage" for job_id in ids}
    assert all(event["specversion"] == "1.0" and event["type"] == USAGE for event in billing.taken)
    assert {event["subject"] for event in billing.taken} == {house.customer_id}
    assert sum(event["data"]["tokens"] for event in billing.taken) == 2400  # type: ignore[index]


async def test_what_failed_is_sent_again_under_the_same_id(house: House, billing: Billing) -> None:
    await make(house, 1)
    billing.failures = 1
    target = OpenMeter(billing.url, "secret")

    with pytest.raises(TargetFailed, match="503"):
        admin.send_outbox(house.settings.db, "openmeter", target)
    pending = admin.pending_events(house.settings.db, "openmeter")["events"]
    admin.send_outbox(house.settings.db, "openmeter", target)

    assert [event["id"] for event in billing.taken] == [event["id"] for event in pending]


async def test_an_event_that_stripe_has_already_counts_as_sent(house: House, billing: Billing) -> None:
    await make(house, 2)
    target = StripeMeters(billing.url, "secret")
    first = admin.send_outbox(house.settings.db, "stripe", target)
    repeated = admin.send_outbox(house.settings.db, "stripe-2", target)  # As if the first had been forgotten.

    assert (first["sent"], repeated["sent"], len(billing.taken)) == (2, 2, 2)
    assert {event["payload[value]"] for event in billing.taken} == {"800"}


async def test_a_refund_is_an_event_of_its_own(house: House, billing: Billing) -> None:
    (job_id,) = await make(house, 1)
    admin.refund(house.settings.db, job_id, 300, "a click")
    admin.refund(house.settings.db, job_id, 300, "another click")
    admin.send_outbox(house.settings.db, "openmeter", OpenMeter(billing.url, "secret"))

    assert [event["data"]["tokens"] for event in billing.taken] == [800, -300, -300]  # type: ignore[index]
    assert len({event["id"] for event in billing.taken}) == 3


async def test_a_target_that_is_gone_loses_nothing(house: House, billing: Billing) -> None:
    await make(house, 1)

    with pytest.raises(TargetFailed):
        admin.send_outbox(house.settings.db, "openmeter", OpenMeter("http://127.0.0.1:9", "secret"))

    assert len(admin.pending_events(house.settings.db, "openmeter")["events"]) == 1


async def test_a_gateway_sends_usage_by_itself_and_again_where_it_failed(house: House, billing: Billing) -> None:
    house.grant(1600)
    billing.failures = 2
    async with house.open(usage_target=f"openmeter={billing.url}", usage_every_s=0.02) as client:
        ids = [str((await client.order(bars=1, seed=seed)).json()["id"]) for seed in range(2)]
        await until(lambda: len(billing.taken) == 2)

    assert {event["id"] for event in billing.taken} == {f"{job_id}:usage" for job_id in ids}
    assert admin.pending_events(house.settings.db, "openmeter")["events"] == []


async def test_of_several_gateways_the_first_alive_sends(house: House) -> None:
    def note(connection: Connection) -> list[str | None]:
        found = [owners.first_alive(connection, 0)]
        for name, seen_at_ms in (("gw_b", 100_000), ("gw_a", 100_000), ("gw_0", 0)):
            owners.beat(connection, name, seen_at_ms)
        return [*found, owners.first_alive(connection, 100_001)]

    assert once(house.settings.db, note) == [None, "gw_a"]


def test_a_target_that_nobody_knows_is_refused_with_what_was_expected(store: str) -> None:
    with pytest.raises(ValueError, match="expected a usage target such as openmeter=") as caught:
        create_app(Settings(db=store, usage_target="x=y"), FakeEngine())
    assert "found 'x=y'" in str(caught.value)
