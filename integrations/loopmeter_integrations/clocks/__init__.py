"""Musical time from different sources behind one protocol: our own, Ableton Link, MIDI clock, JACK transport.

``_clock.py`` has the protocol, our own clock and quantisation; the others follow somebody else's.
"""

from loopmeter_integrations.clocks._clock import TEMPO_BPM_MAX, TEMPO_BPM_MIN, Clock, ClockError, OwnClock, Timeline
from loopmeter_integrations.clocks._jack import JackTransportClock
from loopmeter_integrations.clocks._link import LinkClock
from loopmeter_integrations.clocks._midi import MidiClock

__all__ = [
    "TEMPO_BPM_MAX",
    "TEMPO_BPM_MIN",
    "Clock",
    "ClockError",
    "JackTransportClock",
    "LinkClock",
    "MidiClock",
    "OwnClock",
    "Timeline",
]
