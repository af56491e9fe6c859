"""Music that follows a game: layers that come and go with its intensity, sections that change on the bar.

``Conductor`` decides, without audio, threads or a clock of its own; ``AdaptivePlayer`` makes it sound. The player, the
sources and the outputs need numpy (``pip install 'loopmeter[play]'``) and are loaded when first named.

Reading order: ``_arrangement.py`` (what there is), ``_conductor.py`` (what happens when), ``_mixer.py``,
``_player.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loopmeter.adaptive._arrangement import Arrangement, Layer, Quantum, Section, Stinger, Take
from loopmeter.adaptive._conductor import Conductor, Manners
from loopmeter.adaptive._events import (
    ChangeDropped,
    ChangeLate,
    Event,
    LayersChanged,
    SectionStarted,
    Span,
    StingerDropped,
    StingerStarted,
    Voice,
)
from loopmeter.adaptive._grid import Grid, Ramp
from loopmeter.adaptive._outputs import Output, RecordingOutput

if TYPE_CHECKING:
    from loopmeter.adaptive._mixer import Sound, mix
    from loopmeter.adaptive._player import AdaptivePlayer
    from loopmeter.adaptive._pygame import PygameOutput
    from loopmeter.adaptive._sounddevice import SounddeviceOutput
    from loopmeter.adaptive._sources import GatewaySource, PackSource, Source

_LATE = {
    "AdaptivePlayer": "_player",
    "GatewaySource": "_sources",
    "PackSource": "_sources",
    "PygameOutput": "_pygame",
    "Sound": "_mixer",
    "SounddeviceOutput": "_sounddevice",
    "Source": "_sources",
    "mix": "_mixer",
}

__all__ = [
    "AdaptivePlayer",
    "Arrangement",
    "ChangeDropped",
    "ChangeLate",
    "Conductor",
    "Event",
    "GatewaySource",
    "Grid",
    "Layer",
    "LayersChanged",
    "Manners",
    "Output",
    "PackSource",
    "PygameOutput",
    "Quantum",
    "Ramp",
    "RecordingOutput",
    "Section",
    "SectionStarted",
    "Sound",
    "SounddeviceOutput",
    "Source",
    "Span",
    "Stinger",
    "StingerDropped",
    "StingerStarted",
    "Take",
    "Voice",
    "mix",
]


def __getattr__(name: str) -> Any:
    """The names that need numpy or a driver, loaded when they are first asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("numpy", "pygame"):
            raise
        package = "pygame-ce" if error.name == "pygame" else error.name
        raise ModuleNotFoundError(
            f"{name} needs {package}; install it with: pip install 'loopmeter[play]'", name=error.name
        ) from error
