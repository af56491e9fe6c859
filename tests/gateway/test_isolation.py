"""One customer at another's things, one address at a time; and keys that should open nothing any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from loopmeter_gateway import admin

from .conftest import LOOP, Client, House

pytestmark = pytest.mark.anyio


@dataclass
class Scene:
    """Ada has a job, a quote and a key; eve, who has tokens of her own, comes for them."""

    client: Client
    job: str
    quote: str
    key_id: str
    hold: str
    eve: str

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = path.format(job=self.job, key=self.key_id, hold=self.hold, customer=self.client.customer_id)
        asked = {"Authorization": f"Bearer {self.eve}", "Accept": "*/*"} | headers
        return await self.client.http.request(method, named, json=body, headers=asked)


async def scene(house: House, client: Client) -> Scene:
    await asyncio.to_thread(house.grant, 5000)
    eve = await asyncio.to_thread(house.new_customer, "eve", 5000)
    job = (await client.order("application/json")).json()["id"]
    await client.ended(job)
    quote = (await client.http.post("/v1/quotes", json=LOOP)).json()["quote_id"]
    running = (await client.order("application/json", seed=1)).json()["id"]
    holds = (await asyncio.to_thread(admin.list_holds, house.settings.db))["holds"]
    hold = next((found["hold_id"] for found in holds if found["job_id"] == running), "hold_x")
    await client.ended(running)
    return Scene(client, job, quote, house.key.split("_")[1], hold, eve)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/loops/{job}"),
        ("DELETE", "/v1/loops/{job}"),
        ("GET", "/v1/loops/{job}/chunks"),
        ("GET", "/v1/loops/{job}/chunks?from=3"),
        ("GET", "/v1/loops/{job}/audio"),
        ("GET", "/v1/loops/{job}/audio?format=flac"),
        ("GET", "/v1/loops/{job}/midi"),
    ],
)
async def test_another_customer_s_job_does_not_exist(house: House, method: str, path: str) -> None:
    async with house.open() as client:
        eve = await scene(house, client)
        stolen = await eve.ask(method, path)
        unknown = await eve.ask(method, path.replace("{job}", "job_000000000000000000000000"))
        job = await client.job(eve.job)

    assert (stolen.status_code, stolen.json()["code"]) == (404, "not_found")
    # The same words as for a job that never was: the answer does not say that it exists.
    assert stolen.json()["detail"].replace(eve.job, "X") == unknown.json()["detail"].replace("job_" + "0" * 24, "X")
    assert job["state"] == "completed"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/admin/customers/{customer}", None),
        ("GET", "/admin/customers/{customer}/keys", None),
        ("POST", "/admin/keys/{key}/rotate", {}),
        ("DELETE", "/admin/keys/{key}", None),
        ("DELETE", "/admin/jobs/{job}", None),
        ("DELETE", "/admin/holds/{hold}?reason=x", None),
        ("POST", "/admin/customers/eve/grants", {"tokens": 5, "reason": "x"}),
        ("POST", "/admin/jobs/{job}/refunds", {"reason": "x"}),
    ],
)
async def test_a_customer_cannot_act_as_an_operator(house: House, method: str, path: str, body: Any) -> None:
    async with house.open() as client:
        eve = await scene(house, client)
        answer = await eve.ask(method, path, body)
        owner = await client.http.get("/v1/balance")

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert owner.status_code == 200
    assert admin.show_customer(house.settings.db, "eve")["available"] == 5000


async def test_another_customer_s_quote_does_not_exist(house: House) -> None:
    async with house.open() as client:
        eve = await scene(house, client)
        answer = await eve.ask("POST", "/v1/loops", LOOP | {"quote_id": eve.quote}, Accept="application/json")

    assert (answer.status_code, answer.json()["code"]) == (404, "quote_unknown")


async def test_another_customer_s_idempotency_key_makes_a_job_of_one_s_own(house: House) -> None:
    async with house.open() as client:
        eve = await scene(house, client)
        mine = await client.order("application/json", key="shared-key")
        theirs = await eve.ask(
            "POST", "/v1/loops", LOOP, **{"Accept": "application/json", "Idempotency-Key": "shared-key"}
        )
        await client.ended(theirs.json()["id"])

    assert mine.json()["id"] != theirs.json()["id"]
    assert admin.show_customer(house.settings.db, "eve")["available"] == 4200


async def test_balance_and_usage_are_one_s_own(house: House) -> None:
    async with house.open() as client:
        eve = await scene(house, client)
        balance = (await eve.ask("GET", "/v1/balance")).json()
        usage = (await eve.ask("GET", "/v1/usage")).json()

    assert balance == {"available": 5000, "held": 0, "posted": 5000}
    assert (usage["entries"], usage["tokens_charged"]) == ([], 0)


@pytest.mark.parametrize(
    "job_id",
    [
        "..",
        "../../etc/passwd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2floopmeter.db",
        "job_x%00.wav",
        "%00",
        "' OR '1'='1",
        "job_x;DROP TABLE jobs",
        "*",
        "%25",
        "ｊｏｂ",
        "a" * 5000,
    ],
)
@pytest.mark.parametrize("rest", ["", "/audio?format=flac", "/midi", "/chunks"])
async def test_a_trick_in_an_id_finds_nothing(house: House, job_id: str, rest: str) -> None:
    async with house.open() as client:
        answer = await client.http.get(f"/v1/loops/{job_id}{rest}")

    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_above_the_limit_is_refused_and_costs_nothing(house: House) -> None:
    house.grant(5000)
    async with house.open(body_bytes_max=10_000) as client:
        big = await client.http.post("/v1/loops", json=LOOP | {"midi_base64": "A" * 20_000})
        balance = await client.balance()

    assert (big.status_code, big.json()["code"]) == (413, "body_too_large")
    assert balance["available"] == 5000


@pytest.mark.parametrize(
    "midi",
    ["AAAA", "UEsDBBQAAAAIAA==", "UklGRv////9XQVZF", "!!!!", "TVRoZP////8AAAAAAAA=", "A" * 400_001],
    ids=["zeros", "zip", "wav that claims 4 GB", "no base64", "midi that claims 4 GB", "too long"],
)
async def test_an_upload_that_is_no_midi_file_is_refused_or_ignored_and_never_unpacked(house: House, midi: str) -> None:
    house.grant(5000)
    async with house.open() as client:
        answer = await client.http.post("/v1/quotes", json=LOOP | {"midi_base64": midi})

    # The fake engine reads no MIDI; the real one's refusals are tested with it. Nobody may break.
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_not_unpacked(house: House, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with house.open() as client:
        answer = await client.http.post("/v1/quotes", content=b"\x1f\x8b\x08" + b"\x00" * 100, headers=headers)

    assert answer.status_code in (400, 415, 422)
