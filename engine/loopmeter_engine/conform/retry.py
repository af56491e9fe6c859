"""Ask again with another seed while the correction would be heard. Bounded; says when even the best is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopmeter_engine.conform.place import CannotConform, ConformReport, conform
from loopmeter_engine.conform.splice import Sound


@dataclass(frozen=True, slots=True)
class Conformed:
    """The loop that needed the least correction, of all seeds that were tried. ``report.audible`` may still be true."""

    sound: Sound
    report: ConformReport
    seed: int
    seeds_tried: int


def conform_one_of(
    make: Callable[[int], NDArray[np.floating]],
    seeds: Iterable[int],
    sample_rate_hz: int,
    *,
    tempo_bpm: float,
    bars: int,
    beats_per_bar: int = 4,
) -> Conformed:
    """The first of ``seeds`` whose sound, ``make(seed)``, conforms without being heard to; else the best of them.

    Raises:
        CannotConform: none of them has beats that could be placed; the last one's reason.
    """
    best: Conformed | None = None
    reason: CannotConform | None = None
    tried = 0
    for seed in seeds:
        tried += 1
        try:
            sound, report = conform(
                make(seed), sample_rate_hz, tempo_bpm=tempo_bpm, bars=bars, beats_per_bar=beats_per_bar
            )
        except CannotConform as error:
            reason = error
            continue
        if best is None or report.correction_percent_max < best.report.correction_percent_max:
            best = Conformed(sound, report, seed, tried)
        if not report.audible:
            break
    if best is None:
        raise reason or CannotConform("expected at least one seed, found none")
    return Conformed(best.sound, best.report, best.seed, tried)
