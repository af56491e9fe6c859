"""WAV headers, read back by Python's own ``wave``."""

from __future__ import annotations

import io
import stat
import struct
import wave
from pathlib import Path

import pytest

from loopmeter import wav_bytes, wav_header, wav_padding, write_wav


@pytest.mark.parametrize("frames", [0, 1, 460_174])
@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 16), (1, 24), (2, 24)])
def test_a_foreign_reader_finds_the_format_and_the_samples(frames: int, channels: int, bits: int) -> None:
    pcm = bytes(i * 7 % 251 for i in range(channels * bits // 8)) * frames

    with wave.open(io.BytesIO(wav_bytes(pcm, 44100, channels, bits))) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (frames, 44100, channels)
        assert file.getsampwidth() == bits // 8
        assert file.readframes(frames) == pcm


@pytest.mark.parametrize(("frames", "channels", "bits"), [(3, 1, 24), (3, 2, 24), (4, 1, 24), (3, 1, 16)])
def test_the_riff_size_counts_the_whole_file_but_its_first_eight_bytes(frames: int, channels: int, bits: int) -> None:
    pcm = bytes(frames * channels * bits // 8)

    whole = wav_bytes(pcm, 44100, channels, bits)

    assert whole == wav_header(frames, 44100, channels, bits) + pcm + wav_padding(frames, channels, bits)
    assert struct.unpack_from("<I", whole, 4)[0] == len(whole) - 8
    assert len(whole) % 2 == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((1, 44100, 1, 8), "bits 16 or 24, found 8", id="bits"),
        pytest.param((-1, 44100, 1, 16), "frames=-1", id="frames"),
        pytest.param((1, 0, 1, 16), "sample_rate_hz=0", id="rate"),
        pytest.param((2**31, 44100, 1, 16), "at most 4294967295 bytes", id="size"),
    ],
)
def test_a_header_that_cannot_be_says_why(arguments: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wav_header(*arguments)


def test_pcm_that_ends_within_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="whole frames of 6 bytes, found 1 bytes over"):
        wav_bytes(bytes(7), 44100, 2, 24)


def test_a_written_file_is_readable_by_all_and_leaves_no_part_behind(tmp_path: Path) -> None:
    write_wav(tmp_path / "loop.wav", b"\1\2", 44100, 1, 16)

    assert (tmp_path / "loop.wav").read_bytes() == wav_bytes(b"\1\2", 44100, 1, 16)
    assert stat.S_IMODE((tmp_path / "loop.wav").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["loop.wav"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "loop.wav").mkdir()

    with pytest.raises(OSError):
        write_wav(tmp_path / "loop.wav", b"\1\2", 44100, 1, 16)

    assert [path.name for path in tmp_path.iterdir()] == ["loop.wav"]
