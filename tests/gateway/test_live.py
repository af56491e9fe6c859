"""Live sessions over real sockets: what is heard, what is charged, what survives."""

from __future__ import annotations

import asyncio
import json

import pytest

from loopmeter import ChunkReceived, LivePrompt, LiveRequest, LiveSettings
from loopmeter_engine.contract import LiveChange
from loopmeter_engine.fake import CHUNK_FRAMES, SAMPLE_RATE_HZ, FakeEngine
from loopmeter_gateway.live.terms import LiveTerms

from .conftest import Gate, House, until
from .live_client import PROMPTS, Peer, listening, peer, playing

pytestmark = pytest.mark.anyio
REQUEST = LiveRequest(prompts=(LivePrompt(text="dusty drums"),), tempo_bpm=120)


def sound(chunks: int, *changes: LiveChange) -> bytes:
    """What an undisturbed session plays."""
    state, made = None, []
    for index in range(chunks):
        (chunk,) = FakeEngine().lease_live(REQUEST, changes, index, 1, state)
        made.append(chunk.pcm)
        state = chunk.state_after
    return b"".join(made)


def heard(chunks: list[ChunkReceived]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def due(chunks: int) -> int:
    """The article's price, off peak: 800 tokens over the first 60 s, then 10 per second."""
    frames, minute = chunks * CHUNK_FRAMES, 60 * SAMPLE_RATE_HZ
    return 800 * frames // minute if frames <= minute else 800 + 10 * (frames - minute) // SAMPLE_RATE_HZ


async def test_a_session_plays_the_engines_sound_until_it_is_stopped(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, credit=5) as live:
        chunks = await live.take(5)
        await live.send("stop")
        ended = await live.until("ended")
        code = await live.closed()
        job = await client.job(live.started["job"])
        balance = await client.balance()

    assert heard(chunks) == sound(5)
    assert [chunk.meter.tokens_total for chunk in chunks] == [due(n) for n in range(1, 6)]
    assert (ended["reason"], ended["chunks"], ended["tokens_charged"], code) == ("stopped", 5, due(5), 1000)
    assert (job["state"], job["chunks"], job["tokens_charged"]) == ("completed", 5, due(5))
    assert balance == {"available": 5000 - due(5), "held": 0, "posted": 5000 - due(5)}
    assert (house.audit().faults, house.audit().open_holds) == ((), 0)


async def test_chunks_never_exceed_credit_nor_the_engine_one_chunk_more(house: House, gate: Gate) -> None:
    house.grant(5000)
    gate.allow(100)
    async with listening(house, gate.engine) as (client, url), playing(url, house.key, credit=2) as live:
        await live.take(2)
        session = client.gateway.live_jobs[live.started["job"]]
        await until(lambda: bool(session.ahead))
        await live.send("ping")
        await live.until("heartbeat")
        assert (len(live.chunks), gate.asked, session.record.chunks_delivered) == (2, 3, 2)
        await live.send("credit", chunks=1)
        assert [chunk.index for chunk in await live.take(1)] == [2]


async def test_a_change_is_announced_before_the_chunk_in_which_it_takes_effect(house: House, gate: Gate) -> None:
    house.grant(5000)
    async with listening(house, gate.engine) as (_, url), playing(url, house.key, credit=7) as live:
        gate.allow(1)
        await live.take(1)
        await until(lambda: gate.asked == 2)  # Chunk 1 is in hand, so that the change waits for chunk 2.
        await live.send("set", ref="knob", tempo_bpm=60, density=0.9)
        await live.send("ping")
        await live.until("heartbeat")
        gate.allow(6)
        applied = await live.until("applied")
        before = len(live.chunks)
        await live.take(7 - before)
        gate.allow(1)  # for the one that is made ahead

    assert applied == {"type": "applied", "ref": "knob", "chunk": 2, "frame": 88_200, "bar": 1}
    assert before == 2
    assert heard(live.chunks) == sound(7, LiveChange(2, LiveSettings(tempo_bpm=60, density=0.9)))


async def test_changes_between_two_chunks_are_one_change_with_all_references(house: House, gate: Gate) -> None:
    house.grant(5000)
    async with listening(house, gate.engine) as (_, url), playing(url, house.key, credit=20) as live:
        await until(lambda: gate.asked == 1)
        for number in range(3):
            await live.send("set", ref=f"turn-{number}", density=number / 10)
        await live.send("set", ref="turn-2", density=1.0)  # Said before, so ignored.
        await live.send("ping")
        await live.until("heartbeat")
        gate.allow(5)
        chunks = await live.take(4)

    assert [message["ref"] for message in live.seen if message["type"] == "applied"] == ["turn-0", "turn-1", "turn-2"]
    assert heard(chunks) == sound(4, LiveChange(1, LiveSettings(density=0.2)))


async def test_a_pause_makes_and_charges_nothing(house: House, gate: Gate) -> None:
    house.grant(5000)
    gate.allow(3)
    async with listening(house, gate.engine) as (client, url), playing(url, house.key, credit=20) as live:
        await live.take(2)
        await live.send("pause")
        paused = await live.until("paused")
        asked, charged = gate.asked, (await client.balance())["posted"]
        gate.allow(50)
        house.clock.advance(600)
        await client.gateway.sweep()
        await live.send("ping")
        beat = await live.until("heartbeat")
        assert (gate.asked, (await client.balance())["posted"]) == (max(asked, 3), charged)
        await live.send("play")
        resumed = await live.until("resumed")
        await live.take(2)

    assert beat["tokens_charged"] == due(paused["chunk"])
    assert paused["chunk"] == resumed["chunk"]
    assert heard(live.chunks) == sound(len(live.chunks))


async def test_a_session_that_is_paused_for_too_long_ends(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, credit=1) as live:
        await live.send("pause")
        await live.until("paused")
        house.clock.advance(1801)
        await client.gateway.sweep()
        assert (await live.until("ended"))["reason"] == "idle"
    assert house.audit().open_holds == 0


async def take_all(live: Peer) -> dict[str, object]:
    """Everything until the end."""
    while True:
        message = await live.receive()
        if isinstance(message, ChunkReceived):
            await live.send("credit", chunks=1)
        elif message["type"] == "ended":
            return message


async def test_a_session_ends_before_it_passes_its_budget_and_warns_before(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (_, url), playing(url, house.key, max_tokens=900, credit=8) as live:
        ended = await take_all(live)
    (warning,) = [message for message in live.seen if message["type"] == "warning"]

    assert ended["reason"] == "budget"
    chunks = len(live.chunks)
    assert live.chunks[-1].meter.tokens_total == ended["tokens_charged"] == due(chunks) <= 900 < due(chunks + 1)
    assert warning["reason"] == "budget"
    assert warning["tokens_charged"] + warning["tokens_left"] == 900
    assert 14 <= warning["seconds_left"] <= 15
    assert house.audit().open_holds == 0


async def test_a_session_lives_as_long_as_the_balance_and_takes_the_last_token(house: House) -> None:
    house.grant(1500)
    async with listening(house) as (client, url), playing(url, house.key, credit=8) as live:
        ended = await take_all(live)
        balance = await client.balance()

    assert ended["reason"] == "no_tokens"
    assert [message["reason"] for message in live.seen if message["type"] == "warning"] == ["no_tokens"]
    assert due(len(live.chunks)) <= 1500 < due(len(live.chunks) + 1)
    assert balance["available"] == 1500 - due(len(live.chunks)) and balance["held"] == 0
    assert house.audit().faults == ()


async def test_a_grant_in_time_lifts_the_warning(house: House, gate: Gate) -> None:
    house.grant(850)
    gate.allow(86)
    async with listening(house, gate.engine) as (_, url), playing(url, house.key, credit=64) as live:
        while not any(message["type"] == "warning" for message in live.seen):
            await live.receive()
            await live.send("credit", chunks=1)
        await asyncio.to_thread(house.grant, 5000)
        await live.take(85 - len(live.chunks))
        await live.send("stop")
        assert (await live.until("ended"))["reason"] == "stopped"
    assert len([message for message in live.seen if message["type"] == "warning"]) == 1


async def test_a_hold_covers_one_minute_and_is_renewed(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, credit=1) as live:
        await live.take(1)
        first = await client.job(live.started["job"])
        for _ in range(64):
            await live.send("credit", chunks=1)
            await live.take(1)
        later = await client.job(live.started["job"])

    assert (first["tokens_quoted"], later["tokens_quoted"]) == (800, 1400)


async def test_too_small_a_balance_starts_nothing(house: House) -> None:
    house.grant(799)
    async with listening(house) as (client, url), peer(url, house.key) as live:
        await live.send("start", session="s-1", prompts=PROMPTS)
        error = await live.until("error")
        assert await live.closed() == 4402
        assert (await client.balance())["held"] == 0
    assert error["problem"]["code"] == "insufficient_tokens"


async def test_a_small_budget_needs_no_more_than_itself(house: House) -> None:
    house.grant(100)
    async with listening(house) as (_, url), playing(url, house.key, max_tokens=100, credit=8) as live:
        assert (await take_all(live))["reason"] == "budget"
    assert due(len(live.chunks)) <= 100 < due(len(live.chunks) + 1)


async def test_a_dropped_session_is_taken_up_free_and_goes_on_where_it_was(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url):
        async with playing(url, house.key, credit=6) as live:
            await live.send("set", ref="knob", density=0.1)
            await live.take(6)
            live.cut()
        session = client.gateway.live_jobs[live.started["job"]]
        await until(lambda: session.parked_since is not None)
        house.clock.advance(29)
        await client.gateway.sweep()
        async with peer(url, house.key) as again:
            await again.send("resume", session="s-1", from_chunk=4, credit=6)
            started = await again.until("started")
            chunks = await again.take(6)

    assert started["from_chunk"] == 4 and started["known_refs"] == ["knob"]
    assert [chunk.index for chunk in chunks] == [4, 5, 6, 7, 8, 9]
    assert [chunk.meter.tokens_total for chunk in chunks] == [due(n) for n in range(5, 11)]
    (change,) = [entry.change for entry in session.log]  # type: ignore[attr-defined]
    assert heard(live.chunks[:4]) + heard(chunks) == sound(10, change)


async def test_a_session_that_nobody_takes_up_is_lost_and_can_still_be_fetched(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url):
        async with playing(url, house.key, credit=3) as live:
            await live.take(3)
            live.cut()
        session = client.gateway.live_jobs[live.started["job"]]
        await until(lambda: session.parked_since is not None)
        house.clock.advance(30)
        await client.gateway.sweep()
        audio = await client.http.get(f"/v1/loops/{live.started['job']}/audio")
        usage = (await client.http.get("/v1/usage")).json()["entries"]
        async with peer(url, house.key) as late:
            await late.send("resume", session="s-1", from_chunk=1, credit=5)
            ended = await late.until("ended")

    assert audio.content[44:] == sound(3)
    assert [(entry["job"], entry["tokens_charged"]) for entry in usage] == [(live.started["job"], due(3))]
    assert (ended["reason"], [chunk.index for chunk in late.chunks]) == ("lost", [1, 2])


async def test_a_restarted_gateway_goes_on_with_the_same_bytes(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, credit=5) as live:
        await live.send("set", ref="knob", tempo_bpm=90)
        await live.take(5)
        log = [entry.change for entry in client.gateway.live_jobs[live.started["job"]].log]  # type: ignore[attr-defined]
        client.gateway.say_goodbye()
        assert await live.closed() == 1012
    async with listening(house) as (_, url), peer(url, house.key) as again:
        await again.send("resume", session="s-1", from_chunk=5, credit=5)
        assert (await again.until("started"))["known_refs"] == ["knob"]
        chunks = await again.take(5)

    assert heard(live.chunks) + heard(chunks) == sound(10, *log)
    assert house.audit().faults == ()


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
async def test_a_session_goes_on_at_another_gateway_with_the_same_bytes(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (first, url), listening(house) as (_, other):
        async with playing(url, house.key, credit=5) as live:
            await live.send("set", ref="knob", tempo_bpm=90)
            await live.take(5)
            job_id = str(live.started["job"])
            log = [entry.change for entry in first.gateway.live_jobs[job_id].log]  # type: ignore[attr-defined]
        async with peer(other, house.key) as again:
            await again.send("resume", session="s-1", from_chunk=5, credit=5)
            assert (await again.until("started"))["known_refs"] == ["knob"]
            chunks = await again.take(5)
        house.clock.advance(first.gateway.settings.grace_s + 1)
        await first.gateway.sweep()  # Where it began, nobody plays it any more; it has only moved.
        forgotten = job_id not in first.gateway.live_jobs

    assert heard(live.chunks) + heard(chunks) == sound(10, *log)
    assert forgotten
    assert house.audit().faults == ()


async def test_the_same_start_joins_the_session_and_takes_it_over(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (_, url), playing(url, house.key, credit=2) as first:
        await first.take(2)
        async with playing(url, house.key, credit=2) as second:
            assert await first.closed() == 4409
            chunks = await second.take(2)
    assert second.started["job"] == first.started["job"]
    assert [chunk.index for chunk in chunks] == [2, 3]


async def test_another_start_under_the_same_key_is_refused(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (_, url), playing(url, house.key), peer(url, house.key) as other:
        await other.send("start", session="s-1", prompts=PROMPTS, tempo_bpm=99)
        assert (await other.until("error"))["problem"]["code"] == "idempotency_key_reused"
        assert await other.closed() == 4422


async def test_deleting_the_job_ends_the_session(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (client, url), playing(url, house.key, credit=2) as live:
        await live.take(2)
        running = await client.http.get(f"/v1/loops/{live.started['job']}/chunks")
        await client.http.delete(f"/v1/loops/{live.started['job']}")
        ended = await live.until("ended")
    assert running.json()["code"] == "not_finished"
    assert ended["chunks"] == 2


async def test_an_engine_that_breaks_ends_the_session_with_its_problem(house: House) -> None:
    house.grant(5000)
    async with listening(house, FakeEngine(fail_at_chunk=3)) as (_, url), playing(url, house.key, credit=9) as live:
        ended = await live.until("ended")
    assert (ended["reason"], ended["problem"]["code"], ended["chunks"]) == ("failed", "engine_failed", 3)
    assert house.audit().open_holds == 0


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        ("{", "invalid_request", 4422),
        ('{"type":"play"}', "invalid_request", 4422),
        ('{"type":"start","session":"s","prompts":[{"text":"x"}],"model":"other"}', "invalid_request", 4422),
        ('{"type":"resume","session":"nobody","from_chunk":0}', "not_found", 4404),
    ],
)
async def test_a_wrong_first_message_is_answered_and_closed(house: House, message: str, code: str, close: int) -> None:
    async with listening(house) as (_, url), peer(url, house.key) as live:
        await live._socket.send(message)
        assert (await live.until("error"))["problem"]["code"] == code
        assert await live.closed() == close


async def test_wrong_messages_within_a_session_change_nothing(house: House) -> None:
    house.grant(5000)
    async with listening(house) as (_, url), playing(url, house.key, credit=0) as live:
        for text in ('{"type":"set","ref":"r","density":7}', "[1]", json.dumps({"type": "resume", "session": "x"})):
            await live._socket.send(text)
            assert (await live.until("error"))["problem"]["code"] == "invalid_request"
        await live.send("credit", chunks=2)
        assert heard(await live.take(2)) == sound(2)


async def test_strangers_hear_nothing(house: House) -> None:
    house.grant(5000)
    other = house.new_customer("eve", 5000)
    async with listening(house) as (_, url), playing(url, house.key):
        async with peer(url, other) as eve:
            await eve.send("resume", session="s-1", from_chunk=0)
            assert await eve.closed() == 4404
        async with peer(url, "lm_nobody_x") as nobody:
            assert (await nobody.until("error"))["problem"]["code"] == "unauthenticated"
            assert await nobody.closed() == 4401


async def test_eight_sessions_at_once_each_hear_their_own(house: House) -> None:
    house.grant(20_000)

    async def play(number: int, url: str) -> bytes:
        async with playing(url, house.key, session=f"s-{number}", seed=number, credit=4) as live:
            return heard(await live.take(4))

    async with listening(house) as (_, url):
        sounds = await asyncio.gather(*(play(number, url) for number in range(8)))
    assert sounds[0] == sound(4)
    assert len(set(sounds)) == 8


def test_terms_accrue_as_the_article_says() -> None:
    terms = LiveTerms(
        first_minute_tokens=800,
        minute_tokens=600,
        max_tokens=None,
        sample_rate_hz=SAMPLE_RATE_HZ,
        channels=1,
        bits=16,
        chunk_frames=CHUNK_FRAMES,
    )
    assert [terms.due(seconds * SAMPLE_RATE_HZ) for seconds in (0, 30, 60, 61, 120, 3600)] == [
        0, 400, 800, 810, 1400, 36_200,
    ]  # fmt: skip
