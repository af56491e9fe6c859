"""An engine in several processes is one engine: the same sound, the same words, whatever becomes of the processes."""

from __future__ import annotations

import hashlib
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopmeter import LivePrompt, LiveRequest, LoopRequest
from loopmeter_engine.contract import Chunk, EngineFailed, InvalidRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.processes import engine as in_processes
from loopmeter_engine.processes.engine import ProcessEngine, engine_in_processes
from loopmeter_engine.registry import EngineUnavailable, open_engine
from loopmeter_engine.stopping import LeaseStopped, stop_when
from loopmeter_engine.testing import EngineContract, LiveEngineContract, make_all, make_live

from .mortal import install_mortal

REQUEST = LoopRequest(prompt="x", tempo_bpm=120, bars=4)


@pytest.fixture(scope="module")
def two_fakes() -> Iterator[ProcessEngine]:
    engine = engine_in_processes("fake", 2, cores=1)
    yield engine
    engine.close()


class TestAnEngineInProcessesKeepsTheContract(EngineContract, LiveEngineContract):
    @pytest.fixture
    def engine(self, two_fakes: ProcessEngine) -> ProcessEngine:
        return two_fakes


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessEngine]:
    install_mortal(tmp_path, monkeypatch)
    engine = engine_in_processes("mortal", 2, cores=1)
    engine.crew.wait_for_all()
    yield engine
    engine.close()


def told(prompt: str, seed: int = 0) -> LoopRequest:
    return REQUEST.model_copy(update={"prompt": prompt, "seed": seed})


def makers(chunks: list[Chunk]) -> list[int]:
    """The process that made each chunk."""
    return [chunk.usage.peak_memory_bytes for chunk in chunks]


def sound(chunks: Sequence[Chunk]) -> list[tuple[int, str, str]]:
    """What must be equal, in short."""
    digests = [[hashlib.sha256(part).hexdigest() for part in (chunk.pcm, chunk.state_after)] for chunk in chunks]
    return [(chunk.index, pcm, state) for chunk, (pcm, state) in zip(chunks, digests, strict=True)]


def test_sound_from_two_processes_is_sound_from_one_to_the_bit_however_it_is_split() -> None:
    loops = [
        LoopRequest(prompt="deep house", tempo_bpm=121.3, bars=2, seed=1),
        LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92.5, bars=1, seed=2, quality="hifi", guidance=2.0),
        LoopRequest(prompt="techno", tempo_bpm=240, bars=1, seed=4, stems=True, layers=("drums", "bass")),
    ]
    session = LiveRequest(prompts=(LivePrompt(text="funk"),), tempo_bpm=104, seed=5)
    alone = LoopmeterEngine(device="cpu")
    several = engine_in_processes("loopmeter", 2, cores=1)
    sizes = random.Random(6)

    def split(request: LoopRequest) -> list[Chunk]:
        chunks: list[Chunk] = []
        while (left := len(several.plan(request).chunk_frames) - len(chunks)) > 0:
            state = chunks[-1].state_after if chunks else None
            chunks.extend(several.lease(request, len(chunks), min(left, sizes.randint(1, 3)), state))
        return chunks

    try:
        assert isinstance(several, in_processes.LiveProcessEngine)
        with ThreadPoolExecutor(len(loops)) as threads:
            made = list(threads.map(split, loops))
            expected = list(threads.map(lambda request: sound(make_all(alone, request)), loops))
        assert [sound(chunks) for chunks in made] == expected
        assert sound(make_live(several, session, [], 2, 1)) == sound(make_live(alone, session, [], 2, 2))
        assert [several.score(request) for request in loops] == [alone.score(request) for request in loops]
        assert several.info().fingerprint == alone.info().fingerprint
    finally:
        several.close()


def test_streams_spread_over_the_processes_and_stay_where_they_are_prepared(mortal: ProcessEngine) -> None:
    assert (mortal.info().processes, mortal.info().streams_at_once) == (2, 8)
    requests = [told("x", seed) for seed in range(4)]
    streams = [mortal.lease(request, 0, 8, None) for request in requests]
    firsts = [next(stream) for stream in streams]
    assert sorted(makers(firsts)) == sorted(2 * mortal.crew.pids)

    for stream in streams:
        list(stream)
    again = [
        next(mortal.lease(request, 1, 1, first.state_after)) for request, first in zip(requests, firsts, strict=True)
    ]
    assert makers(again) == makers(firsts)


def test_a_stream_whose_process_dies_goes_on_in_another_and_the_dead_one_is_replaced(mortal: ProcessEngine) -> None:
    before = mortal.crew.pids
    chunks = list(mortal.lease(told("die once"), 0, 6, None))

    assert sound(chunks) == sound(list(FakeEngine().lease(told("die once"), 0, 6, None)))
    first, *_, last = makers(chunks)
    assert makers(chunks) == [first] * 2 + [last] * 4
    assert first != last and {first, last} <= {*before, *mortal.crew.pids}
    mortal.crew.wait_for_all()
    assert first not in mortal.crew.pids and len(mortal.crew.pids) == 2


def test_streams_beside_the_one_that_kills_do_not_hear_of_it(mortal: ProcessEngine) -> None:
    requests = [told("x", seed) for seed in range(4)] + [told("die once"), told("die once more")]
    with ThreadPoolExecutor(len(requests)) as threads:
        made = list(threads.map(lambda request: make_all(mortal, request, 2), requests))
    assert [sound(chunks) for chunks in made] == [sound(make_all(FakeEngine(), request)) for request in requests]


