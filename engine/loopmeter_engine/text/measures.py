"""Tempo, key, length and meter as musicians write them, found by pattern and taken out of the text.

The article "a" and the verb "am" are the trap: "in A minor" and "Am" are keys, "a minor change" and "I am" are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BPM_RANGE = (40.0, 240.0)
_BARS_MAX = 256
_BEATS_PER_BAR = {"2/4": 2, "3/4": 3, "4/4": 4, "5/4": 5, "6/4": 6, "3/8": 3, "6/8": 6, "12/8": 4}
_COUNTS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "twelve": 12, "sixteen": 16, "twenty four": 24, "thirty two": 32, "sixty four": 64,
}  # fmt: skip
_MODES = {
    "m": "minor", "min": "minor", "minor": "minor", "aeolian": "minor", "maj": "major", "major": "major",
    "ionian": "major", "dorian": "dorian", "phrygian": "phrygian", "lydian": "lydian", "mixolydian": "mixolydian",
}  # fmt: skip
_NATURAL = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SHIFT = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}

_NUMBER = r"(\d{2,3}(?:[.,]\d+)?)"
_UNIT = r"(?:bpm|b\.p\.m\.?|beats\s+(?:per|a)\s+min(?:ute)?)"
_TEMPO = (
    re.compile(rf"{_NUMBER}\s*(?:-|–|to)\s*{_NUMBER}\s*-?{_UNIT}\b", re.I),
    re.compile(rf"(?:\b(?:at|around|about)\s+|[@~]\s*)?{_NUMBER}\s*-?{_UNIT}(?!\w)", re.I),
    re.compile(rf"\b(?:tempo|bpm)\s*(?:is|of|at|around|about|[:=])?\s*{_NUMBER}(?![\d/])", re.I),
    re.compile(rf"(?:\bat\s+|@\s*){_NUMBER}(?=\s*(?:$|[,.;)]|and\b|in\b|with\b))", re.I),
)
_BARS = re.compile(rf"\b(\d{{1,3}}|{'|'.join(_COUNTS).replace(' ', '[ -]')})[\s-]*(?:bars?|measures?)\b", re.I)
_METER = re.compile(r"(?<![\d/])(\d{1,2}/[48])(?![\d/])(?:\s+(?:time|meter|metre|feel|groove)\b)?")
_WALTZ = re.compile(r"\b(waltz|waltzing|triple meter|triple metre|in three)\b", re.I)

_ACCIDENTAL = r"(#|♯|♭|b(?![a-z0-9])|b(?=m(?:in|inor|aj|ajor)?\b)|\s?-?sharp\b|\s?-?flat\b)?"
_LONG_MODE = r"(minor|min|major|maj|dorian|phrygian|lydian|mixolydian|aeolian|ionian)\b"
_ASIDE = r"(?:(?:natural|harmonic|melodic)\s+)?"
# What makes "a minor ..." an article and an adjective instead of a key.
_NOUN = r"(?!\s+(?:key|mood|feel|feeling|vibe|chord|chords|mode|scale|tonality|progression|change|touch|twist|third)\b)"
_LEAD_IN = r"(?:\bin\s+(?:the\s+key\s+of\s+)?|\bkey(?:\s+of|\s+is|\s*[:=])?\s+)"
_KEY_WITH_MODE = re.compile(rf"{_LEAD_IN}?\b([A-Ga-g]){_ACCIDENTAL}[\s-]*{_ASIDE}{_LONG_MODE}{_NOUN}", re.I)
_KEY_SHORT = re.compile(rf"(?:{_LEAD_IN})?(?<![\w'’])(?<!\bI )([A-G])([#♯♭b]?)m(?![\w'’])")
_KEY_SHORT_LOWER = re.compile(rf"(?:{_LEAD_IN}([a-g])([#♯♭b]?)|(?<!\w)([a-g])([#♯]))m(?![\w'’])", re.I)
_KEY_OF = re.compile(rf"\bkey(?:\s+of|\s+is|\s*[:=])?\s+([A-G]){_ACCIDENTAL}(?![\w'’#])", re.I)
_KEY_IN = re.compile(
    rf"\b[Ii]n\s+(?:([A-G]){_ACCIDENTAL}|([b-g]){_ACCIDENTAL})(?=\s*(?:$|[,.;)]|and\b|at\b|with\b|\d))"
)
_MODE_ALONE = re.compile(rf"\b{_LONG_MODE}", re.I)


@dataclass(frozen=True, slots=True)
class Measures:
    """What the text said in numbers and note names; ``None`` where it said nothing. ``rest`` is the other text."""

    tempo_bpm: float | None
    bars: int | None
    beats_per_bar: int | None
    tonic: int | None
    mode: str | None
    rest: str


def read_measures(text: str) -> Measures:
    """Tempo (40 to 240 bpm), bars (1 to 256), beats per bar (2 to 6), tonic (0 = C) and mode of ``text``.

    Values outside of these ranges count as unsaid, so that nonsense in a prompt cannot make a request invalid.
    """
    tempo, text = _read_tempo(text)
    bars, text = _read_bars(text)
    beats, text = _read_meter(text)
    tonic, mode, text = _read_key(text)
    return Measures(tempo, bars, beats, tonic, mode, " ".join(text.split()))


def _read_tempo(text: str) -> tuple[float | None, str]:
    for pattern in _TEMPO:
        match = pattern.search(text)
        if match is not None:
            numbers = [float(group.replace(",", ".")) for group in match.groups()]
            tempo = sum(numbers) / len(numbers)
            low, high = _BPM_RANGE
            return (tempo if low <= tempo <= high else None), _cut(text, match)
    return None, text


def _read_bars(text: str) -> tuple[int | None, str]:
    match = _BARS.search(text)
    if match is None:
        return None, text
    word = match[1].lower().replace("-", " ")
    bars = int(word) if word.isdigit() else _COUNTS[word]
    return (bars if 1 <= bars <= _BARS_MAX else None), _cut(text, match)


def _read_meter(text: str) -> tuple[int | None, str]:
    match = _METER.search(text)
    if match is not None:
        return _BEATS_PER_BAR.get(match[1]), _cut(text, match)
    return (3 if _WALTZ.search(text) else None), text


def _read_key(text: str) -> tuple[int | None, str | None, str]:
    for pattern in (_KEY_WITH_MODE, _KEY_SHORT, _KEY_SHORT_LOWER, _KEY_OF, _KEY_IN):
        match = pattern.search(text)
        if match is None:
            continue
        groups = [group or "" for group in match.groups()]
        if len(groups) == 4:  # Two spellings in one pattern: one of them is empty.
            groups = groups[:2] if groups[0] else groups[2:]
        mode = _MODES[groups[2].lower()] if pattern is _KEY_WITH_MODE else None
        if pattern in (_KEY_SHORT, _KEY_SHORT_LOWER):
            mode = "minor"
        tonic = (_NATURAL[groups[0].lower()] + _SHIFT[groups[1].strip(" -").lower()]) % 12
        return tonic, mode, _cut(text, match)
    match = _MODE_ALONE.search(text)
    return None, (_MODES[match[1].lower()] if match else None), text


def _cut(text: str, match: re.Match[str]) -> str:
    """The text without the match; a comma on both sides of it becomes one."""
    return re.sub(r"\s*,\s*,", ",", f"{text[: match.start()]} {text[match.end() :]}").strip(" ,")
