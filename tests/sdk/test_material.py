"""Sound and notes that a request brings along: checked and, where that is needed, packed before anything is sent."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter import (
    MIDI_BASE64_MAX,
    SOUND_BASE64_MAX,
    InvalidRequest,
    LoopRequest,
    _material,
    accompany_loop,
    continue_loop,
    midi_base64,
    repaint_loop,
    sound_base64,
    vary_loop,
    wav_bytes,
)
from loopmeter.testing import FakeGateway, make_loop

SMALL = wav_bytes(b"\1\0" * 441, 44_100, 1, 16)


def limit(field: str) -> int:
    """The longest text that a request takes in this field."""
    schema = LoopRequest.model_json_schema()["properties"][field]["anyOf"]
    return int(next(choice["maxLength"] for choice in schema if choice["type"] == "string"))


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that small files reach."""
    monkeypatch.setattr(_material, "SOUND_BASE64_MAX", 900_000)


def noise(seconds: float, channels: int = 2) -> bytes:
    """24-bit noise, which nothing packs without loss."""
    frames = int(seconds * 44_100)
    return wav_bytes(np.random.default_rng(7).bytes(frames * channels * 3), 44_100, channels, 24)


def field_of(error: InvalidRequest) -> tuple[str, str, str]:
    (found,) = error.errors
    return found.field, found.expected, found.found


def test_the_limits_are_those_of_a_request() -> None:
    assert limit("source_audio_base64") == limit("reference_audio_base64") == SOUND_BASE64_MAX
    assert limit("midi_base64") == MIDI_BASE64_MAX


@pytest.mark.parametrize("given_as", ["path", "string", "bytes"])
def test_a_file_that_fits_is_sent_as_it_is(given_as: str, tmp_path: Path) -> None:
    path = tmp_path / "loop.wav"
    path.write_bytes(SMALL)
    source = {"path": path, "string": str(path), "bytes": SMALL}[given_as]

    assert base64.b64decode(sound_base64(source)) == SMALL


@pytest.mark.usefixtures("small_limit")
def test_what_is_too_large_is_packed_without_loss_if_it_then_fits() -> None:
    tone = np.round(np.sin(np.arange(441_000) / 40) * 2**14).astype("<i2")
    wav = wav_bytes(tone.tobytes(), 44_100, 1, 16)
    assert len(wav) > 675_000

    packed = base64.b64decode(sound_base64(wav))

    samples, rate = soundfile.read(io.BytesIO(packed), dtype="int16")
    assert packed[:4] == b"fLaC" and rate == 44_100 and np.array_equal(samples, tone)


@pytest.mark.usefixtures("small_limit")
def test_what_does_not_fit_without_loss_becomes_ogg_of_the_same_length() -> None:
    packed = base64.b64decode(sound_base64(noise(8)))

    info = soundfile.info(io.BytesIO(packed))
    assert (info.format, info.channels, info.frames, info.samplerate) == ("OGG", 2, 8 * 44_100, 44_100)
    assert len(packed) <= 675_000


@pytest.mark.usefixtures("small_limit")
def test_the_same_sound_is_the_same_request_each_time_that_it_is_packed() -> None:
    """libsndfile gives every Ogg stream a random number; it must not make, and charge, another loop."""
    first, second = (base64.b64decode(sound_base64(noise(8))) for _ in range(2))

    assert first == second and first[:4] == b"OggS"
    soundfile.read(io.BytesIO(first))  # Pages with a wrong checksum would be left out: "unspecified internal error".