def test_what_kills_every_process_it_comes_to_fails_in_clear_words_and_the_engine_lives(mortal: ProcessEngine) -> None:
    stream = mortal.lease(told("die"), 0, 4, None)
    assert [next(stream).index, next(stream).index] == [0, 1]
    words = (
        r"lost the stream before chunk 2, 3 times in a row: engine process \d \(pid \d+\) was ended by signal SIGKILL"
    )
    with pytest.raises(EngineFailed, match=words):
        next(stream)
    assert sound(make_all(mortal, REQUEST)) == sound(make_all(FakeEngine(), REQUEST))


def test_an_engine_that_comes_back_as_another_is_not_taken(mortal: ProcessEngine, tmp_path: Path) -> None:
    (tmp_path / "fingerprint").write_text("mortal-2")
    for pid in mortal.crew.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineFailed, match="expected engine mortal-1, found mortal-2; it was changed"):
        make_all(mortal, REQUEST)


def test_what_cannot_start_says_so_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_mortal(tmp_path, monkeypatch)
    with pytest.raises(EngineUnavailable, match=r"was ended with status 7: no weights to be found"):
        engine_in_processes("stillborn", 2, cores=1)
    (tmp_path / "mortal_engines.py").write_text("raise RuntimeError('no licence key found')\n")
    with pytest.raises(EngineUnavailable, match=r"'mortal' of mortal 3\.2 .* RuntimeError: no licence key found"):
        open_engine("mortal", processes=2)
    with pytest.raises(EngineUnavailable, match="expected one of the installed engines"):
        open_engine("nonesuch", processes=2)
    monkeypatch.setattr(sys, "executable", "/nonesuch/python")
    with pytest.raises(EngineUnavailable, match=r"engine process \d could not be started: .*/nonesuch/python"):
        open_engine("fake", processes=2)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("fail", "^the oven is cold$"),
        ("break", "expected what the contract allows, found KeyError: 'a part of mine'"),
    ],
)
def test_what_the_engine_raises_comes_through_in_its_words(mortal: ProcessEngine, prompt: str, words: str) -> None:
    with pytest.raises(EngineFailed, match=words):
        list(mortal.lease(told(prompt), 0, 4, None))
    with pytest.raises(InvalidRequest, match="expected an engine that can do lyrics") as caught:
        mortal.plan(REQUEST.model_copy(update={"lyrics": "la"}))
    assert caught.value.field == "lyrics"


def test_a_lease_that_is_not_wanted_any_more_stops_within_its_chunk(mortal: ProcessEngine) -> None:
    request, heard = told("step"), 0
    with stop_when(lambda: heard == 2), pytest.raises(LeaseStopped):
        for chunk in mortal.lease(request, 0, 4, None):
            heard = chunk.index + 1
    assert mortal.score(request).midi  # Which waits for the stop.


def test_a_lease_that_is_closed_stops_within_its_chunk(mortal: ProcessEngine) -> None:
    request = told("step")
    stream = mortal.lease(request, 0, 4, None)
    assert [next(stream).index, next(stream).index] == [0, 1]  # So it is in the third.
    stream.close()  # type: ignore[attr-defined]  # A generator, as the contract suite checks.
    assert mortal.score(request).midi


def test_a_process_that_hangs_is_ended_at_the_deadline_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_mortal(tmp_path, monkeypatch)
    engine = engine_in_processes("mortal", 1, cores=1, deadline_s=1.0)
    try:
        (pid,) = engine.crew.pids
        with pytest.raises(EngineFailed, match=r"expected an answer of engine process 1 within 1 s, found none"):
            list(engine.lease(told("hang"), 0, 4, None))
        chunks = make_all(engine, told("hang"))
    finally:
        engine.close()
    assert sound(chunks) == sound(make_all(FakeEngine(), told("hang")))
    assert pid not in makers(chunks)


def test_a_stop_that_reaches_every_process_leaves_the_streams_to_their_host(mortal: ProcessEngine) -> None:
    before = mortal.crew.pids
    for pid in before:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert sound(make_all(mortal, REQUEST)) == sound(make_all(FakeEngine(), REQUEST))
    assert mortal.crew.pids == before


_HOST = """
import sys
from loopmeter_engine.processes.engine import engine_in_processes
engine = engine_in_processes("fake", 2, cores=1)
engine.crew.wait_for_all()
print(*engine.crew.pids, "torch" in sys.modules, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_processes_end_with_their_host_which_has_no_torch(signal_number: signal.Signals) -> None:
    host = subprocess.Popen([sys.executable, "-c", _HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with host:
        assert host.stdout is not None
        *pids, torch = host.stdout.readline().split()
        assert (len(pids), torch) == (2, "False")
        watched = [os.pidfd_open(int(pid)) for pid in pids]
        host.send_signal(signal_number)
    for descriptor in watched:
        ended, _, _ = select.select([descriptor], [], [], 20)
        os.close(descriptor)
        assert ended


def test_leases_that_are_left_leave_nothing_open(two_fakes: ProcessEngine) -> None:
    def leave_some() -> int:
        for seed in range(20):
            stream = two_fakes.lease(told("x", seed), 0, 8, None)
            next(stream)
            stream.close()  # type: ignore[attr-defined]  # As above.
        return len(os.listdir("/proc/self/fd"))

    assert leave_some() == leave_some()
