"""What a mood does to a genre: which mode and progression, how fast, how busy, how bright."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mood:
    """``minor`` pulls the choice of mode (0 major, 1 minor, ``None`` leaves it to the genre). ``tags`` weigh the
    progressions' own mood words. ``macros`` are added to every tonal and drum macro; ``octave`` moves the lead."""

    minor: float | None
    tags: dict[str, float]
    tempo: float = 1.0  # Factor on the genre's usual tempo, kept inside its range.
    density: float = 0.0
    velocity: float = 1.0
    lead_rest: float = 0.0
    octave: int = 0
    macros: dict[str, float] | None = None


MOOD_BOOK: dict[str, Mood] = {
    "dark": Mood(
        minor=0.98,
        tags={"Dark": 3, "Mysterious": 2, "Fearful": 3, "Anguished": 3, "Rebellious": 1.5, "Dramatic": 1.5},
        tempo=0.98,
        velocity=1.0,
        lead_rest=0.1,
        octave=-1,
        macros={"brightness": -0.15, "drive": 0.08, "space": 0.05},
    ),
    "happy": Mood(
        minor=0.05,
        tags={"Joyful": 3, "Playful": 2, "Excited": 2, "Hopeful": 1, "Triumphant": 1},
        tempo=1.04,
        density=0.08,
        macros={"brightness": 0.12, "space": -0.03},
    ),
    "sad": Mood(
        minor=0.85,
        tags={"Sad": 3, "Lonely": 3, "Tender": 1.5, "Nostalgic": 1.2, "Anguished": 1},
        tempo=0.93,
        density=-0.15,
        velocity=0.88,
        lead_rest=0.05,
        macros={"brightness": -0.12, "softness": 0.1, "space": 0.12, "drive": -0.05},
    ),
    "calm": Mood(
        minor=0.4,
        tags={"Peaceful": 3, "Relaxed": 3, "Tender": 2, "Spiritual": 1.5, "Nostalgic": 0.8},
        tempo=0.95,
        density=-0.2,
        velocity=0.85,
        lead_rest=0.12,
        macros={"brightness": -0.08, "softness": 0.12, "drive": -0.1, "space": 0.08},
    ),
    "aggressive": Mood(
        minor=0.92,
        tags={"Rebellious": 3, "Empowered": 2, "Dark": 2, "Triumphant": 1, "Excited": 1, "Dramatic": 1},
        tempo=1.06,
        density=0.2,
        velocity=1.1,
        macros={"brightness": 0.12, "drive": 0.28, "softness": -0.1, "space": -0.05},
    ),
    "dreamy": Mood(
        minor=0.45,
        tags={"Nostalgic": 2, "Spiritual": 2.5, "Romantic": 1.5, "Mysterious": 1, "Peaceful": 1.5, "Tender": 1},
        tempo=0.96,
        density=-0.1,
        velocity=0.9,
        macros={"softness": 0.15, "space": 0.25, "width": 0.2, "length": 0.1, "drive": -0.05},
    ),
    "energetic": Mood(
        minor=None,
        tags={"Excited": 3, "Triumphant": 2, "Joyful": 1.5, "Empowered": 1.5, "Rebellious": 1},
        tempo=1.05,
        density=0.18,
        velocity=1.06,
        lead_rest=-0.05,
        macros={"brightness": 0.1, "drive": 0.1, "softness": -0.05},
    ),
    "warm": Mood(
        minor=None,
        tags={"Romantic": 3, "Tender": 2, "Relaxed": 2, "Hopeful": 1, "Nostalgic": 1.2, "Peaceful": 1},
        density=-0.03,
        velocity=0.95,
        macros={"brightness": -0.1, "softness": 0.05, "drive": 0.05, "length": 0.05},
    ),
    "epic": Mood(
        minor=0.7,
        tags={"Triumphant": 3, "Empowered": 2, "Dramatic": 2, "Hopeful": 1.2, "Surprised": 0.5},
        density=0.1,
        velocity=1.08,
        macros={"space": 0.2, "width": 0.2, "length": 0.1, "brightness": 0.05},
    ),
}
