"""From the sixteen steps of a pattern to beats, in any meter and swing.

A pattern is one bar of four beats. Other meters reuse its beats, so that a genre keeps its face:

=====  =======================================================================================================
beats  bar
=====  =======================================================================================================
2      halves of the pattern in turn
3      beats 1, 2, 4 (the backbeat twice, as in a rock waltz), or 1, 3, 4, for a whole piece
5      beats 1, 2, 4 and 3, 4: three and two
6      compound: two pulses of three beats; each holds one beat of the pattern as a shuffle, halves in turn
=====  =======================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

STEPS = 16
_SOURCE_BEATS = {2: ((0, 1), (2, 3)), 4: ((0, 1, 2, 3),), 5: ((0, 1, 3, 2, 3),)}
_WALTZES = ((0, 1, 3), (0, 2, 3))
_SHUFFLE = ((0.0, 1.0), (1.0, 1.0), (2.0, 0.5), (2.5, 0.5))  # Onset and length of a beat's four steps.


@dataclass(frozen=True, slots=True)
class Slot:
    """One step of a bar: where it comes from in the pattern, where it stands in the bar."""

    step: int
    onset_beats: float
    length_beats: float


@cache
def slots(beats_per_bar: int, parity: int, waltz: int = 0) -> tuple[Slot, ...]:
    """The steps of an even (0) or odd (1) bar, in order of onset, without gaps."""
    if beats_per_bar == 6:
        half = 2 * parity
        return tuple(
            Slot(4 * (half + pulse) + i, 3.0 * pulse + onset, length)
            for pulse in (0, 1)
            for i, (onset, length) in enumerate(_SHUFFLE)
        )
    sources = (_WALTZES[waltz % 2],) if beats_per_bar == 3 else _SOURCE_BEATS[beats_per_bar]
    beats = sources[parity % len(sources)]
    return tuple(Slot(4 * beat + i, at + 0.25 * i, 0.25) for at, beat in enumerate(beats) for i in range(4))


@dataclass(frozen=True, slots=True)
class Swing:
    """Delay of every second unit (``unit_beats`` 0.25 or 0.5); ``amount`` 1.0 makes pairs into 2:1 triplets."""

    amount: float
    unit_beats: float

    def warp(self, beats: float) -> float:
        """Swung time of a straight time: continuous and rising, so that order and lengths survive."""
        pair = 2.0 * self.unit_beats
        whole, phase = divmod(beats, pair)
        middle = self.unit_beats * (1.0 + self.amount / 3.0)
        if phase < self.unit_beats:
            return whole * pair + phase * middle / self.unit_beats
        return whole * pair + middle + (phase - self.unit_beats) * (pair - middle) / self.unit_beats


@dataclass(frozen=True, slots=True)
class Frame:
    """The outer measure of a piece, shared by all writers. ``phrase`` is in bars."""

    bars: int
    beats_per_bar: int
    swing: Swing
    waltz: int = 0
    phrase: int = 4

    @property
    def beats(self) -> int:
        return self.bars * self.beats_per_bar

    def slots(self, bar: int) -> tuple[Slot, ...]:
        return slots(self.beats_per_bar, bar % 2, self.waltz)

    def closes_phrase(self, bar: int) -> bool:
        return bar == self.bars - 1 or bar % self.phrase == self.phrase - 1

    def section(self, bar: int) -> int:
        """0 or 1: sections of eight bars go A A B A, so that long pieces go somewhere and come back."""
        return 1 if self.bars > 8 and (bar // 8) % 4 == 2 else 0

    def is_break(self, bar: int) -> bool:
        """Whether the drums thin out: the first half of every fourth section, in pieces long enough for it."""
        return self.bars >= 32 and bar % 32 in (24, 25, 26, 27)
