"""The names of genres, moods and modes that the planner knows. The order is part of the seeds: append only."""

from __future__ import annotations

GENRES = (
    "lofi", "boom_bap", "trap", "house", "techno", "trance", "drum_and_bass", "uk_garage", "dubstep", "synthwave",
    "ambient", "funk", "disco", "jazz", "rock", "reggae", "afrobeat", "chiptune", "cinematic", "pop",
)  # fmt: skip
MOODS = ("dark", "happy", "sad", "calm", "aggressive", "dreamy", "energetic", "warm", "epic")
MODES = ("major", "minor", "dorian", "phrygian", "lydian", "mixolydian")
