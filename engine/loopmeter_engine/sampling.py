"""How a stream is denoised: solver, steps, guidance, and whether by the student; all defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from loopmeter import LoopRequest, Solver

LOOP_S_MAX = 60.0  # What is longer is denoised as what lasts.


@dataclass(frozen=True)
class Sampling:
    """The defaults serve loops best where there is no student, ``LASTING`` what goes on for minutes: of two steps a
    little blur stays, which gathers in the memory (docs/training-log.md).
    """

    solver: Solver = "euler"
    steps: int = 2
    guidance: float = 1.5
    student: bool = False  # The distilled network, which needs one step and has the guidance in its weights.

    @property
    def rows(self) -> int:
        """How many rows a pass computes: two under guidance."""
        return 2 if self.guidance != 1.0 else 1


DISTILLED = Sampling("euler", 1, 1.0, student=True)
LASTING = Sampling("ab2", 4, 1.0)


def sampling_of(request: LoopRequest, *, has_student: bool) -> Sampling:
    """A resolved request's choices over the defaults.

    The student serves whoever leaves all to the engine, or asks for one step. Guidance, and the later start of a
    variation, it does not know.
    """
    assert request.tempo_bpm is not None and request.bars is not None
    duration_s = request.bars * request.beats_per_bar * 60 / request.tempo_bpm
    one_step = request.steps == 1 or (request.steps is None and request.solver is None and duration_s <= LOOP_S_MAX)
    guided = request.guidance is not None or request.negative_prompt is not None
    if has_student and one_step and not guided and request.task != "cover":
        return DISTILLED
    default = Sampling() if duration_s <= LOOP_S_MAX else LASTING
    if request.negative_prompt is not None:  # Without guidance nothing would heed it.
        default = dataclasses.replace(default, guidance=Sampling().guidance)
    return Sampling(
        solver=request.solver or default.solver,
        steps=request.steps or default.steps,
        guidance=default.guidance if request.guidance is None else request.guidance,
    )
