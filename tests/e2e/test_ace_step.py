"""All tasks of ACE-Step, from the SDK through a real gateway and its ledger to sound. Tiny random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.tiny_ace_step import save_tiny
from tests.engine.ace_step.conftest import make_source
from tests.engine.ace_step.test_ace_step import TASKS

from loopmeter import Loopmeter

from .gateway_process import GatewayProcess


@pytest.mark.timeout(360)  # Six loops, after diffusers and transformers were imported twice: seconds, but many.
def test_every_task_is_sold_at_its_quote_to_the_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPMETER_ACE_STEP_DIR", str(save_tiny(tmp_path / "checkpoint")))
    gateway = GatewayProcess(tmp_path, "ace-step")
    gateway.start()
    tokens = 10_000
    source = make_source()
    try:
        with Loopmeter(gateway.url, api_key=gateway.customer("ada", tokens), patience_s=120) as client:
            for task, fields in TASKS.items():
                audio = {} if task == "text2music" else {"source_audio_base64": source}
                asked = {"tempo_bpm": 120, "bars": 1, "steps": 2, "task": task, **fields, **audio}
                quote = client.quote("dusty drums", **asked)
                made = client.loops.create("dusty drums", quote=quote, **asked)
                tokens -= quote.tokens
                assert (made.frames, len(made.pcm)) == (96_000, 192_000)
                assert made.tokens_charged == quote.tokens
                assert client.balance().available == tokens
    finally:
        gateway.stop()
