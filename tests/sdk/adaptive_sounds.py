"""Sounds that tell where they come from: every take and layer has its own level, and nothing else is in them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from loopmeter.adaptive import Arrangement, Sound, Take

RATE_HZ = 1000
"""A slow rate, so that hours of music take seconds of test."""


def loop_frames(bars: int, beats_per_bar: int, tempo_bpm: float, rate_hz: int = RATE_HZ) -> int:
    return round(bars * beats_per_bar * 60 / tempo_bpm * rate_hz)


def levels(names: list[str]) -> dict[str, float]:
    """A distinct level for each name: powers of two, so that any sum says which of them sound."""
    return {name: 2.0 ** -(index + 2) for index, name in enumerate(names)}


def steady(arrangement: Arrangement, take: Take, frames: int, level: float, rate_hz: int = RATE_HZ) -> Sound:
    """A take whose layers are all at one level from the first frame to the last."""
    names = [section for section in arrangement.sections if section.name == take.name]
    layers = [layer.name for layer in names[0].layers] if names else ["all"]
    return Sound({layer: np.full((frames, 1), level, np.float32) for layer in layers}, rate_hz)


class LateExecutor(Executor):
    """Runs nothing by itself: each call is run when the test says so, or when its time on a manual clock has come."""

    def __init__(self, delay: Callable[[], float]) -> None:
        self._delay = delay
        self._calls: list[tuple[float, Callable[[], Any]]] = []
        self.now_s = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._calls.append((self.now_s + self._delay(), lambda: fn(*args, **kwargs)))
        return Future()

    def run_due(self) -> None:
        due = [call for time_s, call in self._calls if time_s <= self.now_s]
        self._calls = [(time_s, call) for time_s, call in self._calls if time_s > self.now_s]
        for call in due:
            call()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._calls = []
