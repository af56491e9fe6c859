"""The chunk protocol: writer and reader joined, any split of the bytes, and every way to break it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import (
    ChunkDecoder,
    ChunkEvent,
    ChunkMeter,
    ChunkProtocolError,
    ChunkReceived,
    JobState,
    KeepAlive,
    Problem,
    StreamEnded,
    StreamStarted,
    encode_chunk_event,
)
from loopmeter._chunks import RECORD_BYTES_MAX


def started(chunks: int = 2, first_index: int = 0) -> StreamStarted:
    return StreamStarted(
        job="job_1", chunks=chunks, frames=8, sample_rate_hz=44100, channels=1, bits=16, first_index=first_index
    )


def chunk(index: int, pcm: bytes = b"\1\2\3\4\5\6\7\x08") -> ChunkReceived:
    return ChunkReceived(pcm, ChunkMeter(index=index, frames=len(pcm) // 2, tokens=400, tokens_total=400 * (index + 1)))


STATES: list[JobState] = ["completed", "cancelled", "failed", "running"]
COMPLETED = StreamEnded(state="completed", tokens_charged=800)
WHOLE: list[ChunkEvent] = [started(), KeepAlive(), chunk(0), chunk(1), COMPLETED]


def encoded(events: list[ChunkEvent]) -> bytes:
    return b"".join(encode_chunk_event(event) for event in events)


def decoded(pieces: list[bytes]) -> list[ChunkEvent]:
    decoder = ChunkDecoder()
    events: list[ChunkEvent] = []
    for piece in pieces:
        decoder.receive(piece)
        events += decoder.events()
    decoder.receive_end()
    events += decoder.events()
    return events


@st.composite
def streams(draw: st.DrawFn) -> list[ChunkEvent]:
    channels, bits = draw(st.sampled_from([(1, 16), (2, 24)]))
    chunks = draw(st.integers(0, 4))
    first = draw(st.integers(0, chunks))
    state: JobState = draw(st.sampled_from(STATES))
    last = chunks if state == "completed" else draw(st.integers(first, chunks))
    events: list[ChunkEvent] = [
        StreamStarted(
            job=draw(st.text(min_size=1, max_size=8)),
            chunks=chunks,
            frames=draw(st.integers(0, 2**40)),
            sample_rate_hz=44100,
            channels=channels,
            bits=bits,
            first_index=first,
        )
    ]
    for index in range(first, last):
        frames = draw(st.integers(0, 5))
        size = frames * channels * bits // 8
        meter = ChunkMeter(
            index=index,
            frames=frames,
            tokens=draw(st.integers(0, 10**6)),
            tokens_total=draw(st.integers(0, 10**9)),
            flops=draw(st.integers(0, 2**80)),
            device_seconds=draw(st.floats(0, 1e6)),
        )
        events.append(ChunkReceived(draw(st.binary(min_size=size, max_size=size)), meter))
        events += [KeepAlive()] * draw(st.integers(0, 1))
    problem = Problem(status=500, detail="broke") if state == "failed" else None
    events.append(StreamEnded(state=state, tokens_charged=draw(st.integers(0, 10**9)), problem=problem))
    return events


@given(streams(), st.data())
def test_any_split_of_the_bytes_gives_back_the_events_that_were_written(
    events: list[ChunkEvent], data: st.DataObject
) -> None:
    body = encoded(events)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=20)) | {0, len(body)})

    assert decoded([body[a:b] for a, b in pairwise(cuts)]) == events


def test_one_byte_at_a_time_gives_back_the_events_that_were_written() -> None:
    body = encoded(WHOLE)

    assert decoded([body[i : i + 1] for i in range(len(body))]) == WHOLE


@pytest.mark.parametrize("size", range(len(encoded(WHOLE))))
def test_a_stream_cut_at_any_byte_gives_its_whole_events_and_then_says_truncated(size: int) -> None:
    decoder = ChunkDecoder()
    decoder.receive(encoded(WHOLE)[:size])
    events = list(decoder.events())
    decoder.receive_end()

    with pytest.raises(ChunkProtocolError) as caught:
        decoder.next_event()

    assert caught.value.kind == "truncated" and caught.value.retryable
    assert events == WHOLE[: len(events)] and len(encoded(events)) <= size


@given(st.integers(0, len(encoded(WHOLE)) - 1), st.integers(1, 255))
def test_a_damaged_byte_never_changes_an_event(position: int, mask: int) -> None:
    """Every byte is under the checksum, the preamble, or a length whose change moves the checksum."""
    body = bytearray(encoded(WHOLE))
    body[position] ^= mask
    decoder = ChunkDecoder()
    decoder.receive(bytes(body))
    decoder.receive_end()
    events: list[ChunkEvent] = []

    with pytest.raises(ChunkProtocolError):
        events.extend(decoder.events())

    assert events == WHOLE[: len(events)]


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        pytest.param([started(), started()], "too_large", id="started twice: its preamble is no record header"),
        pytest.param([started(), chunk(1)], "order", id="chunk skipped"),
        pytest.param([started(), chunk(0), chunk(0)], "order", id="chunk twice"),
        pytest.param([started(chunks=1), chunk(0), chunk(1)], "order", id="more chunks than said"),
        pytest.param([started(chunks=3, first_index=1), chunk(0)], "order", id="resumed at the wrong chunk"),
        pytest.param([started(), chunk(0), COMPLETED], "order", id="completed before the last chunk"),
        pytest.param([*WHOLE, KeepAlive()], "order", id="bytes behind the end"),
        pytest.param([started(), chunk(0, b"123")], "malformed", id="pcm of broken frames"),
    ],
)
def test_a_violation_is_a_typed_error_and_stays_one(events: list[ChunkEvent], kind: str) -> None:
    decoder = ChunkDecoder()
    decoder.receive(encoded(events))

    with pytest.raises(ChunkProtocolError) as caught:
        list(decoder.events())
    with pytest.raises(ChunkProtocolError) as again:
        decoder.next_event()

    assert again.value is caught.value
    assert caught.value.kind == kind


def test_a_record_before_started_is_out_of_order() -> None:
    preamble = encode_chunk_event(started())[:8]
    decoder = ChunkDecoder()
    decoder.receive(preamble + encode_chunk_event(KeepAlive()))

    with pytest.raises(ChunkProtocolError, match="expected a started record, found a record of type b'K'"):
        decoder.next_event()


def test_a_record_too_large_is_refused_by_its_header_alone() -> None:
    decoder = ChunkDecoder()
    decoder.receive(encode_chunk_event(started()) + b"C" + (RECORD_BYTES_MAX + 1).to_bytes(4, "big") + b"0000")

    assert decoder.next_event() == started()
    with pytest.raises(ChunkProtocolError) as caught:
        decoder.next_event()
    assert caught.value.kind == "too_large" and not caught.value.retryable


def test_a_chunk_too_large_is_refused_by_the_writer() -> None:
    with pytest.raises(ValueError, match="at most 8388608 bytes"):
        encode_chunk_event(chunk(0, bytes(RECORD_BYTES_MAX)))


def test_an_answer_that_is_no_chunk_stream_says_what_to_check() -> None:
    decoder = ChunkDecoder()
    decoder.receive(b"<html>")

    with pytest.raises(ChunkProtocolError, match="check that the address is a Loopmeter gateway"):
        decoder.next_event()


def test_fields_of_a_newer_writer_are_ignored() -> None:
    class NewerStarted(StreamStarted):
        tuning_hz: int = 440

    newer = NewerStarted(**started().model_dump())

    assert decoded([encoded([newer, chunk(0), chunk(1), COMPLETED])])[0] == started()
