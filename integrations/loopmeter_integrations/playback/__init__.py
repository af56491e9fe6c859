"""Loops in time: ``_mixer.py`` makes the sound, pure; outputs are JACK and PortAudio; ``Player`` adds a clock."""

from loopmeter_integrations.playback._jack import JackOutput
from loopmeter_integrations.playback._mixer import (
    DECKS_MAX,
    FADE_S,
    FADE_S_MAX,
    GAIN_MAX,
    Event,
    Gain,
    Happened,
    Mixer,
    Play,
    Replaced,
    Scheduled,
    Sound,
    Stop,
)
from loopmeter_integrations.playback._outputs import FrameTimes, Output, OutputError, PortAudioOutput
from loopmeter_integrations.playback._player import OnOutput, OutputState, Player
from loopmeter_integrations.playback._sounds import UnreadableSound, read_sound

__all__ = [
    "DECKS_MAX",
    "FADE_S",
    "FADE_S_MAX",
    "GAIN_MAX",
    "Event",
    "FrameTimes",
    "Gain",
    "Happened",
    "JackOutput",
    "Mixer",
    "OnOutput",
    "Output",
    "OutputError",
    "OutputState",
    "Play",
    "Player",
    "PortAudioOutput",
    "Replaced",
    "Scheduled",
    "Sound",
    "Stop",
    "UnreadableSound",
    "read_sound",
]
