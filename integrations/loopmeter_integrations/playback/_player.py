"""A clock, a mixer and an output as one: commands from the event loop, sound in the audio thread, events back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from loopmeter_integrations.clocks import Clock, Timeline
from loopmeter_integrations.playback._mixer import DECKS_MAX, Command, Event, Frames, Happened, Mixer
from loopmeter_integrations.playback._outputs import Output

_COMMANDS_MAX = 1024


class Player:
    """Play loops in time. ``on_event`` is called in the event loop that runs when the player is made.

    >>> player = Player(OwnClock(120, time.monotonic()), JackOutput(), print)  # doctest: +SKIP
    >>> player.start()                                                        # doctest: +SKIP
    >>> player.do(Play(0, read_sound(path, 16, player.rate_hz), 4))           # doctest: +SKIP
    """

    def __init__(self, clock: Clock, output: Output, on_event: Callable[[Event], None], decks: int = DECKS_MAX) -> None:
        self.clock = clock
        self._output = output
        self._on_event = on_event
        self._mixer = Mixer(output.rate_hz, decks)
        self._commands: deque[Command] = deque(maxlen=_COMMANDS_MAX)
        self._loop = asyncio.get_running_loop()

    @property
    def rate_hz(self) -> int:
        return self._output.rate_hz

    def start(self) -> None:
        """Raises ``OutputError``."""
        self._output.start(self._render)

    def do(self, command: Command) -> None:
        """Hand a command to the audio thread; it counts from its next block on."""
        self._commands.append(command)

    def timeline(self) -> Timeline:
        return self.clock.timeline(time.monotonic())

    def close(self) -> None:
        self._output.close()
        self.clock.close()

    def _render(self, count: int, time_s: float) -> Frames:
        events: list[Event] = []
        while self._commands:
            events += self._mixer.apply(self._commands.popleft())
        line = self.clock.timeline(time_s)
        first = self._mixer.frame
        block, happened = self._mixer.render(count, line.beat_at(time_s), line.tempo_bpm)
        for event in events + happened:
            # What happens is told when it is heard.
            ahead = event.frame - first if isinstance(event, Happened) else 0
            self._tell(event, time_s + ahead / self.rate_hz if ahead else 0.0)
        return block

    def _tell(self, event: Event, at_s: float) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell_at, event, at_s)

    def _tell_at(self, event: Event, at_s: float) -> None:
        self._loop.call_later(max(0.0, at_s - time.monotonic()), self._on_event, event)
