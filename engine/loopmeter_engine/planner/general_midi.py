"""General MIDI numbers for our drums, families and effects, and back."""

from __future__ import annotations

import re

from loopmeter import Layer
from loopmeter_engine.score import FX_KINDS

DRUM_CHANNEL = 9  # Channel 10 as musicians count.
# General MIDI level 1, percussion key map. The first number of each is what we write.
_DRUM_PITCHES: dict[str, tuple[int, ...]] = {
    "kick": (36, 35), "snare": (38, 40), "clap": (39,), "rim": (37, 31, 32), "closed_hat": (42, 44, 22),
    "open_hat": (46, 26), "ride": (51, 53, 59), "crash": (49, 52, 55, 57), "tom_low": (45, 41, 43),
    "tom_high": (50, 47, 48), "shaker": (70, 54, 69, 82), "perc": (63, 56, 58, *range(60, 63), *range(64, 69),
    *range(71, 82)),
}  # fmt: skip
PITCH_OF_DRUM = {drum: pitches[0] for drum, pitches in _DRUM_PITCHES.items()}
DRUM_OF_PITCH = {pitch: drum for drum, pitches in _DRUM_PITCHES.items() for pitch in pitches}
PITCH_OF_FX = {kind: 60 + index for index, kind in enumerate(FX_KINDS)}
FX_OF_PITCH = {pitch: kind for kind, pitch in PITCH_OF_FX.items()}
CHANNELS: dict[Layer, int] = {"drums": DRUM_CHANNEL, "bass": 0, "chords": 1, "lead": 2, "pad": 3, "fx": 4}
PROGRAMS: dict[tuple[Layer, str], int] = {  # Counted from 0.
    ("bass", "sub"): 38, ("bass", "reese"): 39, ("bass", "acid"): 38, ("bass", "fm"): 39, ("bass", "finger"): 33,
    ("bass", "pluck"): 34,
    ("chords", "electric_piano"): 4, ("chords", "piano"): 0, ("chords", "organ"): 16, ("chords", "saw_stab"): 62,
    ("chords", "pluck"): 84, ("chords", "guitar"): 27,
    ("lead", "square"): 80, ("lead", "saw"): 81, ("lead", "bell"): 14, ("lead", "mallet"): 12, ("lead", "flute"): 73,
    ("lead", "whistle"): 78,
    ("pad", "warm"): 89, ("pad", "supersaw"): 90, ("pad", "strings"): 48, ("pad", "choir"): 52, ("pad", "glass"): 92,
    ("fx", "texture"): 99,
}  # fmt: skip
_NAME_WORDS: tuple[tuple[Layer, str], ...] = (
    ("drums", r"drum|perc|beat\b|kit\b|kick|snare|hats?\b"),
    ("bass", r"bass|\bsub\b|808"),
    ("pad", r"pad|string|choir|ambien|atmos"),
    ("chords", r"chord|keys|piano|rhodes|organ|guitar|comp\b|harmon|stab"),
    ("lead", r"lead|melod|vocal|voice|solo|hook|theme|flute|arp"),
    ("fx", r"^fx$|effect|riser"),
)
_PROGRAM_ENDS: tuple[tuple[int, Layer], ...] = ((31, "chords"), (39, "bass"), (55, "pad"), (87, "lead"), (103, "pad"))


def layer_named(name: str) -> Layer | None:
    """The layer that a track's name speaks of, if any."""
    for layer, words in _NAME_WORDS:
        if re.search(words, name.lower()):
            return layer
    return None


def layer_of_program(program: int) -> Layer | None:
    """The layer that suits a General MIDI instrument (0..127). Piano says nothing: files without a choice have it."""
    if program == 0:
        return None
    return next((layer for end, layer in _PROGRAM_ENDS if program <= end), None)
