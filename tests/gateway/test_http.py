"""What outsiders see: forms, files, problems, keys."""

from __future__ import annotations

import gzip
import io
import json
import wave

import numpy as np
import pytest
import soundfile

from loopmeter import (
    Balance,
    ChunkDecoder,
    ChunkReceived,
    Job,
    ModelPage,
    PriceBook,
    Problem,
    Quote,
    StreamEnded,
    UsagePage,
)
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.guard import guard
from loopmeter_gateway import admin
from loopmeter_gateway.problems import PROBLEMS

from .conftest import LOOP, House

pytestmark = pytest.mark.anyio
JSON = {"Content-Type": "application/json"}


async def test_the_three_forms_carry_the_same_sound(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        wav = await client.order("audio/wav", quality="hifi")
        framed = await client.order("application/vnd.loopmeter.chunks", quality="hifi")
        job = await client.ended((await client.order("application/json", quality="hifi")).json()["id"])
        fetched = await client.http.get(f"/v1/loops/{job['id']}/audio")

    decoder = ChunkDecoder()
    decoder.receive(framed.content)
    decoder.receive_end()
    events = list(decoder.events())
    pcm = b"".join(event.pcm for event in events if isinstance(event, ChunkReceived))
    assert wav.content == fetched.content
    assert wav.content.endswith(pcm)
    assert int(wav.headers["content-length"]) == len(wav.content)
    assert isinstance(events[-1], StreamEnded)
    with wave.open(io.BytesIO(wav.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 3, 44100)
        assert file.getnframes() == job["frames"] == 352800
        assert file.readframes(352800) == pcm


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "audio/wav"),
        ("audio/*", "audio/wav"),
        ("application/json;q=0.9, application/vnd.loopmeter.chunks", "application/vnd.loopmeter.chunks"),
        ("application/json", "application/json"),
    ],
)
async def test_accept_chooses_the_form(house: House, accept: str, form: str) -> None:
    house.grant(800)
    async with house.open() as client:
        answer = await client.order(accept)

    assert answer.headers["content-type"] == form
    assert answer.headers["loopmeter-tokens-quoted"] == "800"
    assert answer.headers["loopmeter-job-id"].startswith("job_")
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("wanted", "status", "start", "stop"),
    [
        ("bytes=0-43", 206, 0, 44),
        ("bytes=40-50000", 206, 40, 50001),
        ("bytes=705600-", 206, 705600, 705644),
        ("bytes=-10", 206, 705634, 705644),
        ("bytes=0-99999999", 206, 0, 705644),
        ("lines=1-2", 200, 0, 705644),
        ("bytes=5-4,6-7", 200, 0, 705644),
    ],
)
async def test_ranges_of_the_file(house: House, wanted: str, status: int, start: int, stop: int) -> None:
    house.grant(800)
    async with house.open() as client:
        whole = await client.order("audio/wav")
        path = f"/v1/loops/{whole.headers['Loopmeter-Job-Id']}/audio"
        part = await client.http.get(path, headers={"Range": wanted})

    assert part.status_code == status
    assert part.content == whole.content[start:stop]
    assert part.headers.get("content-range") == (f"bytes {start}-{stop - 1}/705644" if status == 206 else None)


