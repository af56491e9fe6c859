"""From a request to what the pipeline is asked: the six tasks, their fields, the words of the prompt. No weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopmeter import LoopRequest
from loopmeter_engine.capabilities import refuse_fields
from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engines.audio_in import decode_audio, repainted_latents, repainted_span_s, task_source
from loopmeter_engine.engines.words import key_words

SAMPLE_RATE_HZ = 48_000
LATENT_FRAMES = 1_920  # Frames of sound per latent frame: 40 ms.
TAIL_LATENTS = 3  # Made behind the end of the loop, to lead back into its start.
STEPS_TURBO, STEPS_BASE = 8, 50
GUIDANCE_BASE = 7.0
SHIFT = 3.0
INSTRUMENTAL = "[Instrumental]"


@dataclass(frozen=True)
class Asked:
    """One call of the pipeline. ``latents`` is how many frames it makes; source and reference are (2, frames)."""

    latents: int
    steps: int
    guidance: float
    words: dict[str, Any] = field(hash=False)
    source: NDArray[np.float32] | None = field(default=None, hash=False)
    reference: NDArray[np.float32] | None = field(default=None, hash=False)

    @property
    def rows(self) -> int:
        """How many rows each denoising step computes: two under guidance."""
        return 2 if self.guidance > 1.0 else 1

    @property
    def repainted(self) -> tuple[int, int] | None:
        """The latent frames that repaint makes anew; the others are the source's."""
        if self.words["task_type"] != "repaint":
            return None
        span_s = self.words["repainting_start"], self.words["repainting_end"]
        return repainted_latents(span_s, self.latents, SAMPLE_RATE_HZ / LATENT_FRAMES)


def ask(request: LoopRequest, frames: int, *, is_turbo: bool) -> Asked:
    """What the pipeline is asked for a resolved request of ``frames`` frames.

    Raises:
        InvalidRequest: a field that this task needs is missing, or one that it does not know is there.
    """
    _refuse_unknown(request, is_turbo)
    latents = math.ceil(frames / LATENT_FRAMES) + TAIL_LATENTS
    task = request.task or "text2music"
    source = task_source(request, latents * LATENT_FRAMES, SAMPLE_RATE_HZ)
    reference = None
    if request.reference_audio_base64 is not None:
        reference = decode_audio("reference_audio_base64", request.reference_audio_base64, SAMPLE_RATE_HZ)
    words: dict[str, Any] = {
        "prompt": request.prompt,
        "lyrics": request.lyrics or INSTRUMENTAL,
        "vocal_language": request.language or "en",
        "audio_duration": duration_s(latents),
        "bpm": round(request.tempo_bpm or 0),
        "keyscale": key_words(request.key or ""),
        "timesignature": str(request.beats_per_bar),
        "shift": request.shift or SHIFT,
        "task_type": task,
    }
    words |= _task_words(request, task)
    return Asked(
        latents=latents,
        steps=request.steps or (STEPS_TURBO if is_turbo else STEPS_BASE),
        guidance=1.0 if is_turbo else GUIDANCE_BASE if request.guidance is None else request.guidance,
        words=words,
        source=source,
        reference=reference,
    )


def duration_s(latents: int) -> float:
    """For how many seconds to ask so that the pipeline, which rounds up, makes so many latent frames.

    Their exact length is for one number in fourteen a bit too much: 0.56 s times 25 is above 14.
    """
    seconds = latents * LATENT_FRAMES / SAMPLE_RATE_HZ
    while math.ceil(seconds * (SAMPLE_RATE_HZ / LATENT_FRAMES)) > latents:
        seconds = math.nextafter(seconds, 0.0)
    return seconds


def _refuse_unknown(request: LoopRequest, is_turbo: bool) -> None:
    refuse_fields(request, "ACE-Step", ("layers", "midi_base64", "solver"))
    if is_turbo and request.guidance is not None:
        raise InvalidRequest(
            "guidance",
            f"expected no guidance: it is part of this turbo model's weights, found {request.guidance:g}; leave it out",
        )


def _task_words(request: LoopRequest, task: str) -> dict[str, Any]:
    if task == "cover":
        return {"audio_cover_strength": 1.0 if request.cover_strength is None else request.cover_strength}
    if task in ("extract", "lego"):
        if request.track is None:
            raise InvalidRequest("track", f"expected the track to {task}, found none; name one")
        return {"track_name": request.track}
    if task == "complete":
        return {"complete_track_classes": list(request.tracks or ())}
    if task == "repaint":
        start_s, end_s = repainted_span_s(request)
        return {"repainting_start": start_s, "repainting_end": end_s}
    return {}
