"""The messages of a live session: what is accepted, what comes back the same, what is refused."""

from __future__ import annotations

import zlib

import pytest
from pydantic import ValidationError

import loopmeter
from loopmeter import (
    ChunkMeter,
    ChunkProtocolError,
    ChunkReceived,
    LivePrompt,
    LiveSet,
    LiveSettings,
    LiveStart,
    decode_chunk_record,
    encode_chunk_event,
    encode_live,
    parse_client_message,
    parse_server_message,
)

CHUNK = ChunkReceived(b"\1\2\3\4", ChunkMeter(index=3, frames=2, tokens=1, tokens_total=9))
START = LiveStart(session="s-1", prompts=(LivePrompt(text="drums"),), tempo_bpm=92, max_tokens=100)
CLIENT = [
    START,
    loopmeter.LiveResume(session="s-1", from_chunk=4, credit=0),
    LiveSet(ref="knob", density=0.25, layers=("drums", "bass")),
    loopmeter.LivePause(),
    loopmeter.LivePlay(),
    loopmeter.LiveStop(),
    loopmeter.LiveCredit(chunks=2),
    loopmeter.LivePing(),
]
SERVER = [
    loopmeter.LiveStarted(
        job="live_1",
        session="s-1",
        request=loopmeter.ResolvedLive(prompts=(LivePrompt(text="drums"),)),
        sample_rate_hz=44_100,
        channels=2,
        bits=24,
        chunk_frames=32_768,
    ),
    loopmeter.LiveApplied(ref="knob", chunk=5, frame=176_400, bar=2),
    loopmeter.LiveWarning(reason="budget", tokens_charged=90, tokens_left=10, seconds_left=1.0),
    loopmeter.LivePaused(chunk=3),
    loopmeter.LiveResumed(chunk=3),
    loopmeter.LiveHeartbeat(tokens_charged=5),
    loopmeter.LiveEnded(reason="stopped", chunks=6, tokens_charged=60),
    loopmeter.LiveError(problem=loopmeter.Problem(status=422, code="invalid_request"), ref="knob"),
]


@pytest.mark.parametrize("message", CLIENT, ids=lambda message: message.type)
def test_what_a_client_sends_reads_as_what_it_was(message: loopmeter.ClientMessage) -> None:
    assert parse_client_message(encode_live(message)) == message


@pytest.mark.parametrize("message", SERVER, ids=lambda message: message.type)
def test_what_a_gateway_sends_reads_as_what_it_was(message: loopmeter.ServerMessage) -> None:
    assert parse_server_message(encode_live(message)) == message


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"type":"start","prompts":[{"text":"x"}]}', "session"),
        ('{"type":"start","session":"a b","prompts":[{"text":"x"}]}', "session"),
        ('{"type":"start","session":"s","prompts":[]}', "prompts"),
        ('{"type":"start","session":"s","prompts":[{"text":"x","weight":0}]}', "prompts"),
        ('{"type":"start","session":"s","prompts":[{"text":"x"}],"bars":4}', "bars"),
        ('{"type":"set","ref":"r","density":1.5}', "density"),
        ('{"type":"set","ref":"r","layers":["drums","drums"]}', "layers"),
        ('{"type":"set","density":0.5}', "ref"),
        ('{"type":"credit","chunks":0}', "chunks"),
        ('{"type":"dance"}', ""),
        ("[]", ""),
        ("{", ""),
    ],
)
def test_wrong_messages_are_refused_by_field(text: str, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_client_message(text)
    assert field in "".join(str(part) for error in caught.value.errors() for part in error["loc"])


def test_clients_ignore_what_a_newer_gateway_adds() -> None:
    found = parse_server_message('{"type":"paused","chunk":3,"since":"now"}')
    assert found == loopmeter.LivePaused(chunk=3)


def test_settings_change_what_they_name_and_nothing_else() -> None:
    request = START.request()
    changed = request.with_settings(LiveSettings(density=0.0, tempo_bpm=120))
    assert (changed.density, changed.tempo_bpm, changed.prompts) == (0.0, 120, request.prompts)
    assert request.with_settings(LiveSettings()) == request


def test_a_chunk_travels_in_one_record() -> None:
    assert decode_chunk_record(encode_chunk_event(CHUNK), channels=1, bits=16) == CHUNK


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "truncated"),
        (encode_chunk_event(CHUNK)[:-1], "malformed"),
        (encode_chunk_event(CHUNK) + b"x", "malformed"),
        (encode_chunk_event(CHUNK)[:-1] + b"x", "checksum"),
        (b"K" + bytes(4) + zlib.crc32(b"K" + bytes(4)).to_bytes(4, "big"), "malformed"),
    ],
    ids=["empty", "cut", "longer", "flipped", "keep-alive"],
)
def test_other_bytes_are_no_chunk(data: bytes, kind: str) -> None:
    with pytest.raises(ChunkProtocolError) as caught:
        decode_chunk_record(data, channels=1, bits=16)
    assert caught.value.kind == kind


def test_a_chunk_of_another_format_is_refused() -> None:
    with pytest.raises(ChunkProtocolError, match="expected 12 bytes of PCM, found 4"):
        decode_chunk_record(encode_chunk_event(CHUNK), channels=2, bits=24)
