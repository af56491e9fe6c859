"""WAV files for games, read by two readers that are not ours: Python's ``wave`` and libsndfile."""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import wave
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter.bake import game_wav

_SFM_READ = 0x10
_SFC_GET_INSTRUMENT = 0x10D0
_SFC_GET_LOOP_INFO = 0x10E0
_LOOP_FORWARD = 801


class _Info(ctypes.Structure):
    _fields_ = [  # ctypes declares it so.
        ("frames", ctypes.c_int64),
        ("samplerate", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("format", ctypes.c_int),
        ("sections", ctypes.c_int),
        ("seekable", ctypes.c_int),
    ]


class _Loop(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("mode", "start", "end", "count")]


class _Instrument(ctypes.Structure):
    _fields_ = [
        ("gain", ctypes.c_int),
        *[(name, ctypes.c_char) for name in ("basenote", "detune", "velocity_lo", "velocity_hi", "key_lo", "key_hi")],
        ("loop_count", ctypes.c_int),
        ("loops", _Loop * 16),
    ]


class _LoopInfo(ctypes.Structure):
    _fields_ = [
        ("time_sig_num", ctypes.c_short),
        ("time_sig_den", ctypes.c_short),
        ("loop_mode", ctypes.c_int),
        ("num_beats", ctypes.c_int),
        ("bpm", ctypes.c_float),
        ("root_key", ctypes.c_int),
        ("future", ctypes.c_int * 6),
    ]


def libsndfile_reads(path: Path) -> tuple[_Instrument | None, _LoopInfo | None]:
    library = ctypes.CDLL(_library())
    library.sf_open.restype = ctypes.c_void_p
    library.sf_command.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    library.sf_close.argtypes = [ctypes.c_void_p]
    handle = library.sf_open(str(path).encode(), _SFM_READ, ctypes.byref(_Info()))
    assert handle, "libsndfile cannot open the file"
    instrument, info = _Instrument(), _LoopInfo()
    try:
        has_loop = library.sf_command(handle, _SFC_GET_INSTRUMENT, ctypes.byref(instrument), ctypes.sizeof(instrument))
        has_info = library.sf_command(handle, _SFC_GET_LOOP_INFO, ctypes.byref(info), ctypes.sizeof(info))
    finally:
        library.sf_close(handle)
    return instrument if has_loop else None, info if has_info else None


def _library() -> str:
    """The library that soundfile brings along, else the system's."""
    bundled = sorted((Path(soundfile.__file__).parent / "_soundfile_data").glob("libsndfile*"))
    return str(bundled[0]) if bundled else str(ctypes.util.find_library("sndfile"))


@pytest.fixture(params=[(1, 16, 1001), (2, 24, 1000), (1, 24, 1001)], ids=["mono 16", "stereo 24", "mono 24, odd"])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bytes, int]:
    channels, bits, frames = request.param
    pcm = bytes(index % 251 for index in range(frames * channels * bits // 8))
    path = tmp_path / "loop.wav"
    path.write_bytes(
        game_wav(pcm, 44100, channels, bits, loops=True, tempo_bpm=92.5, beats=16, key="F#m", title="a", comment="b")
    )
    return path, pcm, frames


def test_python_reads_the_sound_past_the_loop_points(loop: tuple[Path, bytes, int]) -> None:
    path, pcm, frames = loop

    with wave.open(str(path), "rb") as reader:
        assert reader.getnframes() == frames
        assert reader.readframes(frames) == pcm


def test_libsndfile_finds_loop_points_beats_tempo_and_root(loop: tuple[Path, bytes, int]) -> None:
    path, _, frames = loop
    instrument, info = libsndfile_reads(path)

    assert instrument is not None and info is not None
    assert instrument.loop_count == 1
    assert instrument.loops[0].mode == _LOOP_FORWARD
    assert (instrument.loops[0].start, instrument.loops[0].end) == (0, frames)  # libsndfile names the end behind it.
    assert instrument.basenote == bytes([66])
    assert (info.num_beats, info.bpm, info.root_key) == (16, 92.5, 66)
    assert (info.time_sig_num, info.time_sig_den) == (4, 4)
    assert soundfile.info(str(path)).frames == frames


def test_a_stinger_has_no_loop_points(tmp_path: Path) -> None:
    path = tmp_path / "stinger.wav"
    path.write_bytes(game_wav(bytes(200), 44100, 1, 16, loops=False, tempo_bpm=90, beats=4))
    instrument, info = libsndfile_reads(path)

    assert instrument is None
    assert info is not None and info.num_beats == 4


@settings(deadline=None)
@given(frames=st.integers(0, 50), title=st.text(max_size=20), bits=st.sampled_from([16, 24]))
def test_every_file_is_a_chain_of_whole_chunks(frames: int, title: str, bits: int) -> None:
    data = game_wav(bytes(frames * bits // 8), 44100, 1, bits, loops=True, tempo_bpm=90, beats=4, title=title)
    names, position = [], 12
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        names.append(data[position : position + 4])
        position += 8 + size + size % 2

    assert position == len(data) == 8 + int.from_bytes(data[4:8], "little")
    assert names == [b"fmt ", b"data", b"smpl", b"acid", b"LIST"]
    with wave.open(io.BytesIO(data), "rb") as reader:
        assert reader.getnframes() == frames
