"""A clock, a mixer and an output as one: commands from the event loop, sound in the audio thread, events back."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from loopmeter_integrations.clocks import Clock, Timeline
from loopmeter_integrations.playback._mixer import DECKS_MAX, Command, Event, Frames, Happened, Mixer
from loopmeter_integrations.playback._outputs import Output, OutputError

REOPEN_S = 1.0
_COMMANDS_MAX = 1024

OutputState = Literal["plays", "lost"]
OnOutput = Callable[[OutputState, str], None]

log = logging.getLogger("loopmeter.osc")


class Player:
    """Play loops in time. ``on_event`` is called in the event loop that runs when the player is made.

    An output that goes is tried again every ``REOPEN_S``; ``on_output`` hears of both, and why. Meanwhile the clock
    goes on and commands are kept, so that everything sounds at its place again.

    >>> player = Player(OwnClock(120, time.monotonic()), JackOutput(), print)  # doctest: +SKIP
    >>> player.start()                                                        # doctest: +SKIP
    >>> player.do(Play(0, read_sound(path, 16, player.rate_hz), 4))           # doctest: +SKIP
    """

    def __init__(
        self,
        clock: Clock,
        output: Output,
        on_event: Callable[[Event], None],
        on_output: OnOutput = lambda _state, _why: None,
        decks: int = DECKS_MAX,
    ) -> None:
        self.clock = clock
        self.output = output
        self.state: OutputState = "lost"
        self.why = ""
        self._on_event = on_event
        self._on_output = on_output
        self._mixer = Mixer(output.rate_hz, decks)
        self._commands: deque[Command] = deque(maxlen=_COMMANDS_MAX)
        self._loop = asyncio.get_running_loop()
        self._opening = threading.Lock()
        self._reopening: asyncio.Task[None] | None = None
        self._losses = 0
        self._closed = False

    @property
    def rate_hz(self) -> int:
        return self.output.rate_hz

    def start(self) -> None:
        """Raises ``OutputError``."""
        self.output.start(self._render, self._lost)
        self.state = "plays"

    def do(self, command: Command) -> None:
        """Hand a command to the audio thread; it counts from its next block on."""
        self._commands.append(command)

    def timeline(self) -> Timeline:
        return self.clock.timeline(time.monotonic())

    def close(self) -> None:
        self._closed = True
        if self._reopening is not None:
            self._reopening.cancel()
        with self._opening:
            self.output.close()
        self.clock.close()

    def _lost(self, why: str) -> None:
        """In any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_again, why)

    def _begin_again(self, why: str) -> None:
        self._losses += 1
        if not self._closed and (self._reopening is None or self._reopening.done()):
            self._reopening = self._loop.create_task(self._reopen(why))

    async def _reopen(self, why: str) -> None:
        self._change("lost", why)
        while True:
            losses = self._losses
            failure = await asyncio.to_thread(self._open_again)
            if failure is None and losses == self._losses:
                break
            if failure is not None and failure != why:
                self._change("lost", why := failure)
            await asyncio.sleep(REOPEN_S)
        self._change("plays", "")

    def _open_again(self) -> str | None:
        """What is in the way, or ``None``. In a worker thread, which cannot be cancelled: hence the lock."""
        with self._opening:
            if self._closed:
                return None
            self.output.close()
            try:
                self.output.start(self._render, self._lost)
            except OutputError as error:
                return error.message
            return None

    def _change(self, state: OutputState, why: str) -> None:
        log.info("output %s: %s", state, why)
        self.state, self.why = state, why
        self._on_output(state, why)

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
