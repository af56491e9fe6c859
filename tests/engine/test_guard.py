"""Somebody else's engine may raise, hang or miscount: its host lives, and the engine is named."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.guard import HUNG_MAX, GuardedEngine, guard
from loopmeter_engine.inspection import describe_engine
from loopmeter_engine.registry import EngineUnavailable, engine_names, open_engine
from loopmeter_engine.stopping import LeaseStopped, check_wanted, stop_when
from loopmeter_engine.testing import EngineContract, LiveEngineContract, make_all

from .plug_ins import install_ill_behaved

REQUEST = LoopRequest(prompt="x", tempo_bpm=120, bars=2)


class TestAGuardedEngineKeepsTheContract(EngineContract, LiveEngineContract):
    @pytest.fixture
    def engine(self) -> GuardedEngine:
        return guard(FakeEngine(), "fake", "loopmeter 1")


@pytest.fixture
def ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_ill_behaved(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hangs", r"lease at chunk 1: expected an answer within 0\.2 s"),
        ("miscounts", r"expected a chunk of .* as planned, found \(2, 32767"),
        ("raises", r"lease at chunk 1: .* found KeyError: 'a part of mine'"),
        ("overplans", r"expected a plan of 176400 frames .* 6 in 3 chunks"),
    ],
)
def test_what_an_engine_does_wrong_names_it_and_its_distribution(ill: None, name: str, said: str) -> None:
    engine = open_engine(name, deadline_s=0.2)
    with pytest.raises(EngineFailed, match=rf"engine '{name}' of ill 3\.2: {said}"):
        make_all(engine, REQUEST)


def test_an_engine_that_cannot_be_imported_names_its_distribution(ill: None) -> None:
    with pytest.raises(EngineUnavailable, match=r"'absent' of ill 3\.2 .* RuntimeError: no licence key found"):
        open_engine("absent")


def test_a_wrong_request_is_the_callers_fault_and_passes_through() -> None:
    engine = GuardedEngine(FakeEngine(), "fake", "loopmeter 1")
    with pytest.raises(ValueError, match="expected a count of 1 to 8"):
        list(engine.lease(REQUEST, 0, 9, None))


class _Stuck(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.stuck = True
        self.free = threading.Event()

    def plan(self, request: LoopRequest):  # type: ignore[no-untyped-def]
        if self.stuck:
            self.free.wait(timeout=60)
        return super().plan(request)


def test_an_engine_that_hangs_again_and_again_is_refused_until_it_comes_back() -> None:
    inner = _Stuck()
    engine = GuardedEngine(inner, "stuck", "ill 3.2", deadline_s=0.05)
    for _ in range(HUNG_MAX):
        with pytest.raises(EngineFailed, match="was given up"):
            engine.plan(REQUEST)
    before = threading.active_count()
    with pytest.raises(EngineFailed, match="calls still hanging; restart it"):
        engine.plan(REQUEST)
    assert threading.active_count() == before

    inner.stuck = False
    inner.free.set()
    for thread in threading.enumerate():
        if thread.name == "loopmeter-guard-plan-stuck":
            thread.join(timeout=20)
    assert engine.plan(REQUEST).frames == 176_400


class _Meeting(FakeEngine):
    """Makes a chunk only when ``streams_at_once`` leases have come to it."""

    def __init__(self, streams_at_once: int) -> None:
        self.barrier = threading.Barrier(streams_at_once)
        super().__init__(
            chunk_delay_s=1.0, streams_at_once=streams_at_once, sleep=lambda _: void(self.barrier.wait(timeout=20))
        )


def void(_: object) -> None: ...


def test_a_guard_lets_as_many_leases_run_at_once_as_the_engine_does() -> None:
    engine = guard(_Meeting(3), "fake", "loopmeter 1")
    requests = [REQUEST.model_copy(update={"seed": seed}) for seed in range(3)]
    alone = [make_all(FakeEngine(), request) for request in requests]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda request: make_all(engine, request), requests)) == alone


def test_a_lease_that_is_not_wanted_any_more_stops_within_its_chunk_behind_a_guard() -> None:
    unwanted = threading.Event()

    def step(_: float) -> None:
        unwanted.set()
        check_wanted()

    engine = guard(FakeEngine(chunk_delay_s=1.0, sleep=step), "fake", "loopmeter 1")
    with stop_when(unwanted.is_set), pytest.raises(LeaseStopped):
        make_all(engine, REQUEST)
    unwanted.clear()
    assert next(guard(FakeEngine(), "fake", "loopmeter 1").lease(REQUEST, 0, 1, None)).index == 0


def test_an_engine_that_runs_no_lease_at_all_is_refused() -> None:
    with pytest.raises(EngineFailed, match=r"'fake' of loopmeter 1: expected info with streams_at_once of 1 to 256"):
        guard(FakeEngine(streams_at_once=0), "fake", "loopmeter 1")


def test_the_list_tells_why_an_engine_cannot_run_and_outlives_it(ill: None) -> None:
    entries = {entry.name: entry for entry in engine_names()}
    absent, exits, fake = (describe_engine(entries[name]) for name in ("absent", "exits", "fake"))

    assert "ill 3.2" in absent.problem and "no licence key found" in absent.problem
    assert "engine 'exits' of ill 3.2 ended its process with status 7" in exits.problem
    assert (fake.problem, fake.licence, fake.capabilities) == ("", "Apache-2.0", ("hifi", "live", "midi"))
    assert exits.as_json()["runs"] is False and fake.as_json()["distribution"] == "loopmeter"
