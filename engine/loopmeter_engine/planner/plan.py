"""From a request and what its prompt said to a score. What is asked outright wins over the prompt's words, those
over a MIDI file that came along, that over the genre's habit and the seed."""

from __future__ import annotations

import base64
import binascii
import re

import numpy as np

from loopmeter import LAYERS, Layer, LoopRequest
from loopmeter_engine.planner.brief import PromptBrief
from loopmeter_engine.planner.chord_names import key_of, read_chords
from loopmeter_engine.planner.compose import compose, draw_mode
from loopmeter_engine.planner.genres import GENRE_BOOK, Genre
from loopmeter_engine.planner.harmony import MINOR_LIKE, key_name
from loopmeter_engine.planner.listen import estimate_key
from loopmeter_engine.planner.midi import InvalidMidi, UserMidi, midi_to_events
from loopmeter_engine.planner.moods import MOOD_BOOK
from loopmeter_engine.planner.names import GENRES
from loopmeter_engine.planner.sections import arrange
from loopmeter_engine.score import Score

DEFAULT_BARS = 4
_GENRE_OF_MOOD = {
    "dark": "techno", "happy": "pop", "sad": "lofi", "calm": "ambient", "aggressive": "rock", "dreamy": "synthwave",
    "energetic": "house", "warm": "lofi", "epic": "cinematic",
}  # fmt: skip
_KEY = re.compile(r"^([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|maj|major)?$")
_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def resolve(request: LoopRequest, brief: PromptBrief) -> LoopRequest:
    """The request with tempo, bars and key filled in. Resolving twice changes nothing."""
    if request.tempo_bpm is not None and request.bars is not None and request.key is not None:
        return request
    genre, mood = _genre(brief), MOOD_BOOK[_mood(brief)]
    rng = np.random.default_rng([request.seed, GENRES.index(genre.name)])
    rolls = rng.random(2)
    user = _heard(request)
    tempo = request.tempo_bpm or brief.tempo_bpm or (user.tempo_bpm if user else None)
    if tempo is None:
        low, usual, high = genre.tempo_bpm
        tempo = float(round(min(high, max(low, usual * mood.tempo * (0.97 + 0.06 * float(rolls[0]))))))
    asked_bars = sum(section.bars for section in request.sections) if request.sections else request.bars
    bars = asked_bars or brief.bars or (user.bars(request.beats_per_bar) if user else DEFAULT_BARS)
    key = request.key
    if key is None:
        tonic, mode = brief.tonic, brief.mode
        if request.chords is not None and tonic is None:
            tonic, mode = key_of(read_chords(request.chords, bars, request.beats_per_bar))
        elif user and user.notes and tonic is None:
            # Many programs write C major for want of a key: that signature says nothing.
            tonic, heard_mode = parse_key(user.key) if user.key and user.key != "C" else estimate_key(user.notes)
            mode = mode or heard_mode
        tonic = int(12 * rolls[1]) if tonic is None else tonic
        key = key_name(tonic, mode or draw_mode(genre, mood, rng))
    update = {"tempo_bpm": min(240.0, max(40.0, float(tempo))), "bars": min(256, max(1, bars)), "key": key}
    return request.model_copy(update=update)


def plan_score(request: LoopRequest, brief: PromptBrief) -> Score:
    """The score of a request, resolved or not. Pure; the request's own MIDI is laid over it by ``with_user_midi``."""
    request = resolve(request, brief)
    assert request.tempo_bpm is not None and request.bars is not None and request.key is not None
    tonic, mode = parse_key(request.key)
    if brief.mode is not None and (brief.mode in MINOR_LIKE) == (mode in MINOR_LIKE):
        mode = brief.mode  # "D dorian": the key of a request says only minor.
    genre = _genre(brief)
    layers = _layers(request, brief, genre)

    def part(bars: int, sounding: tuple[Layer, ...], energy: float | None = None, variation: int = 0) -> Score:
        return compose(
            genre.name,
            brief.mood,
            tempo_bpm=tempo_bpm,
            bars=bars,
            beats_per_bar=request.beats_per_bar,
            tonic=tonic,
            mode=mode,
            layers=sounding,
            seed=request.seed + variation,
            families=brief.families,
            macros=brief.macros,
            density=request.density if request.density is not None else brief.density,
            intensity=request.intensity if energy is None else _louder(request.intensity, energy),
            swing=request.swing,
            chords=request.chords,
        )

    tempo_bpm = request.tempo_bpm
    if request.sections is None:
        return part(request.bars, layers)
    return arrange(request.sections, layers, part)


def _louder(intensity: float | None, energy: float) -> float:
    """A section's intensity: the piece's, up to 0.2 less or more by energy."""
    return min(1.0, max(0.0, (0.5 if intensity is None else intensity) + 0.4 * (energy - 0.6)))


def parse_key(key: str) -> tuple[int, str]:
    """``(tonic, "major" | "minor")`` of a key such as ``Am``, ``F#`` or ``Eb minor``.

    Raises:
        ValueError: it is not spelled like that.
    """
    match = _KEY.match(key.strip())
    if match is None:
        raise ValueError(f"expected a key such as 'Am', 'F#' or 'Eb minor', found {key!r}")
    letter, accidental, mode = match.groups()
    shift = {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(accidental, 0)
    return (_NATURALS[letter.upper()] + shift) % 12, "minor" if mode in ("m", "min", "minor") else "major"


def _genre(brief: PromptBrief) -> Genre:
    return GENRE_BOOK[brief.genre or _GENRE_OF_MOOD.get(brief.mood or "", "pop")]


def _mood(brief: PromptBrief) -> str:
    return brief.mood or _genre(brief).mood


def _layers(request: LoopRequest, brief: PromptBrief, genre: Genre) -> tuple[Layer, ...]:
    """In the order of ``LAYERS``. A layer whose instrument the prompt names joins the genre's own."""
    if request.layers is not None:
        return request.layers
    asked = set(brief.layers_only) or {*genre.layers, *brief.families}
    left = asked - set(brief.layers_without) or set(LAYERS) - set(brief.layers_without) or asked
    return tuple(layer for layer in LAYERS if layer in left)


def _heard(request: LoopRequest) -> UserMidi | None:
    """The request's MIDI, if it can be read. ``with_user_midi`` is where a broken file is refused, with a reason."""
    if request.midi_base64 is None:
        return None
    try:
        return midi_to_events(base64.b64decode(request.midi_base64, validate=True))
    except (InvalidMidi, binascii.Error):
        return None
