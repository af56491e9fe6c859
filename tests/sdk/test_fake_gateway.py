"""The gateway that is shipped for users' tests: it meters, breaks and recovers as it says."""

from __future__ import annotations

import asyncio
import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import (
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    Loopmeter,
    LoopNotCompleted,
    NotFound,
    StreamInterrupted,
)
from loopmeter.testing import (
    Corrupt,
    Cut,
    Delay,
    End,
    FakeGateway,
    Fault,
    Lose,
    Refuse,
    Repeat,
    Unreachable,
    make_chunk,
    make_error,
    make_loop,
    make_quote,
)

UNBROKEN = make_loop("drums", bars=2)
SURVIVABLE: list[Fault] = [
    Unreachable(),
    Lose(),
    Refuse(503),
    Refuse(429, "rate_limited", {"Retry-After": "3"}),
    Delay(2.0),
    Cut(5),
    Cut(100_000, reset=True),
    Corrupt(90_000),
    End("running", 2),
]


@given(st.lists(st.sampled_from(SURVIVABLE), max_size=4))
def test_faults_in_any_order_end_in_the_same_bytes_and_one_bill(faults: list[Fault]) -> None:
    gateway = FakeGateway(tokens=1_000, faults=faults)

    loop = gateway.client().loops.create("drums", bars=2)

    assert loop.pcm == UNBROKEN.pcm
    assert [meter.tokens for meter in loop.meters] == [meter.tokens for meter in UNBROKEN.meters]
    assert gateway.balance().model_dump() == {"available": 200, "held": 0, "posted": 200}
    assert len(gateway.jobs) == 1


def test_the_async_client_hears_the_same(faults: tuple[Fault, ...] = (Refuse(503), Cut(70_000))) -> None:
    gateway = FakeGateway(faults=faults)

    async def scenario() -> bytes:
        async with gateway.async_client() as client:
            return (await client.loops.create("drums", bars=2)).pcm

    assert asyncio.run(scenario()) == UNBROKEN.pcm
    assert len(gateway.clock.sleeps) == 2


def test_behind_a_socket_it_says_and_breaks_the_same() -> None:
    gateway = FakeGateway(api_key="lm_fake", faults=[Cut(100_000, reset=True)])

    with gateway.serve() as url, Loopmeter(url, "lm_fake") as client:
        loop = client.loops.create("drums", bars=2)
        midi = loop.midi()

    assert (loop.pcm, midi) == (UNBROKEN.pcm, UNBROKEN.midi())
    assert [request.method for request in gateway.requests] == ["POST", "GET", "GET", "GET"]


def test_leaving_early_costs_what_came_and_frees_the_rest() -> None:
    gateway = FakeGateway(tokens=1_000)

    with gateway.client().loops.stream("drums", bars=2) as stream:
        next(stream), next(stream)

    (job,) = gateway.jobs
    assert (job.state, job.chunks_delivered) == ("cancelled", 2)
    assert job.tokens_charged == 800 * (22_528 + 32_768) // job.frames
    assert gateway.balance().available == 1_000 - job.tokens_charged


def test_a_job_that_breaks_is_charged_for_what_came() -> None:
    gateway = FakeGateway(tokens=1_000, faults=[End("failed", 1)])

    with pytest.raises(LoopNotCompleted, match="failed") as caught:
        gateway.client().loops.create("drums", bars=2)

    assert gateway.balance().posted == 1_000 - caught.value.tokens_charged
    assert gateway.balance().held == 0


def test_an_unplugged_gateway_is_unreachable_until_it_is_plugged_in_again() -> None:
    gateway = FakeGateway()
    client = gateway.client()

    with pytest.raises(StreamInterrupted) as caught, client.loops.stream("drums", bars=2) as stream:
        next(stream)
        gateway.reachable = False
        next(stream)
    with pytest.raises(ConnectionFailed):
        client.balance()
    gateway.reachable = True

    with client.loops.resume(caught.value.job_id, from_index=caught.value.next_index) as rest:
        assert [chunk.index for chunk in rest] == [1, 2, 3, 4, 5]


def test_it_refuses_what_the_real_one_refuses() -> None:
    gateway = FakeGateway(tokens=900, api_key="lm_right")
    client = gateway.client()
    quote = client.quote("drums")

    with pytest.raises(AuthenticationError):
        gateway.client("lm_wrong").balance()
    with pytest.raises(InvalidRequest, match="bars: expected a loop of at most 300 s"):
        client.quote("drums", tempo_bpm=40, bars=256)
    with pytest.raises(InvalidRequest, match="model"):
        client.quote("drums", model="kazoo")
    with pytest.raises(NotFound):
        client.loops.create("drums", quote_id="quo_99")
    with pytest.raises(Conflict):
        client.loops.create("bass", quote=quote)
    gateway.clock.advance(301)
    with pytest.raises(Conflict, match="expected a valid quote"):
        client.loops.create("drums", quote=quote)
    with pytest.raises(InsufficientTokens):
        client.loops.create("drums", quality="hifi")
    assert gateway.jobs == () and gateway.balance().available == 900


def test_usage_is_paged_newest_first_and_files_are_playable() -> None:
    gateway = FakeGateway()
    client = gateway.client()
    first, second = client.loops.create("drums", bars=1), client.loops.create("bass", bars=1, quality="hifi")

    page = client.usage(limit=1)
    rest = client.usage(limit=1, cursor=page.next)

    assert [entry.job for entry in (*page.entries, *rest.entries)] == [second.id, first.id]
    assert (page.tokens_charged, rest.next) == (800 + 1040, None)
    with wave.open(io.BytesIO(client.loops.audio(second.id))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (2, 3, 88_200)
    assert client.models()[0].name == "loopmeter" and client.price_book().base_tokens == 800


def test_a_repeated_body_is_never_taken_for_sound() -> None:
    gateway = FakeGateway(faults=[Repeat(90_000)])

    with gateway.client().loops.stream("drums", bars=2) as stream:
        heard = next(stream).pcm

    assert UNBROKEN.pcm.startswith(heard)


def test_builders_give_what_a_client_gives() -> None:
    assert make_quote("drums", bars=2).tokens == 800
    assert make_chunk(2, b"\0" * 12, frame_bytes=6, tokens=5).meter.model_dump(include={"frames", "tokens_total"}) == {
        "frames": 2,
        "tokens_total": 15,
    }
    assert make_error(429, "rate_limited", retry_after_s=2.0).retryable
    assert isinstance(make_error(402), InsufficientTokens)
