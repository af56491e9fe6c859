"""The wire types that client, gateway and engine share. Nothing here does I/O.

Read ``LoopRequest`` first: it is the one description of a loop, from the SDK call over the price to the engine.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Quality = Literal["standard", "hifi"]
Layer = Literal["drums", "bass", "chords", "lead", "pad", "fx"]
Solver = Literal["euler", "heun", "ab2"]
LAYERS: tuple[Layer, ...] = ("drums", "bass", "chords", "lead", "pad", "fx")

_KEY = re.compile(r"^([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|maj|major)?$")


class LoopRequest(BaseModel):
    """One loop, as asked for. ``None`` means: taken from the prompt's words, else from the genre's habit.

    The length is exact: ``round(bars * beats_per_bar * 60 / tempo_bpm * sample_rate_hz)`` frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    tempo_bpm: Annotated[float, Field(ge=40, le=240)] | None = None
    bars: Annotated[int, Field(ge=1, le=256)] | None = None
    beats_per_bar: Annotated[int, Field(ge=2, le=6)] = 4
    key: str | None = None
    quality: Quality = "standard"
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    model: str = "loopmeter"
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] | None = None
    solver: Solver | None = None
    steps: Annotated[int, Field(ge=1, le=100)] | None = None
    guidance: Annotated[float, Field(ge=0, le=10)] | None = None
    midi_base64: Annotated[str, Field(max_length=400_000)] | None = None

    @field_validator("key")
    @classmethod
    def _key_is_spelled_right(cls, value: str | None) -> str | None:
        if value is not None and _KEY.match(value.strip()) is None:
            raise ValueError(f"expected a key such as 'Am', 'F#' or 'Eb minor', found {value!r}")
        return None if value is None else value.strip()

    @field_validator("layers")
    @classmethod
    def _layers_are_distinct(cls, value: tuple[Layer, ...] | None) -> tuple[Layer, ...] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError(f"expected each layer once, found {list(value)}")
        return value
