"""What a conductor says: what is to sound in each stretch of time, and what has happened. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from loopmeter.adaptive._arrangement import Take
from loopmeter.adaptive._grid import Ramp


@dataclass(frozen=True, slots=True)
class Voice:
    """One layer that sounds: from frame ``offset`` of its loop on, times the product of its ``ramps``."""

    take: Take
    layer: str
    offset: int
    ramps: tuple[Ramp, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which the same voices sound and none of them wraps. No voices: silence."""

    start: int
    frames: int
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True)
class SectionStarted:
    """``take`` began at ``frame``. ``asked_frame`` is when it was asked for; ``None`` if it came by itself."""

    frame: int
    take: Take
    asked_frame: int | None


@dataclass(frozen=True, slots=True)
class ChangeLate:
    """``take`` was due at ``frame`` but not loaded; what plays goes on, and the next boundary is tried."""

    frame: int
    take: Take


@dataclass(frozen=True, slots=True)
class ChangeDropped:
    """The change to ``take`` is given up, because it could not be loaded; what plays goes on."""

    frame: int
    take: Take
    reason: str


@dataclass(frozen=True, slots=True)
class LayersChanged:
    """From ``frame`` on the layers of the section move to these gains."""

    frame: int
    gains: dict[str, float]


@dataclass(frozen=True, slots=True)
class StingerStarted:
    """The stinger ``name`` began at ``frame``."""

    frame: int
    name: str


@dataclass(frozen=True, slots=True)
class StingerDropped:
    """It was due at ``frame`` but not loaded. It answers to a moment, so it does not come later."""

    frame: int
    name: str


Event = SectionStarted | ChangeLate | ChangeDropped | LayersChanged | StingerStarted | StingerDropped
