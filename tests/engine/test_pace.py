"""A plan's first sound and rate, from the speed that its engine has shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopmeter import LoopRequest
from loopmeter_engine.fake import SAMPLE_RATE_HZ, FakeEngine
from loopmeter_engine.guard import guard
from loopmeter_engine.pace import Speedometer
from loopmeter_engine.testing import make_all

REQUEST = LoopRequest(prompt="x", tempo_bpm=120, bars=2)


def test_the_prediction_is_what_the_device_did_per_operation() -> None:
    """The fake's device makes forty seconds of sound in one."""
    engine = guard(FakeEngine(), "fake", "loopmeter 1")
    plan = engine.plan(REQUEST)
    assert engine.pace(plan) is None
    make_all(engine, REQUEST)
    pace = engine.pace(plan)
    assert pace is not None
    assert pace.rate == pytest.approx(40.0)
    assert pace.first_sound_s == pytest.approx(plan.chunk_frames[0] / SAMPLE_RATE_HZ / 40.0)
    longer = engine.pace(engine.plan(REQUEST.model_copy(update={"bars": 64, "steps": 50})))
    assert longer is not None and longer.rate < pace.rate and longer.first_sound_s > pace.first_sound_s


def test_the_chunk_that_loaded_the_weights_and_single_slow_ones_do_not_count() -> None:
    speed, engine = Speedometer(), FakeEngine()
    plan, chunks = engine.plan(REQUEST), make_all(engine, REQUEST)
    slow = replace(chunks[1], usage=replace(chunks[1].usage, device_seconds=60.0))
    speed.count(replace(chunks[0], usage=replace(chunks[0].usage, device_seconds=60.0)))
    assert speed.pace(plan) is None
    for chunk in (chunks[0], chunks[1], slow, chunks[1]):
        speed.count(chunk)
    pace = speed.pace(plan)
    assert pace is not None and pace.rate == pytest.approx(40.0)


def test_a_plan_that_does_not_tell_its_first_chunk_has_no_prediction() -> None:
    speed, engine = Speedometer(), FakeEngine()
    for chunk in make_all(engine, REQUEST):
        speed.count(chunk)
    assert speed.pace(replace(engine.plan(REQUEST), first_chunk_flops=0)) is None
