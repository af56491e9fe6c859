"""JACK transport: the bar, the beat and the tempo of its timebase master, a DAW as a rule. Pure: positions come in."""

from __future__ import annotations

from dataclasses import dataclass

from loopmeter_integrations.clocks._clock import ClockError, Timeline, checked_tempo


@dataclass(frozen=True, slots=True)
class TransportPosition:
    """Where the transport was at the first frame of a cycle. Without a master, beat and tempo are ``None``."""

    rolling: bool
    frame: int
    rate_hz: int
    beat: float | None = None
    tempo_bpm: float | None = None


class JackTransportClock:
    """Follows the positions given to ``receive``. Without a timebase master, frames are counted at our own tempo."""

    source = "jack"
    peers = 0

    def __init__(self, tempo_bpm: float) -> None:
        self._tempo_bpm = checked_tempo(tempo_bpm)
        self._has_master = False
        self._line = Timeline(0.0, 0.0, 0.0)

    def receive(self, position: TransportPosition, time_s: float) -> None:
        """The position at ``time_s``, once a cycle."""
        beat, tempo_bpm = position.beat, position.tempo_bpm
        self._has_master = beat is not None and tempo_bpm is not None
        if beat is None or tempo_bpm is None:
            tempo_bpm = self._tempo_bpm
            beat = position.frame / position.rate_hz * tempo_bpm / 60
        self._line = Timeline(time_s, beat, tempo_bpm if position.rolling else 0.0)

    def stop(self, now_s: float) -> None:
        """No position comes any more: stand still at the beat of now."""
        self._line = Timeline(now_s, self._line.beat_at(now_s), 0.0)

    def timeline(self, now_s: float) -> Timeline:
        return self._line

    def set_tempo(self, tempo_bpm: float, now_s: float) -> None:
        """Where the transport has a master, the tempo is the master's."""
        if self._has_master:
            raise ClockError("expected the tempo from JACK's timebase master, found a request to set it; set it there")
        self._tempo_bpm = checked_tempo(tempo_bpm)

    def close(self) -> None:
        return None