async def test_a_range_behind_the_end_is_refused(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        whole = await client.order("audio/wav")
        path = f"/v1/loops/{whole.headers['Loopmeter-Job-Id']}/audio"
        answer = await client.http.get(path, headers={"Range": "bytes=705644-"})

    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")


@pytest.mark.parametrize("quality", ["standard", "hifi"])
async def test_flac_is_the_same_sound_and_ogg_the_same_length(house: House, quality: str) -> None:
    house.grant(5000)
    async with house.open() as client:
        whole = await client.order("audio/wav", quality=quality)
        path = f"/v1/loops/{whole.headers['Loopmeter-Job-Id']}/audio"
        flac = await client.http.get(path, params={"format": "flac"})
        ogg = await client.http.get(path, params={"format": "ogg"})
        again = await client.http.get(path, params={"format": "ogg"}, headers={"Range": "bytes=100-199"})

    wav_samples = soundfile.read(io.BytesIO(whole.content), dtype="int32")[0]
    assert np.array_equal(soundfile.read(io.BytesIO(flac.content), dtype="int32")[0], wav_samples)
    assert len(soundfile.read(io.BytesIO(ogg.content))[0]) == len(wav_samples)
    assert again.content == ogg.content[100:200]


async def test_encoded_files_are_kept_within_their_limit(house: House) -> None:
    house.grant(5000)
    async with house.open(cache_bytes_max=1) as client:
        for seed in range(3):
            whole = await client.order("audio/wav", seed=seed)
            await client.http.get(f"/v1/loops/{whole.headers['Loopmeter-Job-Id']}/audio?format=ogg")

    assert len(list((house.settings.data / "encoded").iterdir())) == 1


async def test_a_cancelled_job_gives_the_sound_that_was_paid(house: House) -> None:
    house.grant(800)
    async with house.open(FakeEngine(fail_at_chunk=2)) as client:
        job = await client.ended((await client.order()).json()["id"])
        sound = await client.http.get(f"/v1/loops/{job['id']}/audio")
        replay = await client.http.get(f"/v1/loops/{job['id']}/chunks")

    with wave.open(io.BytesIO(sound.content)) as file:
        assert file.getnframes() == 22528 + 32768
    assert replay.status_code == 200


async def test_midi_and_score_summary_are_the_engines(house: House) -> None:
    house.grant(800)
    async with house.open() as client:
        job = await client.ended((await client.order()).json()["id"])
        midi = await client.http.get(f"/v1/loops/{job['id']}/midi")
        request = Job.model_validate(job).request
        sheet = client.gateway.engine.score(request)

    assert midi.headers["content-type"] == "audio/midi"
    assert (midi.content, job["score"]) == (sheet.midi, sheet.summary)


async def test_usage_lists_jobs_newest_first_in_pages(house: House) -> None:
    house.grant(5000)
    async with house.open() as client:
        made = [await client.ended((await client.order(seed=seed)).json()["id"]) for seed in range(3)]
        first = UsagePage.model_validate((await client.http.get("/v1/usage?limit=2")).json())
        second = UsagePage.model_validate((await client.http.get(f"/v1/usage?limit=2&cursor={first.next}")).json())

    ids = [job["id"] for job in reversed(made)]
    assert [entry.job for entry in first.entries + second.entries] == ids
    assert (first.tokens_charged, second.next) == (2400, None)
    assert first.entries[0].flops == FakeEngine().plan(Job.model_validate(made[0]).request).flops
    assert first.entries[0].frames_delivered == 352800


async def test_answers_are_the_shared_wire_types(house: House) -> None:
    async with house.open() as client:
        quote = (await client.http.post("/v1/quotes", json=LOOP)).json()
        models = ModelPage.model_validate((await client.http.get("/v1/models")).json())
        book = PriceBook.model_validate((await client.http.get("/v1/price-book")).json())
        balance = await client.balance()
        health = await client.http.get("/healthz")
        ready = await client.http.get("/readyz")
        schema = (await client.http.get("/schema/openapi.json")).json()

    assert Quote.model_validate(quote).frames == 352800
    assert Balance.model_validate(balance).available == 0
    assert [model.name for model in models.models] == ["loopmeter", "fake"]
    assert book == client.gateway.books.default
    assert (health.status_code, ready.status_code) == (200, 200)
    assert {"/v1/quotes", "/v1/loops", "/v1/loops/{job_id}", "/v1/balance"} <= schema["paths"].keys()


BAD_BODIES = {
    "unknown key": ({"key": "H"}, "key", "a key such as 'Am', 'F#' or 'Eb minor'", "'H'"),
    "bpm 0": ({"tempo_bpm": 0}, "tempo_bpm", "greater than or equal to 40", "0"),
    "bars 10,000": ({"bars": 10_000}, "bars", "less than or equal to 256", "10000"),
    "301 s": (
        {"tempo_bpm": 60, "bars": 75.25},
        "bars",
        "a valid integer, got a number with a fractional part",
        "75.25",
    ),
    "304 s": ({"tempo_bpm": 60, "bars": 76}, "bars", "at most 300 s", "304.0 s (76 bars of 4 beats at 60 bpm)"),
    "empty prompt": ({"prompt": ""}, "prompt", "at least 1 character", "''"),
    "blank prompt": ({"prompt": "  "}, "prompt", "text that is not blank", "'  '"),
    "unknown quality": ({"quality": "best"}, "quality", "'standard' or 'hifi'", "'best'"),
    "unknown field": ({"bpm": 92}, "bpm", "no such field", "bpm"),
    "unknown model": ({"model": "other"}, "model", "one of fake, loopmeter", "other"),
    "text for a number": ({"tempo_bpm": "fast"}, "tempo_bpm", "a valid number, unable to parse string", "'fast'"),
}


async def test_a_quote_predicts_first_sound_and_rate_once_the_engine_has_run(house: House) -> None:
    house.grant(800)
    async with house.open(guard(FakeEngine(), "fake", "loopmeter 1")) as client:
        before = Quote.model_validate((await client.http.post("/v1/quotes", json=LOOP)).json())
        await client.order("audio/wav")
        after = Quote.model_validate((await client.http.post("/v1/quotes", json=LOOP)).json())
    assert (before.first_sound_s, before.rate) == (None, None)
    assert after.rate == pytest.approx(40.0)  # What the fake's usage says of its device.
    assert after.first_sound_s is not None and 0.0 < after.first_sound_s < 0.1
    assert after.tokens == before.tokens


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/loops"])
@pytest.mark.parametrize(("fields", "field", "expected", "found"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_bad_input_is_named_and_costs_nothing(
    house: House, path: str, fields: dict[str, object], field: str, expected: str, found: str
) -> None:
    house.grant(5000)
    async with house.open() as client:
        answer = await client.http.post(path, json=LOOP | fields)
        balance = await client.balance()

    problem = Problem.model_validate(answer.json())
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.status, problem.code) == (422, 422, "invalid_request")
    (error,) = problem.errors
    assert (error.field, error.found.partition(";")[0]) == (field, found)
    assert expected in error.expected
    assert field in problem.detail
    assert problem.request_id == answer.headers["x-request-id"]
    assert balance == {"available": 5000, "held": 0, "posted": 5000}


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (json.dumps(LOOP), {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (json.dumps(LOOP), {}, 415, "unsupported_media_type"),
        ("{", JSON, 400, "malformed_json"),
        (b"\xff\xfe", JSON, 400, "malformed_json"),
        ("", JSON, 422, "invalid_request"),
        ("[1]", JSON, 422, "invalid_request"),
        ("null", JSON, 422, "invalid_request"),
        ("{}", JSON, 422, "invalid_request"),
        (json.dumps(LOOP | {"prompt": "x" * 8_000_000}), JSON, 413, "body_too_large"),
        (json.dumps(LOOP), JSON | {"Accept": "text/html"}, 406, "not_acceptable"),
        (json.dumps(LOOP), JSON | {"Idempotency-Key": "two words"}, 422, "invalid_request"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_not_an_order_is_refused(
    house: House, content: str | bytes, headers: dict[str, str], status: int, code: str
) -> None:
    house.grant(5000)
    async with house.open() as client:
        answer = await client.http.post("/v1/loops", content=content, headers=headers)
        balance = await client.balance()

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["type"].endswith(code)
    assert balance["posted"] == balance["available"] == 5000


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/v1/loops", 405, "method_not_allowed"),
        ("GET", "/v1/loops/job_none", 404, "not_found"),
        ("DELETE", "/v1/loops/job_none", 404, "not_found"),
        ("GET", "/v1/loops/job_none/chunks", 404, "not_found"),
        ("GET", "/v1/loops/job_none/audio", 404, "not_found"),
        ("GET", "/v1/loops/job_none/midi", 404, "not_found"),
        ("GET", "/v1/loops/job_none/chunks?from=-1", 422, "invalid_request"),
        ("GET", "/v1/loops/job_none/audio?format=mp3", 422, "invalid_request"),
        ("GET", "/v1/usage?limit=0", 422, "invalid_request"),
        ("GET", "/v1/usage?cursor=x", 422, "invalid_request"),
    ],
)
async def test_bad_addresses_are_problems_too(house: House, method: str, path: str, status: int, code: str) -> None:
    async with house.open() as client:
        answer = await client.http.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("header", [None, "Bearer", "Basic abc", "Bearer lm_0_0", "Bearer nonsense", "Bearer lm_ü"])
async def test_without_a_valid_key_nothing_is_told(house: House, header: str | None) -> None:
    async with house.open() as client:
        client.http.headers.pop("Authorization")
        headers = {} if header is None else {"Authorization": header.encode()}
        answer = await client.http.get("/v1/balance", headers=headers)  # type: ignore[arg-type]

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_with_one_wrong_character_is_refused(house: House) -> None:
    wrong = house.key[:-1] + ("A" if house.key[-1] != "A" else "B")
    async with house.open() as client:
        answer = await client.http.get("/v1/balance", headers={"Authorization": f"Bearer {wrong}"})

    assert answer.status_code == 401


async def test_customers_do_not_see_each_other(house: House) -> None:
    house.grant(800)
    stranger = {"Authorization": f"Bearer {house.new_customer('eve')}"}
    async with house.open() as client:
        job = await client.ended((await client.order()).json()["id"])
        paths = [f"/v1/loops/{job['id']}{rest}" for rest in ("", "/chunks", "/audio", "/midi")]
        statuses = [(await client.http.get(path, headers=stranger)).status_code for path in paths]
        cancelled = await client.http.delete(paths[0], headers=stranger)
        usage = (await client.http.get("/v1/usage", headers=stranger)).json()

    assert [*statuses, cancelled.status_code] == [404] * 5
    assert usage["entries"] == []


async def test_an_admin_key_is_not_a_customer(house: House) -> None:
    key = admin.create_admin_key(house.settings.db)["key"]
    async with house.open() as client:
        answer = await client.http.get("/v1/balance", headers={"Authorization": f"Bearer {key}"})

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_keys_are_not_kept_in_the_database(house: House) -> None:
    files = [path.read_bytes() for path in house.settings.data.parent.iterdir() if path.is_file()]

    assert len(house.key.split("_", 2)[2]) >= 43  # 256 bits
    assert not any(house.key.split("_", 2)[2].encode() in content for content in files)


def test_every_problem_has_a_client_error_or_says_who_broke() -> None:
    assert all(400 <= kind.status < 600 and kind.title for kind in PROBLEMS.values())


async def test_a_packed_body_is_refused_unopened(house: House) -> None:
    bomb = gzip.compress(b'{"prompt":"' + b"x" * 5_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with house.open() as client:
        answer = await client.http.post("/v1/quotes", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_wrong_method_is_told_the_right_ones(house: House) -> None:
    async with house.open() as client:
        wrong = await client.http.put("/v1/loops/job_x")
        options = await client.http.options("/v1/loops/job_x")
    assert wrong.status_code == 405
    assert wrong.headers["Allow"] == options.headers["Allow"] == "DELETE, GET, OPTIONS"
