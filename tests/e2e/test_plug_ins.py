"""Engines of other people in a real gateway: what they do wrong costs the customer nothing, and is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.engine.plug_ins import install_ill_behaved

from loopmeter import Loopmeter, LoopNotCompleted, ServerError

from .gateway_process import PROGRAM, GatewayProcess

TOKENS = 5000


@pytest.fixture
def plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    install_ill_behaved(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("engine", "chunks", "said"),
    [
        ("hangs", 1, "expected an answer within 0.5 s"),
        ("miscounts", 2, "as planned, found (2, 32767"),
        ("raises", 1, "found KeyError"),
    ],
)
def test_a_plug_in_that_breaks_costs_only_what_it_delivered(
    plug_ins: None, tmp_path: Path, engine: str, chunks: int, said: str
) -> None:
    gateway = GatewayProcess(tmp_path, engine, "--engine-deadline", "0.5")
    gateway.start()
    try:
        with Loopmeter(gateway.url, api_key=gateway.customer("ada", TOKENS)) as client:
            with pytest.raises(LoopNotCompleted, match=f"engine '{engine}' of ill 3.2") as caught:
                client.loops.create("x", tempo_bpm=120, bars=4)
            job = client.loops.get(caught.value.job_id)
            balance = client.balance()
            assert client.quote("x", tempo_bpm=120, bars=1).frames == 88_200  # The gateway lives.
    finally:
        gateway.stop()
    due = job.tokens_quoted * sum((22_528, 32_768)[:chunks]) // job.frames
    assert (job.state, job.chunks_delivered, job.tokens_charged) == ("failed", chunks, due)
    assert (balance.available, balance.held) == (TOKENS - due, 0)
    assert job.error is not None and said in job.error.detail


def test_a_plug_in_that_cannot_plan_is_named_and_nothing_is_held(plug_ins: None, tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, "overplans")
    gateway.start()
    try:
        with Loopmeter(gateway.url, api_key=gateway.customer("ada", TOKENS), max_retries=0) as client:
            with pytest.raises(ServerError, match=r"engine 'overplans' of ill 3\.2: expected a plan of"):
                client.quote("x", tempo_bpm=120, bars=4)
            assert client.balance().available == TOKENS
    finally:
        gateway.stop()


def test_a_gateway_whose_engine_cannot_be_imported_says_whose_it_is(plug_ins: None, tmp_path: Path) -> None:
    call = [*PROGRAM, "serve", "--engine", "absent", "--port", "0", "--db", f"sqlite:///{tmp_path}/x.db"]
    failed = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert "engine 'absent' of ill 3.2" in failed.stderr and "no licence key found" in failed.stderr
    assert "Traceback" not in failed.stderr
