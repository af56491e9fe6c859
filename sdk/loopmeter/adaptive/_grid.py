"""Where the beats, bars and phrases of a repeating loop lie, in frames; and gains that move along a line. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from loopmeter.adaptive._arrangement import Quantum, Section


@dataclass(frozen=True, slots=True)
class Ramp:
    """A gain that goes from ``before`` to ``after`` in ``frames`` frames from ``start`` on, and stays there.

    It is a function of the frame alone, so that sound comes out the same however it is cut into blocks.
    """

    start: int
    frames: int
    before: float
    after: float

    @classmethod
    def constant(cls, gain: float) -> Ramp:
        return cls(0, 0, gain, gain)

    @property
    def end(self) -> int:
        return self.start + self.frames

    def at(self, frame: int) -> float:
        if frame >= self.end:
            return self.after
        if frame <= self.start:
            return self.before
        return self.before + (self.after - self.before) * (frame - self.start) / self.frames


@dataclass(frozen=True, slots=True)
class Grid:
    """A section's loop of ``frames`` frames that began at frame ``entered`` and repeats from there on.

    Beat ``j`` of ``n`` is at ``j * frames / n``, rounded to the frame (half up), counted anew in each round.
    """

    section: Section
    entered: int
    frames: int

    def offset(self, frame: int) -> int:
        """The frame inside the loop that sounds at ``frame``."""
        return (frame - self.entered) % self.frames

    def wrap_after(self, frame: int) -> int:
        """The next frame at which the loop begins anew."""
        return frame + self.frames - self.offset(frame)

    def next(self, quantum: Quantum, frame: int) -> int:
        """The first boundary at or after ``frame``. The loop's end is a boundary of every quantum."""
        if quantum == "now":
            return frame
        step, count = self._steps(quantum)
        offset = self.offset(frame)
        first = max(0, offset * count // (self.frames * step) - 1)  # A step early: rounding may have moved it.
        for index in range(first * step, count, step):
            place = (2 * index * self.frames + count) // (2 * count)
            if place >= offset:
                return frame - offset + place
        return frame - offset + self.frames if offset else frame

    def _steps(self, quantum: Quantum) -> tuple[int, int]:
        """Beats from one boundary to the next, and beats in the loop."""
        beats = self.section.bars * self.section.beats_per_bar
        bar = self.section.beats_per_bar
        steps = {"beat": 1, "bar": bar, "phrase": bar * self.section.phrase_bars, "end": beats}
        return steps[quantum], beats
