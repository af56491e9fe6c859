"""What each genre plays: tables, one module per family of styles, joined here by name."""

from __future__ import annotations

from loopmeter_engine.planner.genres.band import BAND
from loopmeter_engine.planner.genres.club import CLUB
from loopmeter_engine.planner.genres.heavy import HEAVY
from loopmeter_engine.planner.genres.hiphop import HIPHOP
from loopmeter_engine.planner.genres.model import DrumFill, DrumPattern, Genre, Sound
from loopmeter_engine.planner.genres.scenes import SCENES
from loopmeter_engine.planner.genres.soundsystem import SOUNDSYSTEM
from loopmeter_engine.planner.genres.street import STREET
from loopmeter_engine.planner.genres.tropics import TROPICS

GENRE_BOOK: dict[str, Genre] = {
    g.name: g for g in (*HIPHOP, *CLUB, *SOUNDSYSTEM, *BAND, *SCENES, *STREET, *TROPICS, *HEAVY)
}

__all__ = ["GENRE_BOOK", "DrumFill", "DrumPattern", "Genre", "Sound"]
