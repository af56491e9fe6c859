"""Keys: what they may do, how long, how much they may spend, and that what has ended stays ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from loopmeter import ClientToken
from loopmeter_gateway import admin
from loopmeter_gateway.accounts import keys
from loopmeter_gateway.accounts.customers import KeyScope
from loopmeter_gateway.accounts.keys import KeySpec
from loopmeter_gateway.clock import to_ms
from loopmeter_gateway.database import once
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import api_keys

from .conftest import BOTH_STORES, LOOP, Client, House, until

pytestmark = pytest.mark.anyio
SECRETS = ("key_sha256",)


def new_key(house: House, **spec: Any) -> str:
    now_ms = to_ms(house.clock.now())
    return once(house.settings.db, lambda c: keys.create_key(c, house.customer_id, "customer", now_ms, KeySpec(**spec)))


def key_id(key: str) -> str:
    return key.split("_")[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def order(client: Client, key: str, **fields: Any) -> httpx.Response:
    return await client.http.post("/v1/loops", json=LOOP | fields, headers=bearer(key) | {"Accept": "application/json"})


async def status(client: Client, method: str, path: str, key: str) -> tuple[int, str]:
    body = LOOP if method == "POST" else None
    answer = await client.http.request(method, path, headers=bearer(key), json=body)
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize(
    ("scope", "method", "path", "code"),
    [
        ("read", "POST", "/v1/quotes", "forbidden"),
        ("read", "POST", "/v1/loops", "forbidden"),
        ("read", "DELETE", "/v1/loops/job_x", "forbidden"),
        ("read", "POST", "/v1/client-tokens", "forbidden"),
        ("read", "GET", "/v1/loops/job_x", "not_found"),
        ("read", "GET", "/v1/balance", ""),
        ("make", "GET", "/v1/balance", "forbidden"),
        ("make", "GET", "/v1/usage", "forbidden"),
        ("make", "GET", "/v1/models", ""),
        ("make", "POST", "/v1/quotes", ""),
    ],
)
async def test_a_key_does_what_its_scope_says(house: House, scope: KeyScope, method: str, path: str, code: str) -> None:
    key = new_key(house, scopes=(scope,))
    async with house.open() as client:
        assert (await status(client, method, path, key))[1] == code


async def test_a_key_ends_at_its_expiry(house: House) -> None:
    key = new_key(house, expires_at_ms=to_ms(house.clock.now()) + 60_000)
    async with house.open() as client:
        before = await status(client, "GET", "/v1/balance", key)
        house.clock.advance(60)
        after = await status(client, "GET", "/v1/balance", key)

    assert (before[0], after) == (200, (401, "unauthenticated"))


async def test_a_revoked_key_ends_at_once_and_stays_ended(house: House) -> None:
    key = new_key(house)
    async with house.open() as client:
        await asyncio.to_thread(admin.revoke_key, house.settings.db, key_id(key))
        first = await status(client, "GET", "/v1/balance", key)
    async with house.open() as client:
        again = await status(client, "GET", "/v1/balance", key)

    assert first == again == (401, "unauthenticated")


async def test_a_rotated_key_and_its_successor_overlap(house: House) -> None:
    old = new_key(house, name="plug-in", scopes=("read",))
    now_ms = to_ms(house.clock.now())
    new = once(house.settings.db, lambda c: keys.rotate_key(c, key_id(old), 600, now_ms))
    async with house.open() as client:
        during = [(await status(client, "GET", "/v1/balance", key))[0] for key in (old, new)]
        house.clock.advance(600)
        after = [(await status(client, "GET", "/v1/balance", key))[0] for key in (old, new)]
        scope = await status(client, "POST", "/v1/quotes", new)

    assert (during, after) == ([200, 200], [401, 200])
    assert scope == (403, "forbidden")


async def test_an_ended_key_cannot_be_rotated(house: House) -> None:
    key = new_key(house)
    admin.revoke_key(house.settings.db, key_id(key))

    with pytest.raises(Refused, match="key_ended"):
        admin.rotate_key(house.settings.db, key_id(key), 0)


@BOTH_STORES
async def test_a_day_s_budget_is_never_overspent_and_begins_anew(house: House) -> None:
    house.grant(10_000)
    key = new_key(house, day_tokens_max=2000)
    async with house.open() as client:
        answers = await asyncio.gather(*(order(client, key, bars=1, seed=seed) for seed in range(10)))
        await until(lambda: not client.gateway.live_jobs)
        house.clock.advance(86_400)
        next_day = await order(client, key, bars=1, seed=99)

    assert Counter(answer.status_code for answer in answers) == {200: 2, 402: 8}
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert (refused["code"], refused["needed"], refused["available"]) == ("key_budget_exceeded", 800, 400)
    assert next_day.status_code == 200


@BOTH_STORES
async def test_a_budget_is_shared_with_successors_and_client_tokens(house: House) -> None:
    house.grant(10_000)
    key = new_key(house, month_tokens_max=2500)
    now_ms = to_ms(house.clock.now())
    successor = once(house.settings.db, lambda c: keys.rotate_key(c, key_id(key), 600, now_ms))
    async with house.open() as client:
        token = (
            await client.http.post("/v1/client-tokens", json={"tokens_max": 9000}, headers=bearer(successor))
        ).json()
        codes = [(await order(client, each, bars=1)).status_code for each in (key, successor, token["token"], key)]

    assert codes == [200, 200, 200, 402]


@BOTH_STORES
async def test_what_a_cancelled_job_did_not_use_returns_to_the_budget(house: House) -> None:
    house.grant(10_000)
    key = new_key(house, day_tokens_max=800)
    async with house.open() as client:
        first = await client.http.post("/v1/loops", json=LOOP, headers=bearer(key) | {"Accept": "application/json"})
        poor = await order(client, key, seed=1)
        await client.http.delete(f"/v1/loops/{first.json()['id']}", headers=bearer(key))
        job = await client.job(first.json()["id"])
        left = 800 - job["tokens_charged"]

        assert poor.json().get("available", 0) == 0
        assert (await order(client, key, seed=2)).json().get("available", 800) == left


async def test_a_key_notes_when_it_was_last_used(house: House) -> None:
    async with house.open() as client:
        house.clock.advance(5)
        await client.balance()
        await client.gateway.sweep()
        record = await client.gateway.database.read(lambda c: keys.find_key(c, key_id(house.key), 0))

    assert record.last_used_at_ms == to_ms(house.clock.now())


async def test_the_list_of_keys_shows_no_secret(house: House) -> None:
    found = admin.list_keys(house.settings.db, "ada")

    assert house.key.split("_", 2)[2] not in str(found)
    assert not any(name in str(found) for name in SECRETS)


async def test_the_database_keeps_no_key(house: House) -> None:
    rows = once(house.settings.db, lambda c: c.execute(select(api_keys)).all())

    assert house.key.split("_", 2)[2] not in str(rows)


@BOTH_STORES
@pytest.mark.parametrize(
    "key",
    ["", "lm_", "lm__", "lm_x_y", "nonsense", "lm_" + "0" * 16 + "_" + "a" * 43, "lm_' OR 1=1 --_x", "lm_\x00_x"],
)
async def test_what_is_no_key_is_refused(house: House, key: str) -> None:
    assert once(house.settings.db, lambda c: keys.find_caller(c, key, 0)) is None


async def test_a_key_with_another_secret_is_refused(house: House) -> None:
    wrong = house.key[:-1] + ("a" if house.key[-1] != "a" else "b")

    assert once(house.settings.db, lambda c: keys.find_caller(c, wrong, 0)) is None


# Client tokens.


async def client_token(client: Client, **fields: Any) -> ClientToken:
    answer = await client.http.post("/v1/client-tokens", json={"tokens_max": 1000, **fields})
    return ClientToken.model_validate(answer.json())


@BOTH_STORES
async def test_a_client_token_makes_loops_until_its_budget_is_spent(house: House) -> None:
    house.grant(10_000)
    async with house.open() as client:
        token = await client_token(client, tokens_max=1700)
        answers = [await order(client, token.token, bars=1, seed=seed) for seed in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 402]
    assert answers[2].json()["code"] == "key_budget_exceeded"


async def test_a_client_token_is_refused_when_it_has_expired(house: House) -> None:
    async with house.open() as client:
        token = await client_token(client, expires_in_s=10)
        before = await status(client, "POST", "/v1/quotes", token.token)
        house.clock.advance(10)
        after = await status(client, "POST", "/v1/quotes", token.token)

    assert (before[0], after) == (200, (401, "unauthenticated"))


async def test_a_client_token_sees_neither_balance_nor_other_customers_nor_makes_tokens(house: House) -> None:
    house.grant(1000)
    stranger = house.new_customer("eve", 1000)
    async with house.open() as client:
        foreign = (await order(client, stranger)).json()["id"]
        token = (await client_token(client)).token
        found = [
            await status(client, "GET", "/v1/balance", token),
            await status(client, "GET", "/v1/usage", token),
            await status(client, "GET", f"/v1/loops/{foreign}", token),
            await status(client, "DELETE", f"/v1/loops/{foreign}", token),
        ]
        more = await client.http.post("/v1/client-tokens", json={"tokens_max": 5}, headers=bearer(token))

    assert found == [(403, "forbidden"), (403, "forbidden"), (404, "not_found"), (404, "not_found")]
    assert (more.status_code, more.json()["code"]) == (403, "forbidden")


async def test_a_client_token_ends_with_its_key(house: House) -> None:
    async with house.open() as client:
        token = await client_token(client)
        await asyncio.to_thread(admin.revoke_key, house.settings.db, key_id(house.key))

        assert await status(client, "POST", "/v1/quotes", token.token) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "fields", [{}, {"tokens_max": 0}, {"tokens_max": 5, "expires_in_s": 86_401}, {"tokens_max": 1.5}]
)
async def test_a_client_token_needs_sensible_limits(house: House, fields: dict[str, Any]) -> None:
    async with house.open() as client:
        answer = await client.http.post("/v1/client-tokens", json=fields)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_expired_client_tokens_are_forgotten_and_their_jobs_kept(house: House) -> None:
    house.grant(1000)
    async with house.open() as client:
        token = await client_token(client, expires_in_s=10)
        job = (await order(client, token.token)).json()["id"]
        house.clock.advance(100)
        now_ms = to_ms(house.clock.now())
        forgotten = await client.gateway.database.write(lambda c: keys.forget_client_tokens(c, now_ms))

        assert forgotten == 1
        assert (await client.job(job))["id"] == job
