"""The names of genres, moods and modes that the planner knows. The order is part of the seeds: append only."""

from __future__ import annotations

GENRES = (
    "lofi", "boom_bap", "trap", "house", "techno", "trance", "drum_and_bass", "uk_garage", "dubstep", "synthwave",
    "ambient", "funk", "disco", "jazz", "rock", "reggae", "afrobeat", "chiptune", "cinematic", "pop", "drill", "phonk",
    "amapiano", "bossa_nova", "reggaeton", "metal",
)  # fmt: skip
# Genres that the shipped weights have not been trained on, and whose place in their conditions these take: their words
# were once captions of those. Weights that know them take the entry out.
KIN = {
    "drill": "trap", "phonk": "trap", "amapiano": "afrobeat", "bossa_nova": "jazz", "reggaeton": "reggae",
    "metal": "rock",
}  # fmt: skip
MOODS = ("dark", "happy", "sad", "calm", "aggressive", "dreamy", "energetic", "warm", "epic")
MODES = ("major", "minor", "dorian", "phrygian", "lydian", "mixolydian")
