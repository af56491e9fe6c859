"""What an operator sees: figures, log lines, spans, and an orderly end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from loopmeter_engine.fake import FakeEngine

from .conftest import Client, Gate, House, until
from .level_prices import put_level_prices_in_force
from .live_client import listening, playing

pytestmark = pytest.mark.anyio


async def figures(client: Client) -> dict[str, float]:
    """Samples by name and labels."""
    text = (await client.http.get("/metrics", headers={"Authorization": ""})).text
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_answers_chunks_tokens_and_ends(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url):
        await client.ended((await client.order()).json()["id"])
        await client.order(prompt="")
        async with playing(url, house.key, credit=2) as live:
            await live.take(2)
            during = await figures(client)
            await live.send("stop")
            await live.until("ended")
        after = await figures(client)

    assert after["loopmeter_requests_total{POST}{/v1/loops}{200}"] == 1
    assert after["loopmeter_requests_total{POST}{/v1/loops}{422}"] == 1
    assert after["loopmeter_chunks_total{loop}"] == 12
    assert after["loopmeter_tokens_charged_total{loop}"] == 800
    assert after["loopmeter_chunks_total{live}"] == 2
    assert after["loopmeter_jobs_ended_total{loop}{completed}"] == 1
    assert after["loopmeter_flops_total"] > 0
    assert (during["loopmeter_live_sessions"], after["loopmeter_live_sessions"]) == (1, 0)


async def test_metrics_name_no_customer_and_no_prompt(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        await client.ended((await client.order(prompt="secret tune")).json()["id"])
        text = (await client.http.get("/metrics")).text
    assert "secret tune" not in text and "ada" not in text and house.key not in text and house.customer_id not in text


def log_lines(house: House) -> list[dict[str, object]]:
    """What a server process says on standard error while it makes one loop."""
    command = [
        sys.executable,
        "-c",
        "from loopmeter._cli import main; main()",
        "serve",
        "--engine",
        "fake",
        "--port",
        "0",
    ]
    command += ["--db", house.settings.db, "--data", str(house.settings.data)]
    command += ["--price-book", put_level_prices_in_force(house.settings.db)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        import httpx

        headers = {"Authorization": f"Bearer {house.key}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
            loop = {"prompt": "secret tune", "bars": 1}
            answer = http.post("/v1/loops", json=loop, headers={"Accept": "audio/wav"})
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        errors.seek(0)
        lines = errors.read().splitlines()
    assert house.key not in "".join(lines) and "secret tune" not in "".join(lines)
    ids = {"request": answer.headers["X-Request-Id"], "job": answer.headers["Loopmeter-Job-Id"]}
    return [json.loads(line) | {"ids": ids} for line in lines]


def test_log_lines_are_json_with_request_and_job(house: House) -> None:
    house.grant(800)
    (line,) = [line for line in log_lines(house) if line["event"] == "answered"]
    ids = line["ids"]
    assert isinstance(ids, dict)
    assert (line["request_id"], line["job_id"]) == (ids["request"], ids["job"])
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/loops", 200)
    assert line["customer_id"] == house.customer_id
    assert line["level"] == "info" and line["timestamp"]


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_spans_tell_request_lease_and_delivery_of_a_job(house: House, spans: InMemorySpanExporter) -> None:
    house.grant(800)
    async with house.open() as client:
        answer = await client.order("audio/wav")
    job_id = answer.headers["Loopmeter-Job-Id"]
    found = spans.get_finished_spans()
    named = [span.name for span in found if (span.attributes or {}).get("loopmeter.job_id") == job_id]
    assert named.count("deliver") == 12
    assert named.count("lease") >= 3
    assert any(span.name == "POST /v1/loops" for span in found)


async def test_a_stopping_gateway_takes_no_work_and_says_so(house: House, gate: Gate) -> None:
    house.grant(2400)
    async with house.open(gate.engine) as client:
        job_id = (await client.order()).json()["id"]
        await until(lambda: gate.asked == 1)
        client.gateway.say_goodbye()
        refused = await client.order(seed=1)
        ready = await client.http.get("/readyz")
        gate.allow(100)
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in (refused, ready)] == [(503, "2")] * 2
    async with house.open(FakeEngine()) as client:
        ended = await client.ended(job_id)
    assert (ended["state"], ended["tokens_charged"]) == ("completed", 800)
    assert house.audit().open_holds == 0


async def test_logs_of_side_by_side_requests_do_not_mix(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "loopmeter.requests")
    async with house.open() as client:
        answers = await asyncio.gather(*(client.http.get("/v1/balance") for _ in range(5)))
    lines = [record for record in caplog.records if record.message == "answered"]
    assert len(lines) == 5
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 5
