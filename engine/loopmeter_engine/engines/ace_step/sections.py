"""Pieces longer than what the model hears at once: sections, each a repaint of the silence behind the last.

The model has no task that goes on from a sound. It repaints, though: a section's source is the end of what there is,
with silence behind it, and all of the silence is to be painted. Only what was painted is kept; where it begins, latents
follow latents, and the decoder sees both sides of the joint as it does anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES, SAMPLE_RATE_HZ, TAIL_LATENTS, Asked, duration_s

WINDOW_LATENTS = 15_000  # 600 s: the longest that the model has learned, and the length of its silence.
_CONTEXT_LATENTS = 250  # 10 s
_SEED_STEP = 7_919


@dataclass(frozen=True, slots=True)
class Section:
    """One call of the pipeline, of which the first ``context`` latent frames are what there was before."""

    asked: Asked
    context: int


def sections(asked: Asked, window: int = WINDOW_LATENTS) -> tuple[Section, ...]:
    """The calls that make ``asked``, none longer than ``window`` latent frames. Sources are silence of the right size.

    Raises:
        InvalidRequest: a task that has a source, longer than the window. The model hears a source as a whole: two
            parts of a cover, each by itself, would be two performances, with a break where they meet.
    """
    if asked.latents <= window:
        return (Section(asked, 0),)
    if asked.source is not None:
        longest_s, found_s = ((n - TAIL_LATENTS) * LATENT_FRAMES / SAMPLE_RATE_HZ for n in (window, asked.latents))
        raise InvalidRequest(
            "bars",
            f"expected a piece of at most {longest_s:.2f} s for {asked.words['task_type']}, which hears its source as "
            f"a whole, found {found_s:.2f} s; ask for fewer bars, or make it in parts",
        )
    found, made = [Section(_lasting(asked, window), 0)], window
    context = min(_CONTEXT_LATENTS, window // 3)
    while made < asked.latents:
        length = min(window, context + asked.latents - made)
        found.append(Section(_repainting(_lasting(asked, length), context), context))
        made += length - context
    return tuple(found)


def drawn(
    parts: tuple[Section, ...],
    latents_of: Callable[[Asked, int], Tensor],
    decode: Callable[[Tensor], Tensor],
    seed: int,
) -> Tensor:
    """(T, width): all sections, one behind the other. ``decode`` gives the sound of latents, (2, frames)."""
    made = latents_of(parts[0].asked, seed)
    for number, part in enumerate(parts[1:], 1):
        known = decode(made[-part.context :]).numpy()
        silence = np.zeros((2, part.asked.latents * LATENT_FRAMES - known.shape[1]), np.float32)
        asked = replace(part.asked, source=np.concatenate([known, silence], axis=1))
        painted = latents_of(asked, seed + number * _SEED_STEP)
        made = torch.cat([made, painted[part.context :]])
    return made


def _lasting(asked: Asked, latents: int) -> Asked:
    words = asked.words | {"audio_duration": duration_s(latents)}
    return replace(asked, latents=latents, words=words)


def _repainting(asked: Asked, context: int) -> Asked:
    latent_s = LATENT_FRAMES / SAMPLE_RATE_HZ
    span = {
        "task_type": "repaint",
        "repainting_start": (context + 0.5) * latent_s,  # Half a frame more, so that rounding down gives this one.
        "repainting_end": (asked.latents + 0.5) * latent_s,
    }
    silence = np.broadcast_to(np.float32(0.0), (2, asked.latents * LATENT_FRAMES))
    return replace(asked, words=asked.words | span, source=silence)
