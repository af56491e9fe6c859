"""What operators do over HTTP: their own scope, their own words, and the same rules as on the command line."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import httpx
import pytest

from loopmeter_gateway import admin
from loopmeter_gateway.money.price_book import shipped_toml

from .conftest import LOOP, Client, Gate, House

pytestmark = pytest.mark.anyio
MINE = """name = "mine"
version = "1"
included_s = 0
base_tokens = 5
extra_tokens_per_s = 1
hifi_percent = 0
plans = [{name = "standard"}]
"""


class Operator:
    """A client with an operator's key."""

    def __init__(self, house: House, client: Client) -> None:
        self._http = client.http
        self._headers = {"Authorization": f"Bearer {admin.create_admin_key(house.settings.db)['key']}"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self._http.request(method, f"/admin{path}", json=body, headers=self._headers | headers)

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        return (await self.ask(method, path, body)).json()


async def operator_of(house: House, client: Client) -> Operator:
    return await asyncio.to_thread(Operator, house, client)


ADDRESSES = [
    ("GET", "/admin/customers"),
    ("POST", "/admin/customers"),
    ("GET", "/admin/customers/ada"),
    ("PATCH", "/admin/customers/ada"),
    ("GET", "/admin/customers/ada/entries"),
    ("POST", "/admin/customers/ada/grants"),
    ("POST", "/admin/customers/ada/adjustments"),
    ("GET", "/admin/customers/ada/keys"),
    ("POST", "/admin/customers/ada/keys"),
    ("POST", "/admin/keys/x/rotate"),
    ("PUT", "/admin/keys/x/budget"),
    ("DELETE", "/admin/keys/x"),
    ("GET", "/admin/price-books"),
    ("POST", "/admin/price-books"),
    ("GET", "/admin/jobs"),
    ("DELETE", "/admin/jobs/x"),
    ("POST", "/admin/jobs/x/refunds"),
    ("GET", "/admin/holds"),
    ("DELETE", "/admin/holds/x?reason=y"),
    ("GET", "/admin/audit"),
    ("GET", "/admin/reports/margin"),
    ("GET", "/admin/reports/usage"),
    ("POST", "/admin/simulations"),
]


async def test_a_customer_s_key_opens_no_admin_address(house: House) -> None:
    async with house.open() as client:
        with_key = [await client.http.request(method, path, json={}) for method, path in ADDRESSES]
        without = [await client.http.request(m, path, json={}, headers={"Authorization": ""}) for m, path in ADDRESSES]
        schema = (await client.http.get("/schema/openapi.json")).json()

    assert {answer.status_code for answer in with_key} == {403}
    assert {answer.status_code for answer in without} == {401}
    known = {path for path in schema["paths"] if path.startswith("/admin")}
    assert len(known) == len({path.partition("?")[0] for _, path in ADDRESSES})  # None was left out above.


async def test_an_operator_makes_a_customer_a_key_and_a_grant(house: House) -> None:
    async with house.open() as client:
        operator = await operator_of(house, client)
        made = await operator.json("POST", "/customers", {"name": "bob", "plan": "studio"})
        key = await operator.json("POST", "/customers/bob/keys", {"name": "plug-in", "day_tokens_max": 900})
        granted = await operator.json("POST", "/customers/bob/grants", {"tokens": 500, "reason": "welcome"})
        headers = {"Authorization": f"Bearer {key['key']}", "Accept": "application/json"}
        quote = (await client.http.post("/v1/quotes", json=LOOP, headers=headers)).json()
        first = await client.http.post("/v1/loops", json=LOOP, headers=headers)
        second = await client.http.post("/v1/loops", json=LOOP | {"seed": 1}, headers=headers)
        keys = await operator.json("GET", "/customers/bob/keys")

    assert (made["available"], granted["available"]) == (60_000, 60_500)
    assert quote["tokens"] == 720
    assert quote["lines"][-1] == {"text": "plan studio, -10 %", "tokens": -80}
    assert (first.status_code, second.json()["code"]) == (200, "key_budget_exceeded")
    assert [(found["name"], found["state"]) for found in keys] == [("plug-in", "active")]
    assert key["key"].split("_", 2)[2] not in str(keys)


async def test_a_grant_that_is_sent_twice_with_one_key_happens_once(house: House) -> None:
    body = {"tokens": 500, "reason": "top-up"}
    async with house.open() as client:
        operator = await operator_of(house, client)
        answers = [await operator.ask("POST", "/customers/ada/grants", body, **{"Idempotency-Key": "p1"}) for _ in "12"]
        other = await operator.ask("POST", "/customers/ada/grants", body | {"tokens": 6}, **{"Idempotency-Key": "p1"})

    assert [answer.json()["available"] for answer in answers] == [500, 500]
    assert (other.status_code, other.json()["code"]) == (409, "reference_reused")


async def test_a_key_is_rotated_and_revoked(house: House) -> None:
    key_id = house.key.split("_")[1]
    async with house.open() as client:
        operator = await operator_of(house, client)
        new = await operator.json("POST", f"/keys/{key_id}/rotate", {"overlap_s": 60})
        revoked = await operator.json("DELETE", f"/keys/{key_id}")
        old = await client.http.get("/v1/balance")
        fresh = await client.http.get("/v1/balance", headers={"Authorization": f"Bearer {new['key']}"})
        again = await operator.ask("POST", f"/keys/{key_id}/rotate", {})

    assert (revoked["state"], old.status_code, fresh.status_code) == ("revoked", 401, 200)
    assert (again.status_code, again.json()["code"]) == (409, "key_ended")


async def test_a_customer_s_own_price_book_prices_its_quotes(house: House) -> None:
    async with house.open() as client:
        operator = await operator_of(house, client)
        before = (await client.http.post("/v1/quotes", json=LOOP)).json()
        added = await operator.json("POST", "/price-books", {"toml": MINE})
        await operator.json("PATCH", "/customers/ada", {"price_book": "mine-1"})
        after = (await client.http.post("/v1/quotes", json=LOOP)).json()
        shown = (await client.http.get("/v1/price-book")).json()
        await operator.json("PATCH", "/customers/ada", {"price_book": "gateway"})
        back = (await client.http.post("/v1/quotes", json=LOOP)).json()

    assert added == {"price_book": "mine-1"}
    assert [(quote["tokens"], quote["price_book"]) for quote in (before, after, back)] == [
        (800, "standard-1"),
        (13, "mine-1"),
        (800, "standard-1"),
    ]
    assert shown["name"] == "mine"


async def test_a_quote_keeps_the_price_book_that_it_was_made_under(house: House) -> None:
    house.grant(1000)
    async with house.open() as client:
        operator = await operator_of(house, client)
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        await operator.json("PATCH", "/customers/ada", {"price_book": "loops"})
        job = await client.ended((await client.order(quote_id=quote["quote_id"])).json()["id"])

    assert job["tokens_charged"] == quote["tokens"] == 800


async def test_a_price_book_in_force_never_changes(house: House) -> None:
    async with house.open() as client:
        operator = await operator_of(house, client)
        same = [await operator.ask("POST", "/price-books", {"toml": MINE}) for _ in "12"]
        changed = await operator.ask("POST", "/price-books", {"toml": MINE.replace("= 5", "= 6")})
        shipped = shipped_toml("standard").replace("800", "700")
        article = await operator.ask("POST", "/price-books", {"toml": shipped})

    assert [answer.status_code for answer in same] == [201, 201]
    assert (changed.status_code, changed.json()["code"]) == (409, "price_book_used")
    assert (article.status_code, article.json()["code"]) == (409, "price_book_used")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/price-books", {"toml": "name = 3"}, "invalid_request"),
        ("POST", "/price-books", {"toml": "]["}, "invalid_request"),
        ("POST", "/customers", {"name": "ada"}, "name_taken"),
        ("POST", "/customers", {"name": "bob", "plan": "gold"}, "invalid_request"),
        ("POST", "/customers", {"name": "bob", "price_book": "nobody-1"}, "not_found"),
        ("POST", "/customers", {"name": "b", "colour": "red"}, "invalid_request"),
        ("PATCH", "/customers/nobody", {"plan": "free"}, "not_found"),
        ("POST", "/customers/ada/grants", {"tokens": 0, "reason": "x"}, "invalid_request"),
        ("POST", "/customers/ada/grants", {"tokens": 5}, "invalid_request"),
        ("POST", "/customers/ada/grants", {"tokens": 10**13, "reason": "x"}, "invalid_request"),
        ("POST", "/customers/ada/adjustments", {"tokens": -5, "reason": "x"}, "insufficient_tokens"),
        ("POST", "/customers/ada/keys", {"scopes": ["admin"]}, "invalid_request"),
        ("POST", "/customers/ada/keys", {"expires_at": "2020-01-01T00:00:00Z"}, "invalid_request"),
        ("DELETE", "/keys/nobody", None, "not_found"),
        ("DELETE", "/jobs/nobody", None, "not_found"),
        ("DELETE", "/holds/nobody?reason=x", None, "not_found"),
        ("DELETE", "/holds/nobody", None, "invalid_request"),
        ("GET", "/reports/margin?since=2027-01-01T00:00:00Z", None, "invalid_request"),
        ("GET", "/jobs?state=asleep", None, "invalid_request"),
        ("POST", "/simulations", {}, "invalid_request"),
        ("POST", "/simulations", {"price_book": "nobody-7"}, "not_found"),
    ],
)
async def test_what_an_operator_gets_wrong_is_said(house: House, method: str, path: str, body: Any, code: str) -> None:
    async with house.open() as client:
        operator = await operator_of(house, client)
        answer = await operator.ask(method, path, body)

    assert answer.json()["code"] == code
    assert house.audit().faults == ()