def test_another_format_is_sent_as_flac() -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros((100, 1)), 44_100, format="AIFF", subtype="PCM_16")

    assert base64.b64decode(sound_base64(out.getvalue()))[:4] == b"fLaC"


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    ("source", "expected", "found"),
    [
        pytest.param(b"", "a WAV, FLAC or Ogg file", "an empty file", id="empty"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST", "a WAV, FLAC or Ogg file", "begin with b'RIFF", id="a film"),
        pytest.param("nowhere.wav", "a file that can be read", "'nowhere.wav': No such file", id="no file"),
        pytest.param(".", "a file that can be read", "'.': Is a directory", id="folder"),
        pytest.param(noise(60), "at most 675000 bytes", "60.0 s of sound", id="too long"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_field_and_reason(source: str | bytes, expected: str, found: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        sound_base64(source, "reference_audio_base64")

    field, wanted, came = field_of(refused.value)
    assert (field, wanted) == ("reference_audio_base64", expected) and found in came


@pytest.mark.usefixtures("small_limit")
def test_without_soundfile_a_large_file_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)

    with pytest.raises(InvalidRequest, match=r"found \d+ bytes of WAV; save it as FLAC .* pip install soundfile"):
        sound_base64(noise(8))

    assert base64.b64decode(sound_base64(SMALL)) == SMALL


def test_midi_is_checked_by_its_head_and_its_size(tmp_path: Path) -> None:
    notes = make_loop("drums", bars=1).midi()

    assert base64.b64decode(midi_base64(notes)) == notes
    with pytest.raises(InvalidRequest, match="midi_base64: expected a Standard MIDI File, found 3 bytes"):
        midi_base64(b"mp3")
    with pytest.raises(InvalidRequest, match="midi_base64: expected at most 300000 bytes"):
        midi_base64(notes + bytes(300_000))


def test_a_loop_that_belongs_to_another_shares_its_music() -> None:
    loop = make_loop("dusty drums", tempo_bpm=92.5, bars=1, beats_per_bar=3, key="Am", seed=4)

    request = vary_loop(loop, strength=0.4, seed=9)

    assert request == LoopRequest(
        prompt="dusty drums",
        tempo_bpm=92.5,
        bars=1,
        beats_per_bar=3,
        key="Am",
        seed=9,
        task="cover",
        cover_strength=0.4,
        source_audio_base64=base64.b64encode(loop.wav).decode(),
    )
    assert vary_loop(loop, "bright bells", tempo_bpm=100).prompt == "bright bells"


def test_each_helper_names_its_task_and_its_fields() -> None:
    assert continue_loop(SMALL, "x", bars=8).model_dump(include={"task", "bars"}) == {"task": "continue", "bars": 8}
    assert accompany_loop(SMALL, "x", layers=("bass",)).model_dump(include={"task", "layers"}) == {
        "task": "lego",
        "layers": ("bass",),
    }
    repainted = repaint_loop(SMALL, "x", from_beat=4, to_beat=8)
    assert (repainted.task, repainted.repaint_from_beat, repainted.repaint_to_beat) == ("repaint", 4, 8)
    assert all(request.source_audio_base64 for request in (repainted, continue_loop(SMALL, "x")))


def test_beside_a_file_the_words_are_missed_and_a_wrong_field_is_named() -> None:
    with pytest.raises(InvalidRequest, match="prompt: expected words for the loop beside a file, found nothing"):
        continue_loop(SMALL)
    with pytest.raises(InvalidRequest, match="cover_strength: expected less than or equal to 1"):
        vary_loop(SMALL, "x", strength=2)


def test_a_request_with_a_source_is_priced_and_made_as_any_other() -> None:
    with FakeGateway().client() as client:
        first = client.loops.create("drums", tempo_bpm=120, bars=1)
        request = continue_loop(first, bars=2)
        quote = client.quote(request)
        more = client.loops.create(request, quote=quote)

    assert more.frames == quote.frames == 2 * first.frames
    assert more.sha256 != first.sha256


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_no_bytes_break_the_check(data: bytes) -> None:
    try:
        sound = sound_base64(data)
    except InvalidRequest as error:
        assert error.errors[0].field == "source_audio_base64"
    else:
        assert base64.b64decode(sound) == data
