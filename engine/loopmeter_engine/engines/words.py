"""How a request is put into words for models that read tempo and key as text."""

from __future__ import annotations

import re

from loopmeter import LoopRequest
from loopmeter_engine.contract import ScoreSheet
from loopmeter_engine.exact import metronome

_FLATS = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "Fb": "E"}
_KEY = re.compile(r"^([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|maj|major)?$")


def key_words(key: str) -> str:
    """'Am' as the models say it: 'A minor'. Flats become sharps; nothing stays nothing."""
    found = _KEY.match(key.strip())
    if found is None:
        return ""
    note = found[1].upper() + found[2].replace("♯", "#").replace("♭", "b")
    mode = "minor" if (found[3] or "").startswith("m") and not (found[3] or "").startswith("maj") else "major"
    return f"{_FLATS.get(note, note)} {mode}"


def worded(prompt: str, tempo_bpm: float, key: str) -> str:
    """The prompt with tempo and key behind it. They are wishes: such models follow them about."""
    return ", ".join(part for part in (prompt, f"{round(tempo_bpm)} bpm", key_words(key)) if part)


def wished_score(resolved: LoopRequest, **more: object) -> ScoreSheet:
    """The score of a model that does not say what it plays: the beats that were asked for."""
    summary: dict[str, object] = {
        "tempo_bpm": resolved.tempo_bpm,
        "bars": resolved.bars,
        "beats_per_bar": resolved.beats_per_bar,
        "key": resolved.key,
        "asked_only": True,  # Such models take tempo and key as wishes.
    }
    return ScoreSheet(midi=metronome(resolved), summary=summary | more)
