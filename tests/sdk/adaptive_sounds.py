"""What the tests of adaptive music share: grids by brute force, sounds that tell where they come from, late loads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from fractions import Fraction
from typing import Any

import numpy as np

from loopmeter.adaptive import Quantum, Section, Sound


def first_on_grid(section: Section, entered: int, frames: int, quantum: Quantum, frame: int) -> int:
    """The first boundary at or after a frame: every boundary of two rounds, in exact arithmetic."""
    bar = section.beats_per_bar
    beats = section.bars * bar
    step = {"beat": 1, "bar": bar, "phrase": bar * section.phrase_bars, "end": beats}[quantum]
    base = entered + (frame - entered) // frames * frames
    places = [
        base + shift + int(Fraction(beat * frames, beats) + Fraction(1, 2))
        for shift in (0, frames)
        for beat in range(0, beats, step)
    ]
    return min(place for place in places if place >= frame)


def steady(frames: int, levels: dict[str, float], rate_hz: int) -> Sound:
    """Layers that are at one level from their first frame to their last. Takes no memory."""
    layers = {name: np.broadcast_to(np.float32(level), (frames, 1)) for name, level in levels.items()}
    return Sound(layers, rate_hz)


class LateExecutor(Executor):
    """Runs a call when its time has come on a clock that the test moves: ``now_s``."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._calls: list[tuple[float, Callable[[], Any]]] = []
        self.now_s = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._calls.append((self.now_s + self._delay_s(), lambda: fn(*args, **kwargs)))
        return Future()

    def run_due(self) -> None:
        due = [call for time_s, call in self._calls if time_s <= self.now_s]
        self._calls = [(time_s, call) for time_s, call in self._calls if time_s > self.now_s]
        for call in due:
            call()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._calls = []
