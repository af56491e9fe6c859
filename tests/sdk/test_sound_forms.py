"""The forms in which a stream gives its sound: bytes, numbers with and without numpy, a file."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import BudgetExceeded, Progress, pcm_array, pcm_floats
from loopmeter.testing import Corrupt, Cut, FakeGateway, Unreachable, make_loop

SAMPLES_24 = st.lists(st.integers(-(2**23), 2**23 - 1), max_size=50)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), max_size=50))
def test_16_bit_samples_become_their_fractions(samples: list[int]) -> None:
    assert list(pcm_floats(struct.pack(f"<{len(samples)}h", *samples), 16)) == [sample / 2**15 for sample in samples]


@given(SAMPLES_24)
def test_24_bit_samples_become_their_fractions(samples: list[int]) -> None:
    pcm = b"".join(sample.to_bytes(3, "little", signed=True) for sample in samples)

    assert list(pcm_floats(pcm, 24)) == [sample / 2**23 for sample in samples]


@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 24)])
def test_with_and_without_numpy_the_numbers_are_the_same(channels: int, bits: int) -> None:
    pcm = bytes(range(6 * 40))

    array = pcm_array(pcm, channels, bits)

    assert array.shape == (240 * 8 // bits // channels, channels) and array.dtype == np.float32
    assert array.reshape(-1).tolist() == list(pcm_floats(pcm, bits))


@pytest.mark.parametrize(("pcm", "bits"), [(b"123", 16), (b"1234", 24), (b"", 8)])
def test_what_is_no_pcm_is_refused(pcm: bytes, bits: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        pcm_floats(pcm, bits)


def test_a_stream_gives_bytes_numbers_and_arrays_of_the_same_sound() -> None:
    whole = make_loop("drums", bars=1, quality="hifi")
    client = FakeGateway(faults=[Cut(200_000)]).client()

    forms = [client.loops.stream("drums", bars=1, quality="hifi") for _ in range(3)]
    with forms[0] as stream:
        assert b"".join(stream.pcm()) == whole.pcm
    with forms[1] as stream:
        assert [value for block in stream.floats() for value in block] == list(whole.floats())
    with forms[2] as stream:
        assert np.array_equal(np.concatenate(list(stream.arrays())), whole.ndarray())
    assert whole.ndarray().shape == (whole.frames, 2)
    assert whole.sha256 == hashlib.sha256(whole.pcm).hexdigest()


def test_a_stream_is_saved_as_it_comes_with_its_progress_and_its_bill(tmp_path: Path) -> None:
    gateway = FakeGateway(faults=[Cut(90_000), Corrupt(70_000), Unreachable()])
    seen: list[Progress] = []

    with gateway.client().loops.stream("drums", bars=2) as stream:
        bill = stream.save(tmp_path / "loop.wav", seen.append)

    with wave.open(str(tmp_path / "loop.wav")) as file:
        assert file.readframes(10**6) == make_loop("drums", bars=2).pcm
    assert [progress.chunks for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert (seen[-1].frames, seen[-1].fraction, seen[-1].tokens_charged) == (176_400, 1.0, 800)
    assert seen[0].fraction == 22_528 / 176_400
    assert (bill.state, bill.tokens_charged) == ("completed", 800)


def test_an_async_stream_is_saved_as_the_finished_loop_would_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = FakeGateway().async_client()
        async with client, client.loops.stream("drums", tempo_bpm=133, quality="hifi") as stream:
            await stream.save(tmp_path / "loop.wav")

    asyncio.run(scenario())
    assert (tmp_path / "loop.wav").read_bytes() == make_loop("drums", tempo_bpm=133, quality="hifi").wav


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    gateway = FakeGateway(faults=[Cut(70_000), *[Unreachable()] * 99])

    with pytest.raises(Exception, match="broke before chunk 1"), gateway.client().loops.stream("drums") as stream:
        stream.save(tmp_path / "loop.wav")

    assert list(tmp_path.iterdir()) == []


def test_a_stream_under_way_cannot_become_a_whole_file(tmp_path: Path) -> None:
    with FakeGateway().client().loops.stream("drums") as stream:
        next(stream)
        with pytest.raises(ValueError, match="expected a stream at its first chunk, found one at chunk 1"):
            stream.save(tmp_path / "loop.wav")


def test_a_price_above_the_limit_writes_no_file(tmp_path: Path) -> None:
    stream = FakeGateway().client(max_tokens=1).loops.stream("drums")

    with pytest.raises(BudgetExceeded):
        stream.save(tmp_path / "loop.wav")

    assert list(tmp_path.iterdir()) == []
