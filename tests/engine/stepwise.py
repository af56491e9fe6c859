"""The contract for engines of other people's models, which work in steps: one more promise, and how work is counted."""

from __future__ import annotations

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from loopmeter import LoopRequest
from loopmeter_engine.contract import Chunk, Engine
from loopmeter_engine.stopping import LeaseStopped, stop_when
from loopmeter_engine.testing import EngineContract, make_all


class StepwiseContract(EngineContract):
    def test_a_lease_that_nobody_wants_stops_between_two_steps(self, engine: Engine) -> None:
        asked: list[bool] = []

        def unwanted() -> bool:
            asked.append(len(asked) == 1)
            return asked[-1]

        request = self.short.model_copy(update={"seed": 404})
        if request.steps == 1:
            request = request.model_copy(update={"steps": 2})
        with stop_when(unwanted), pytest.raises(LeaseStopped):
            next(engine.lease(request, 0, 1, None))
        assert asked == [False, True]
        assert make_all(engine, request)[0].frames > 0


def made_as_predicted(engine: Engine, request: LoopRequest) -> list[Chunk]:
    """The whole loop, after comparing its work with the plan's: exact in the usage, within 1 % of what torch counts."""
    plan = engine.plan(request)
    # The CPU's fused attention is not counted by torch; the plain one multiplies the same matrices.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        chunks = make_all(engine, request)
    assert plan.flops == sum(chunk.usage.flops for chunk in chunks)
    assert plan.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    return chunks
