"""From a request to what the pipelines of Stable Audio 3 are asked: three tasks and their fields. No weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopmeter import LoopRequest
from loopmeter_engine.capabilities import refuse_fields
from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engines.audio_in import repainted_latents, repainted_span_s, task_source
from loopmeter_engine.engines.words import worded

STEPS_DISTILLED, STEPS_BASE = 8, 100  # The authors' own.
COVER_STRENGTH = 0.3  # How much of the source is left in the noise that a cover starts from.
TAIL_LATENTS = 1  # Made behind the end of the loop, to lead back into its start.
_NOISE_MIN = 0.01  # The pipeline wants some.


@dataclass(frozen=True)
class Asked:
    """One call of a pipeline: ``task`` says which. ``latents`` is how many frames it makes."""

    task: str
    latents: int
    steps: int
    guidance: float
    words: dict[str, Any] = field(hash=False)
    repainted: tuple[int, int] | None = None  # The latent frames that repaint makes anew.
    source: NDArray[np.float32] | None = field(default=None, hash=False)  # (2, frames)

    @property
    def rows(self) -> int:
        """How many rows each denoising step computes: two under guidance."""
        return 2 if self.guidance > 1.0 else 1


def ask(request: LoopRequest, frames: int, *, sample_rate_hz: int, latent_frames: int, distilled: bool) -> Asked:
    """What is asked for a resolved request of ``frames`` frames.

    Raises:
        InvalidRequest: a field that this task needs is missing, or one that it does not know is there.
    """
    refuse_fields(request, "Stable Audio", ("layers", "midi_base64", "solver"))
    task = request.task or "text2music"
    if request.guidance is not None and (distilled or task != "text2music"):
        why = "it is part of this model's weights" if distilled else f"a {task} is made without it"
        raise InvalidRequest(
            "guidance", f"expected no guidance: {why}, found {request.guidance:g}; leave it out or ask for text2music"
        )
    latents = -(-frames // latent_frames) + TAIL_LATENTS
    words: dict[str, Any] = {
        "prompt": worded(request.prompt, request.tempo_bpm or 0, request.key or ""),
        # One frame less, because the pipeline rounds up and its arithmetic is in floating point.
        "duration": (latents * latent_frames - 1) / sample_rate_hz,
    }
    repainted = None
    if task == "cover":
        strength = COVER_STRENGTH if request.cover_strength is None else request.cover_strength
        words["init_noise_level"] = max(_NOISE_MIN, 1.0 - strength)
    elif task == "repaint":
        repainted = repainted_latents(repainted_span_s(request), latents, sample_rate_hz / latent_frames)
    return Asked(
        task=task,
        latents=latents,
        steps=request.steps or (STEPS_DISTILLED if distilled else STEPS_BASE),
        guidance=request.guidance or 1.0,
        words=words,
        repainted=repainted,
        source=task_source(request, latents * latent_frames, sample_rate_hz),
    )
