"""MIDI clock: 24 pulses to a beat, start, stop, continue and song position. Pure: bytes and their times come in.

A single pulse may be a millisecond off, so beat and tempo are those of the straight line through the last beat's
pulses; a jump of more than a fifth of a pulse begins a new line.
"""

from __future__ import annotations

from collections import deque

from loopmeter_integrations.clocks._clock import ClockError, Timeline

PULSES_PER_BEAT = 24
SIXTEENTHS_PER_BEAT = 4
SILENCE_S = 0.5  # A clock without a pulse for so long has stopped.


class MidiClock:
    """Follows the pulses given to ``receive``. Stands still until a start and two pulses have come."""

    source = "midi"
    peers = 0

    def __init__(self) -> None:
        self._pulses: deque[float] = deque(maxlen=PULSES_PER_BEAT + 1)
        self._next_pulse = 0  # The number of the pulse that comes next, from the start of the song.
        self._running = False
        self._line = Timeline(0.0, 0.0, 0.0)

    def receive(self, message: bytes, time_s: float) -> None:
        """A MIDI message and when it came. Others than those of the clock are ignored."""
        match message[0] if message else None:
            case 0xF8:
                self._take_pulse(time_s)
            case 0xFA:
                self._go_from(0)
            case 0xFB:
                self._running = True
            case 0xFC:
                self._running = False
                self._line = Timeline(time_s, self._next_pulse / PULSES_PER_BEAT, 0.0)
                self._pulses.clear()
            case 0xF2 if len(message) == 3:
                sixteenths = message[1] | message[2] << 7
                self._next_pulse = sixteenths * PULSES_PER_BEAT // SIXTEENTHS_PER_BEAT
                self._pulses.clear()

    def timeline(self, now_s: float) -> Timeline:
        line = self._line
        if line.tempo_bpm and now_s - line.time_s > SILENCE_S:
            return Timeline(line.time_s, line.beat, 0.0)
        return line

    def set_tempo(self, tempo_bpm: float, now_s: float) -> None:
        raise ClockError("expected the tempo from the MIDI clock, found a request to set it; set it at the sender")

    def close(self) -> None:
        return None

    def _go_from(self, pulse: int) -> None:
        self._next_pulse = pulse
        self._pulses.clear()
        self._running = True

    def _take_pulse(self, time_s: float) -> None:
        if not self._running:
            return
        if len(self._pulses) >= 2:
            slope_s, expected_s = self._fit()
            if abs(time_s - expected_s - slope_s) > slope_s / 5:
                last_s = self._pulses[-1]
                self._pulses.clear()
                self._pulses.append(last_s)
        self._pulses.append(time_s)
        pulse = self._next_pulse
        self._next_pulse += 1
        if len(self._pulses) >= 2:
            slope_s, at_s = self._fit()
            if slope_s > 0:
                self._line = Timeline(at_s, pulse / PULSES_PER_BEAT, 60 / (slope_s * PULSES_PER_BEAT))

    def _fit(self) -> tuple[float, float]:
        """Least squares through the pulses: seconds from one to the next, and the time of the last one."""
        count = len(self._pulses)
        first_s = self._pulses[0]
        middle = (count - 1) / 2
        mean_s = sum(pulse_s - first_s for pulse_s in self._pulses) / count
        above = sum((number - middle) * (pulse_s - first_s) for number, pulse_s in enumerate(self._pulses))
        slope_s = above / sum((number - middle) ** 2 for number in range(count))
        return slope_s, first_s + mean_s + slope_s * middle
