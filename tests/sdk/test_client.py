"""The clients against a scripted gateway: what they send, what they give back, and what they never do twice."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.scripted import (
    MIDI,
    PCM,
    STREAM_BYTES,
    TOKENS,
    WHOLE,
    Corrupt,
    Cut,
    End,
    Fault,
    Refuse,
    ScriptedGateway,
    Unreachable,
    async_client_of,
    client_of,
)
from tests.sdk.twins import async_modules, blocking, twin_of

import loopmeter
from loopmeter import (
    AnswerUnreadable,
    BudgetExceeded,
    ChunkReceived,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    Loopmeter,
    LoopNotCompleted,
    LoopRequest,
    NotFound,
    RateLimited,
    StreamInterrupted,
    testing,
)


@pytest.mark.parametrize("module", async_modules(), ids=lambda module: module.stem)
def test_the_blocking_client_is_the_async_one_with_words_exchanged(module: Path) -> None:
    assert twin_of(module).read_text() == blocking(module)


def test_create_gives_the_whole_loop_with_its_bill_and_files(tmp_path: Path) -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    loop = client.loops.create("drums", tempo_bpm=92, bars=4)
    loop.save(tmp_path / "loop.wav")
    loop.save_midi(tmp_path / "loop.mid")

    assert loop.pcm == WHOLE and loop.tokens_charged == TOKENS and loop.id == "job_1"
    assert [meter.tokens_total for meter in loop.meters] == [266, 666, 800]
    with wave.open(io.BytesIO((tmp_path / "loop.wav").read_bytes())) as file:
        assert file.readframes(99) == WHOLE
    assert (tmp_path / "loop.mid").read_bytes() == loop.midi() == MIDI


def test_the_order_carries_the_request_its_quote_and_the_key_of_the_caller() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    quote = client.quote("drums", bars=4, layers=["drums"])
    client.loops.create("drums", bars=4, layers=["drums"], quote=quote, idempotency_key="mine")

    (order,) = gateway.calls("POST", "/v1/loops")
    assert json.loads(order.content) == {
        **json.loads(gateway.calls("POST", "/v1/quotes")[0].content),
        "quote_id": "quote_1",
    }
    assert order.headers["Idempotency-Key"] == "mine"
    assert order.headers["Accept"] == "application/vnd.loopmeter.chunks"
    assert order.headers["Authorization"] == "Bearer lm_test"


def test_a_loop_request_is_taken_in_place_of_a_prompt_and_keywords_replace_its_fields() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    client.quote(LoopRequest(prompt="drums", bars=4, seed=7), bars=8)

    body = json.loads(gateway.calls("POST", "/v1/quotes")[0].content)
    assert (body["prompt"], body["bars"], body["seed"]) == ("drums", 8, 7)


FAULTS: list[object] = [
    pytest.param([Unreachable()], id="unreachable"),
    pytest.param([Refuse(503), Refuse(500)], id="5xx"),
    pytest.param([Refuse(429, "rate_limited", {"Retry-After": "3"})], id="429"),
    pytest.param([Refuse(409, "request_in_progress")], id="409 in progress"),
    pytest.param([Cut(5)], id="cut in the preamble"),
    pytest.param([Cut(STREAM_BYTES - 1, reset=True)], id="reset at the last byte"),
    pytest.param([Corrupt(STREAM_BYTES // 2)], id="damaged byte"),
    pytest.param([Cut(STREAM_BYTES // 2), Unreachable(), Refuse(503), Cut(9)], id="gateway restart"),
    pytest.param([End("running", 1), End("queued", 2)], id="gateway shuts down politely"),
]


@pytest.mark.parametrize("faults", FAULTS)
def test_every_fault_ends_in_the_same_bytes_one_job_and_one_key(faults: list[Fault]) -> None:
    gateway = ScriptedGateway(faults)
    client, clock = client_of(gateway)

    loop = client.loops.create("drums")

    assert loop.pcm == WHOLE
    assert gateway.job_keys == [loop.idempotency_key]
    assert len(clock.sleeps) == len(faults)
    assert gateway.calls("DELETE", "/v1/loops/job_1") == []


@pytest.mark.parametrize("faults", FAULTS)
def test_the_async_client_does_the_same(faults: list[Fault]) -> None:
    gateway = ScriptedGateway(faults)

    async def scenario() -> bytes:
        client, _ = async_client_of(gateway)
        async with client:
            return (await client.loops.create("drums")).pcm

    assert asyncio.run(scenario()) == WHOLE
    assert len(gateway.job_keys) == 1


@given(st.lists(st.integers(0, STREAM_BYTES - 1), max_size=4), st.booleans())
def test_a_stream_cut_anywhere_as_often_as_retries_allow_is_the_unbroken_stream(cuts: list[int], reset: bool) -> None:
    client, _ = client_of(ScriptedGateway([Cut(size, reset) for size in cuts]))

    with client.loops.stream("drums") as stream:
        chunks = [(chunk.index, chunk.pcm) for chunk in stream]

    assert chunks == list(enumerate(PCM))


def test_a_broken_stream_asks_for_the_first_chunk_that_is_missing() -> None:
    gateway = ScriptedGateway([End("running", 2)])
    client, _ = client_of(gateway)

    client.loops.create("drums")

    assert [r.url.params["from"] for r in gateway.calls("GET", "/v1/loops/job_1/chunks")] == ["2"]


def test_retry_after_is_obeyed_to_the_second() -> None:
    client, clock = client_of(ScriptedGateway([Refuse(429, "rate_limited", {"Retry-After": "7"})]))

    client.balance()

    assert clock.sleeps == [7.0]


def test_a_retry_after_beyond_patience_is_given_to_the_caller_at_once() -> None:
    client, clock = client_of(ScriptedGateway([Refuse(429, "rate_limited", {"Retry-After": "3600"})]))

    with pytest.raises(RateLimited) as caught:
        client.loops.create("drums")

    assert caught.value.retry_after_s == 3600 and clock.sleeps == []


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        pytest.param(Refuse(402, "insufficient_tokens"), InsufficientTokens, id="402"),
        pytest.param(Refuse(422, "invalid_request"), InvalidRequest, id="422"),
        pytest.param(Refuse(404, "quote_unknown"), NotFound, id="404"),
        pytest.param(Refuse(409, "quote_used"), loopmeter.Conflict, id="409"),
        pytest.param(Refuse(410, "quote_expired"), loopmeter.Conflict, id="410"),
        pytest.param(Refuse(422, "idempotency_key_reused"), loopmeter.Conflict, id="key reused"),
        pytest.param(Refuse(401, "unauthenticated"), loopmeter.AuthenticationError, id="401"),
    ],
)
def test_a_refusal_is_never_sent_again(refusal: Refuse, error: type[loopmeter.APIError]) -> None:
    gateway = ScriptedGateway([refusal])
    client, clock = client_of(gateway)

    with pytest.raises(error) as caught:
        client.loops.create("drums", idempotency_key="mine")

    assert len(gateway.requests) == 1 and clock.sleeps == []
    assert (caught.value.status, caught.value.code) == (refusal.status, refusal.code)
    assert (caught.value.request_id, caught.value.idempotency_key) == ("req_1", "mine")


@pytest.mark.parametrize(
    ("call", "count"),
    [
        pytest.param(lambda client: client.balance(), 5, id="plain call"),
        pytest.param(lambda client: client.loops.create("drums"), 5, id="order"),
    ],
)
def test_an_unreachable_gateway_is_named_with_what_to_do(call: Callable[[Loopmeter], object], count: int) -> None:
    gateway = ScriptedGateway([Unreachable()] * 99)
    client, clock = client_of(gateway)

    with pytest.raises(ConnectionFailed, match=r"no answer from http://gateway\.test .*'loopmeter serve'"):
        call(client)

    assert len(gateway.requests) == count and sum(clock.sleeps) <= 30


def test_a_stream_that_stays_broken_says_how_to_take_it_up_again() -> None:
    gateway = ScriptedGateway([End("running", 2), *[Unreachable()] * 99])
    client, clock = client_of(gateway, patience_s=10)
    chunks: list[ChunkReceived] = []

    with pytest.raises(StreamInterrupted) as caught, client.loops.stream("drums") as stream:
        chunks.extend(stream)
    gateway.faults.clear()
    with client.loops.resume(caught.value.job_id, from_index=caught.value.next_index) as stream:
        rest = list(stream)

    assert (caught.value.job_id, caught.value.next_index) == ("job_1", 2)
    assert 5 < sum(clock.sleeps) <= 10
    assert gateway.calls("DELETE", "/v1/loops/job_1") == []
    assert rest == [ChunkReceived(PCM[2], rest[0].meter)]


def test_a_chunk_renews_patience() -> None:
    """Four failures in a row cost 2.25 to 3 s; two such rows pass the limit, were it not for the chunk between."""
    before: list[Fault] = [Refuse(503)] * 4
    after: list[Fault] = [End("running", 1), *[Refuse(503)] * 3]
    gateway = ScriptedGateway(before + after)
    client, clock = client_of(gateway, patience_s=4)

    assert client.loops.create("drums").pcm == WHOLE
    assert sum(clock.sleeps) > 4


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ends_early_is_an_error_with_its_bill(state: str) -> None:
    gateway = ScriptedGateway([End(state, 1)])
    client, _ = client_of(gateway)

    with pytest.raises(LoopNotCompleted, match=f"job job_1 is {state}.*800 tokens were charged"):
        client.loops.create("drums")

    assert gateway.calls("DELETE", "/v1/loops/job_1") == []


def test_the_max_tokens_guard_orders_nothing_above_the_limit() -> None:
    gateway = ScriptedGateway(tokens=801)
    client, _ = client_of(gateway, max_tokens=800)

    with pytest.raises(BudgetExceeded, match="at most 800 tokens, found 801") as caught:
        client.loops.create("drums")

    assert (caught.value.tokens, caught.value.max_tokens) == (801, 800)
    assert gateway.calls("POST", "/v1/loops") == []


def test_the_max_tokens_guard_orders_at_the_quoted_price() -> None:
    gateway = ScriptedGateway(tokens=800)
    client, _ = client_of(gateway)

    loop = client.loops.create("drums", max_tokens=800)

    assert json.loads(gateway.calls("POST", "/v1/loops")[0].content)["quote_id"] == "quote_1"
    assert loop.quote is not None and loop.quote.tokens == 800


def test_the_max_tokens_guard_takes_the_price_of_a_given_quote() -> None:
    gateway = ScriptedGateway(tokens=801)
    client, _ = client_of(gateway, max_tokens=800)

    with pytest.raises(BudgetExceeded):
        client.loops.create("drums", quote=gateway.quote())

    assert gateway.requests == []


def test_a_quote_id_alone_cannot_be_held_against_a_limit() -> None:
    client, _ = client_of(ScriptedGateway(), max_tokens=800)

    with pytest.raises(ValueError, match="expected a Quote beside max_tokens"):
        client.loops.stream("drums", quote_id="quote_1")


def test_a_wrong_field_is_found_before_anything_is_sent() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    with pytest.raises(InvalidRequest, match="tempo_bpm: expected greater than or equal to 40, found 0") as caught:
        client.loops.create("drums", tempo_bpm=0)

    assert [error.field for error in caught.value.errors] == ["tempo_bpm"]
    assert gateway.requests == []


def test_leaving_a_stream_early_cancels_the_job() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    with client.loops.stream("drums") as stream:
        next(stream)

    assert len(gateway.calls("DELETE", "/v1/loops/job_1")) == 1
    assert stream.tokens_charged == 266
    assert list(stream) == []


def test_an_error_of_the_reader_cancels_the_job_and_comes_through() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    def unplugged(_: ChunkReceived) -> None:
        raise OSError("no sound card")

    with pytest.raises(OSError, match="no sound card"):
        client.loops.create("drums", on_chunk=unplugged)

    assert len(gateway.calls("DELETE", "/v1/loops/job_1")) == 1


def test_a_cancel_that_fails_is_a_note_on_the_error_of_the_reader() -> None:
    gateway = ScriptedGateway([None, Refuse(403, "forbidden")])
    client, _ = client_of(gateway)

    with pytest.raises(OSError, match="no sound card") as caught, client.loops.stream("drums"):
        raise OSError("no sound card")

    assert "could not be cancelled either" in caught.value.__notes__[0]


@pytest.mark.parametrize("detach", [True, False])
def test_leaving_an_async_stream_early_cancels_unless_detached(detach: bool) -> None:
    gateway = ScriptedGateway()

    async def scenario() -> None:
        client, _ = async_client_of(gateway)
        async with client, client.loops.stream("drums", detach=detach) as stream:
            await anext(stream)

    asyncio.run(scenario())
    assert len(gateway.calls("DELETE", "/v1/loops/job_1")) == (0 if detach else 1)


def test_a_cancelled_task_cancels_its_job() -> None:
    gateway = ScriptedGateway()

    async def scenario() -> None:
        client, _ = async_client_of(gateway)
        async with client, asyncio.timeout(30):
            first_chunk = asyncio.Event()
            making = asyncio.create_task(client.loops.create("drums", on_chunk=lambda _: first_chunk.set()))
            await first_chunk.wait()
            making.cancel()
            with pytest.raises(asyncio.CancelledError):
                await making

    asyncio.run(scenario())
    assert len(gateway.calls("DELETE", "/v1/loops/job_1")) == 1


def test_cancelling_a_job_that_has_ended_gives_the_job() -> None:
    gateway = ScriptedGateway([Refuse(409, "job_ended")])
    client, _ = client_of(gateway)

    assert client.loops.cancel("job_1").state == "completed"


def test_the_plain_calls_read_what_a_newer_gateway_says() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    with client:
        assert client.balance().available == 1
        assert client.usage(cursor="c").next == "c"
        assert [model.name for model in client.models()] == ["loopmeter"]
        assert client.loops.get("job_1").ended
        assert client.loops.audio("job_1", "flac") == b"flac"
        assert client.loops.midi("job_1") == MIDI


def test_a_job_id_cannot_reach_another_address() -> None:
    gateway = ScriptedGateway()
    client, _ = client_of(gateway)

    with pytest.raises(NotFound):
        client.loops.get("../balance")

    assert gateway.requests[0].url.raw_path == b"/v1/loops/..%2Fbalance"


@pytest.mark.parametrize("size", [0, 1, 40])
def test_an_answer_that_was_cut_on_its_way_is_asked_for_again(size: int) -> None:
    gateway = testing.FakeGateway(faults=[testing.Cut(size)] * 4, faults_on="/v1/balance")

    assert gateway.client().balance().available == 100_000
    assert len(gateway.requests) == 5


def test_an_answer_of_another_shape_is_not_asked_for_twice() -> None:
    gateway = ScriptedGateway(models={"models": [{"title": "a shop"}]})
    client, _ = client_of(gateway)

    with pytest.raises(AnswerUnreadable, match="check that the address is a Loopmeter gateway"):
        client.models()
    assert len(gateway.requests) == 1
