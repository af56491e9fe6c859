"""Reading the rows of tonal patterns: which step starts what, and how long it is held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from loopmeter_engine.planner.genres.model import steps_of
from loopmeter_engine.planner.grid import Frame, slots


@dataclass(frozen=True, slots=True)
class Strike:
    """One start in a bar. ``mark`` is the row's character; times are straight beats, ``onset_beats`` in the loop."""

    mark: str
    onset_beats: float
    length_beats: float


def strikes(row: str, frame: Frame, bar: int) -> list[Strike]:
    """The starts of one bar. ``-`` lengthens; a row of 32 steps has an even and an odd bar."""
    start = bar * frame.beats_per_bar
    return [
        Strike(s.mark, start + s.onset_beats, s.length_beats)
        for s in _in_bar(row, frame.beats_per_bar, bar % 2, frame.waltz)
    ]


@cache
def _in_bar(row: str, beats_per_bar: int, parity: int, waltz: int) -> tuple[Strike, ...]:
    text = steps_of(row)
    found: list[Strike] = []
    holding = False
    for slot in slots(beats_per_bar, parity, waltz):
        mark = text[(slot.step + 16 * parity) % len(text)]
        if mark == "-" and holding:
            last = found[-1]
            found[-1] = Strike(last.mark, last.onset_beats, slot.onset_beats + slot.length_beats - last.onset_beats)
        elif mark in ".-":
            holding = False
        else:
            found.append(Strike(mark, slot.onset_beats, slot.length_beats))
            holding = True
    return tuple(found)