async def test_voiding_a_hold_frees_its_tokens_and_ends_its_job(house: House, gate: Gate) -> None:
    house.grant(800)
    async with house.open(gate.engine) as client:
        operator = await operator_of(house, client)
        job_id = (await client.order()).json()["id"]
        hold = (await operator.json("GET", "/holds"))[0]
        voided = await operator.json("DELETE", f"/holds/{hold['hold_id']}?reason=stuck")
        gate.allow(100)
        job = await client.ended(job_id)
        balance = await client.balance()

    assert (hold["job_id"], hold["amount"], voided["state"]) == (job_id, 800, "voided")
    assert (job["state"], balance) == ("cancelled", {"available": 800, "held": 0, "posted": 800})
    assert house.audit().faults == ()


async def test_reports_say_what_was_sold_and_what_it_took(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        operator = await operator_of(house, client)
        jobs = [await client.ended((await client.order(seed=seed)).json()["id"]) for seed in range(2)]
        refund = {"reason": "a click", "tokens": 300}
        refunded = await operator.ask("POST", f"/jobs/{jobs[0]['id']}/refunds", refund)
        rates = "token_micros=500&device_hour_micros=1200000"
        rows = await operator.json("GET", f"/reports/margin?{rates}")
        table = (await operator.ask("GET", "/reports/usage")).text
        listed = await operator.json("GET", "/jobs?customer=ada&limit=1")

    assert refunded.status_code == 201
    total = rows[-1]
    assert (total["jobs"], total["tokens_sold"], total["tokens_refunded"]) == (2, 1600, 300)
    assert total["device_seconds"] == pytest.approx(2 * 8 / 40, abs=0.01)
    assert total["revenue_micros"] == 1300 * 500
    assert total["cost_micros"] == pytest.approx(0.4 / 3600 * 1_200_000, abs=2)
    assert total["margin_micros"] == total["revenue_micros"] - total["cost_micros"]
    assert {(row["model"], row["plan"], row["customer"]) for row in rows} >= {
        ("loopmeter", "standard", "ada"),
        ("*", "standard", "*"),
    }
    found = list(csv.DictReader(io.StringIO(table)))
    assert [int(row["tokens_charged"]) for row in found] == [800, 800]
    assert [int(row["tokens_refunded"]) for row in found] == [300, 0]
    assert (len(listed["jobs"]), listed["jobs"][0]["id"]) == (1, jobs[1]["id"])


async def test_a_simulation_prices_again_what_was_made_and_changes_nothing(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        operator = await operator_of(house, client)
        for seed in range(2):
            await client.ended((await client.order(seed=seed)).json()["id"])
        loops = await operator.json("POST", "/simulations", {"price_book": "loops", "token_micros": 1000})
        same = await operator.json("POST", "/simulations", {"price_book": "standard"})
        mine = await operator.json("POST", "/simulations", {"toml": MINE})
        books = await operator.json("GET", "/price-books")

    assert (loops["total"]["tokens_before"], loops["total"]["tokens_after"]) == (1600, 2 * (30 + 8 * 14))
    assert loops["margin_after_micros"] == 284 * 1000
    assert (same["total"]["tokens_after"], same["total"]["percent"]) == (1600, 0)
    assert mine["total"]["tokens_after"] == 26
    assert [change["name"] for change in loops["customers"]] == ["ada"]
    assert [change["name"] for change in loops["lengths"]] == ["4 to 8 s"]
    assert [book["id"] for book in books] == ["standard-1"]
