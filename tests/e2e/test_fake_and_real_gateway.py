"""The shipped fake against the real gateway: the same requests get the same answers, so tests against it are true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.e2e.gateway_process import GatewayProcess, running

from loopmeter.testing import FakeGateway

TOKENS = 3_000
Told = dict[str, object]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    yield from running(GatewayProcess(tmp_path_factory.mktemp("gateway"), level=True))


@pytest.fixture
def twins(real: GatewayProcess, request: pytest.FixtureRequest) -> Iterator[list[httpx.Client]]:
    key = real.customer(request.node.name, TOKENS)
    headers = {"Authorization": f"Bearer {key}"}
    with (
        FakeGateway(tokens=TOKENS, api_key=key).serve() as fake_url,
        httpx.Client(base_url=fake_url, headers=headers, trust_env=False) as fake,
        httpx.Client(base_url=real.url, headers=headers, trust_env=False) as genuine,
    ):
        yield [fake, genuine]


def order(
    client: httpx.Client, key: str = "k", accept: str = "application/json", cap: str | None = None, **fields: object
) -> httpx.Response:
    headers = {"Idempotency-Key": key, "Accept": accept} | ({} if cap is None else {"Loopmeter-Max-Tokens": cap})
    return client.post("/v1/loops", json={"prompt": "drums", **fields}, headers=headers)


def told(answer: httpx.Response, *names: str) -> Told:
    """What the answer says, without what may differ: ids, dates and the words of a refusal."""
    body = json.loads(answer.content)
    amounts = [name for name in ("tokens", "max_tokens") if name in body]
    kept = names if answer.status_code < 400 else ("code", "status", *amounts)
    fields = [error["field"] for error in body.get("errors", [])]
    features = answer.headers.get("loopmeter-features")
    return {"status": answer.status_code, "fields": fields, "features": features} | {name: body[name] for name in kept}


QUOTE = ("tokens", "frames", "chunks", "sample_rate_hz", "channels", "bits", "request")
JOB = ("frames", "chunks", "tokens_quoted", "sample_rate_hz", "channels", "bits", "request")


def quoted(client: httpx.Client, **fields: object) -> Told:
    return told(client.post("/v1/quotes", json={"prompt": "drums", **fields}), *QUOTE)


CASES: dict[str, Callable[[httpx.Client], object]] = {
    "quote": lambda client: quoted(client, bars=4, tempo_bpm=92),
    "quote of a minute and a frame": lambda client: quoted(client, bars=31, tempo_bpm=120, quality="hifi"),
    "quote too long": lambda client: quoted(client, bars=256, tempo_bpm=40),
    "unknown model": lambda client: quoted(client, model="kazoo"),
    "unknown field": lambda client: quoted(client, tempo=92),
    "bpm 0": lambda client: quoted(client, tempo_bpm=0),
    "job": lambda client: told(order(client, bars=2), *JOB),
    "same key, other request": lambda client: [told(order(client, bars=bars), *JOB) for bars in (1, 2)],
    "too poor": lambda client: [told(order(client, key=key, quality="hifi"), *JOB) for key in "abc"],
    "above its cap, then below it, then again": lambda client: [
        told(order(client, cap=cap), *JOB) for cap in ("799", "800", "1")
    ],
    "no cap": lambda client: told(order(client, cap="many")),
    "unknown quote": lambda client: told(order(client, quote_id="quo_x")),
    "no key": lambda client: (
        client.post("/v1/loops", json={"prompt": "x"}, headers={"Accept": "audio/wav"}).status_code
    ),
    "bad key": lambda client: told(order(client, "k k")),
    "wrong API key": lambda client: told(client.get("/v1/balance", headers={"Authorization": "Bearer lm_x"})),
    "no such job": lambda client: told(client.get("/v1/loops/job_x")),
    "no such path": lambda client: told(client.get("/v1/kazoo")),
    "balance": lambda client: told(client.get("/v1/balance"), "available", "held", "posted"),
    "wav": lambda client: len(order(client, accept="audio/wav", bars=1).content),
    "chunk behind the end": lambda client: told(
        client.get(f"/v1/loops/{json.loads(order(client, bars=1).content)['id']}/chunks?from=9")
    ),
    "used quote": lambda client: used_quote(client),
    "cancelled after its end": lambda client: told(client.delete(f"/v1/loops/{finished(client)}"), "state"),
}


def used_quote(client: httpx.Client) -> list[Told]:
    quote = client.post("/v1/quotes", json={"prompt": "drums"}).json()["quote_id"]
    mismatch = told(order(client, "m", bars=7, quote_id=quote))
    return [mismatch, *(told(order(client, key, quote_id=quote), *JOB) for key in "ab")]


def finished(client: httpx.Client) -> str:
    order(client, accept="audio/wav", bars=1)
    return str(client.get("/v1/usage").json()["entries"][0]["job"])


@pytest.mark.parametrize("case", CASES)
def test_the_fake_answers_as_the_real_gateway(case: str, twins: list[httpx.Client]) -> None:
    fake, genuine = (CASES[case](client) for client in twins)

    assert fake == genuine
