"""The clock and the output that a bridge was asked for. Loads only what that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from loopmeter_integrations.clocks import Clock, ClockError, JackTransportClock, LinkClock, MidiClock, OwnClock
from loopmeter_integrations.osc._stage import Stage, Told

if TYPE_CHECKING:
    from loopmeter_integrations.playback import Event, OnOutput, Output, Player

ClockName = Literal["own", "link", "midi", "jack"]
OutputName = Literal["none", "jack", "portaudio"]


@dataclass(frozen=True, slots=True)
class Instruments:
    """How to play. ``tempo_bpm`` is where our own clock begins, and a Link session that nobody else is in.

    ``device`` is PortAudio's, ``jack_server`` and ``jack_client`` are JACK's names. ``latency_s`` is what the hardware
    adds after JACK.
    """

    play: OutputName = "none"
    clock: ClockName = "own"
    tempo_bpm: float = 120.0
    beats_per_bar: int = 4
    device: str | None = None
    jack_server: str | None = None
    jack_client: str = "loopmeter"
    latency_s: float = 0.0

    def stage(self, told: Told) -> Stage:
        """Build it, inside the event loop.

        Raises:
            ClockError: the clock is missing, or needs JACK.
            OutputError: the output is missing.
        """
        clock = self._clock()
        if self.play == "none":
            return Stage(told, clock, self.beats_per_bar)
        return Stage(told, clock, self.beats_per_bar, self._player(clock))

    def _clock(self) -> Clock:
        if self.clock in ("midi", "jack") and self.play != "jack":
            raise ClockError(f"expected --play jack beside --clock {self.clock}, found --play {self.play}")
        match self.clock:
            case "link":
                return LinkClock(self.tempo_bpm, self.beats_per_bar)
            case "midi":
                return MidiClock()
            case "jack":
                return JackTransportClock(self.tempo_bpm)
            case "own":
                return OwnClock(self.tempo_bpm, time.monotonic())

    def _player(self, clock: Clock) -> Callable[[Callable[[Event], None], OnOutput], Player]:
        from loopmeter_integrations.playback import Player

        output = self._output(clock)
        return lambda on_event, on_output: Player(clock, output, on_event, on_output)

    def _output(self, clock: Clock) -> Output:
        from loopmeter_integrations.playback import JackOutput, PortAudioOutput

        if self.play == "portaudio":
            return PortAudioOutput(self.device)
        return JackOutput(
            self.jack_client,
            server=self.jack_server,
            midi=clock if isinstance(clock, MidiClock) else None,
            transport=clock if isinstance(clock, JackTransportClock) else None,
            latency_s=self.latency_s,
        )
