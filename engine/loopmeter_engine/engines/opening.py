"""Open engines of other people's models: their weights are looked for before the libraries that run them are imported.

So who has none is told so at once. Nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from loopmeter_engine.contract import Engine
from loopmeter_engine.engines.safetensors_check import CheckpointFault


class Weights(NamedTuple):
    """Where the weights of a model may be: in the folder that a variable names, or in the hub's local cache."""

    what: str
    variable: str
    hub_names: tuple[str, ...]
    advice: str  # How to get some.


ACE_STEP = Weights(
    "an ACE-Step 1.5 checkpoint",
    "LOOPMETER_ACE_STEP_DIR",
    # Conversions to diffusers' layout by the model's authors.
    ("ACE-Step/acestep-v15-xl-turbo-diffusers", "ACE-Step/acestep-v15-xl-base-diffusers"),
    "fetch one: hf download ACE-Step/acestep-v15-xl-turbo-diffusers",
)
MUSICGEN = Weights(
    "a MusicGen checkpoint",
    "LOOPMETER_MUSICGEN_DIR",
    ("facebook/musicgen-small", "facebook/musicgen-medium", "facebook/musicgen-large"),
    # The rest of what is published are pickles, with which a folder is refused.
    "fetch one: hf download facebook/musicgen-small --include '*.safetensors' '*.json'",
)
STABLE_AUDIO = Weights(
    "a Stable Audio 3 checkpoint in diffusers' layout",
    "LOOPMETER_STABLE_AUDIO_DIR",
    (),  # None is published in this layout.
    "convert stabilityai/stable-audio-3-medium with diffusers' scripts/convert_stable_audio_3_to_diffusers.py",
)


def find_weights(weights: Weights, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of a model's weights.

    Raises:
        CheckpointFault: no variable names one, and the cache has none.
    """
    if environment.get(weights.variable):
        return Path(environment[weights.variable])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in weights.hub_names:
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, FileNotFoundError):
            continue
    cache = " and none in the hub's cache" if weights.hub_names else ""
    raise CheckpointFault(
        f"expected the folder of {weights.what} in {weights.variable}, found none there{cache}; {weights.advice}"
    )


def ace_step() -> Engine:
    """Raises ``CheckpointFault``, as all of these."""
    folder = find_weights(ACE_STEP)
    from loopmeter_engine.engines.ace_step import AceStepEngine

    return AceStepEngine(folder)


def musicgen() -> Engine:
    folder = find_weights(MUSICGEN)
    from loopmeter_engine.engines.musicgen import MusicGenEngine

    return MusicGenEngine(folder)


def stable_audio() -> Engine:
    folder = find_weights(STABLE_AUDIO)
    from loopmeter_engine.engines.stable_audio import StableAudioEngine

    return StableAudioEngine(folder)
