"""Where sound is kept: files and a real S3 server, under the same tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.jobs.chunk_store import ChunkGone, ChunkStore, FileChunkStore, open_chunk_store

from .conftest import House
from .test_delivery import SOUND, due, read, stream

pytestmark = pytest.mark.anyio
BUCKET = "sounds"


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """A real S3 server on loopback, with one bucket."""
    import boto3  # Here, because both take a second to load.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield f"s3://{BUCKET}/a/b?endpoint={endpoint}"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


@pytest.fixture(params=["files", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "sounds") if request.param == "files" else str(request.getfixturevalue("s3_address"))


@pytest.fixture
def kept(address: str, tmp_path: Path) -> ChunkStore:
    return open_chunk_store(address, tmp_path)


def test_what_was_put_can_be_read_in_any_order(kept: ChunkStore) -> None:
    for index in (0, 1, 2):
        kept.put("job_1", index, 4 * index, bytes([index]) * 4)
    kept.put("job_1", 1, 4, b"\1\1\1\1")  # Once more, as after a crash.
    assert [kept.get("job_1", index, 4 * index, 4) for index in (2, 0, 1)] == [bytes([n]) * 4 for n in (2, 0, 1)]


def test_what_was_never_put_is_gone(kept: ChunkStore) -> None:
    kept.put("job_2", 0, 0, b"12")
    with pytest.raises(ChunkGone):
        kept.get("job_2", 1, 2, 2)
    with pytest.raises(ChunkGone):
        kept.get("job_3", 0, 0, 2)


def test_old_sound_is_forgotten_and_new_sound_stays(kept: ChunkStore) -> None:
    kept.put("job_4", 0, 0, b"12")
    assert kept.forget(datetime.now(UTC) - timedelta(days=1)) == 0
    assert kept.get("job_4", 0, 0, 2) == b"12"
    assert kept.forget(datetime.now(UTC) + timedelta(minutes=1)) >= 1
    with pytest.raises(ChunkGone):
        kept.get("job_4", 0, 0, 2)


async def test_a_gateway_delivers_and_delivers_again_from_its_store(house: House, address: str) -> None:
    house.grant(800)
    async with house.open(chunks=address) as client:
        live = await stream(client)
        first = await read(client, live, 0, 12)
        again = await read(client, live, 0, 12)
        audio = await client.http.get(f"/v1/loops/{live.record.id}/audio")
        part = await client.http.get(f"/v1/loops/{live.record.id}/audio", headers={"Range": "bytes=100000-100099"})
        flac = await client.http.get(f"/v1/loops/{live.record.id}/audio?format=flac")

    assert first == again == SOUND == audio.content[44:]
    assert (part.status_code, part.content) == (206, audio.content[100_000:100_100])
    assert flac.content.startswith(b"fLaC")


async def test_a_store_that_fails_charges_nothing_and_the_stream_goes_on_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.grant(800)
    full = {"disk": True}

    class Disk(FileChunkStore):
        def put(self, *arguments: Any) -> None:
            if full["disk"] and arguments[1] == 2:
                raise OSError(28, "No space left on device")
            super().put(*arguments)

    async with house.open() as client:
        client.gateway.chunks._store = Disk(house.settings.data)
        live = await stream(client)
        with pytest.raises(OSError, match="No space left"):
            await read(client, live, 0, 12)
        charged = live.record.tokens_charged
        full["disk"] = False
        rest = await read(client, live, 2, 10)

    assert charged == due(2)
    assert rest == SOUND[sum(FakeEngine().plan(live.record.offer.request).chunk_frames[:2]) * 2 :]
    assert house.audit().faults == ()


@pytest.mark.parametrize("kill_after", [1, 2, 3, 4, 5, 7, 11])
async def test_a_job_goes_on_from_a_state_that_lies_before_its_last_chunk(house: House, kill_after: int) -> None:
    house.grant(800)
    async with house.open() as client:
        live = await stream(client)
        before = await read(client, live, 0, kill_after)
    async with house.open() as client:
        taken_up = await client.gateway.live(live.record.id, client.customer_id)
        after = await read(client, taken_up, kill_after, 12 - kill_after)

    assert before + after == SOUND
    assert taken_up.record.tokens_charged == 800
    assert house.audit().faults == ()


async def test_sound_that_is_too_old_is_refused_before_the_answer_begins(house: House) -> None:
    house.grant(800)
    async with house.open(chunk_days=2) as client:
        job = await client.ended((await client.order()).json()["id"])
        house.clock.advance(2 * 86_400 + 1)
        answers = [await client.http.get(f"/v1/loops/{job['id']}/{what}") for what in ("audio", "chunks")]
        midi = await client.http.get(f"/v1/loops/{job['id']}/midi")

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(410, "chunk_expired")] * 2
    assert midi.status_code == 200


@pytest.mark.parametrize("address", ["ftp://x/y", "s3://", "s3://bucket/x?colour=red"])
def test_other_addresses_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"):
        open_chunk_store(address, tmp_path)
