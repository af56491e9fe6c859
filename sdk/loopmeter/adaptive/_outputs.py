"""Where sound goes: the contract, and an output that only keeps it, for tests and for machines without a speaker.

The drivers for real devices are in ``_sounddevice.py`` and ``_pygame.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from loopmeter.adaptive._mixer import Samples

Render = Callable[[int], "Samples"]


class Output(Protocol):
    """Something that plays. It asks ``render`` for the next frames, in order, whenever it needs them.

    ``render(frames)`` gives float32 (frames, ``channels``), -1 to 1, at ``sample_rate_hz``; it may be called from any
    one thread at a time.
    """

    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def channels(self) -> int: ...
    def start(self, render: Render) -> None:
        """Begin to play. Called once."""
        ...

    def close(self) -> None:
        """Stop; ``render`` is not called any more once this returns."""
        ...


class RecordingOutput:
    """Plays into memory, and only when told: time passes with ``advance``. ``keep=False`` makes it silent instead.

    output = RecordingOutput()
    player = AdaptivePlayer(arrangement, source, output)
    player.start()
    output.advance(44100)
    sound = output.sound()  # float32 (44100, 2)
    """

    def __init__(self, *, sample_rate_hz: int = 44_100, channels: int = 2, keep: bool = True) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.frames = 0
        self._keep = keep
        self._render: Render | None = None
        self._blocks: list[Samples] = []

    def start(self, render: Render) -> None:
        self._render = render

    def advance(self, frames: int) -> Samples:
        """Let time pass. What sounded meanwhile; zeros before ``start`` and after ``close`` are not kept."""
        import numpy as np

        if self._render is None:
            return np.zeros((frames, self.channels), np.float32)
        block = self._render(frames)
        self.frames += frames
        if self._keep:
            self._blocks.append(block)
        return block

    def sound(self) -> Samples:
        """All that was played and kept, float32 (frames, channels)."""
        import numpy as np

        return np.concatenate([np.zeros((0, self.channels), np.float32), *self._blocks])

    def close(self) -> None:
        self._render = None
