"""Chords as musicians write them: ``Am F C G``, one a bar, or ``Am F | C G``, where chords share a bar equally.

Read by ``read_chords``; what is too short for the piece goes round.
"""

from __future__ import annotations

import re

from loopmeter_engine.score import ChordSpan

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7), "maj": (0, 4, 7), "M": (0, 4, 7), "m": (0, 3, 7), "min": (0, 3, 7), "-": (0, 3, 7),
    "5": (0, 7), "dim": (0, 3, 6), "o": (0, 3, 6), "°": (0, 3, 6), "aug": (0, 4, 8), "+": (0, 4, 8),
    "sus2": (0, 2, 7), "sus4": (0, 5, 7), "sus": (0, 5, 7), "6": (0, 4, 7, 9), "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "M7": (0, 4, 7, 11), "m7": (0, 3, 7, 10), "min7": (0, 3, 7, 10),
    "-7": (0, 3, 7, 10), "mmaj7": (0, 3, 7, 11), "m7b5": (0, 3, 6, 10), "ø": (0, 3, 6, 10), "dim7": (0, 3, 6, 9),
    "7sus4": (0, 5, 7, 10), "add9": (0, 4, 7, 14), "madd9": (0, 3, 7, 14), "9": (0, 4, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14), "m9": (0, 3, 7, 10, 14), "11": (0, 7, 10, 14, 17), "13": (0, 4, 10, 14, 21),
}  # fmt: skip
_CHORD = re.compile(r"^([A-G])([#b♯♭]?)([^/]*)(?:/([A-G])([#b♯♭]?))?$")
CHORDS_MAX = 256


def read_chords(text: str, bars: int, beats_per_bar: int) -> list[ChordSpan]:
    """The chords of a piece of ``bars`` bars, without gaps.

    Raises:
        ValueError: a name is not a chord, or there is none; the message says expected and found.
    """
    written = [part.split() for part in text.split("|")] if "|" in text else [[name] for name in text.split()]
    measures = [names for names in written if names]
    count = sum(map(len, measures))
    if not 1 <= count <= CHORDS_MAX:
        raise ValueError(f"expected 1 to {CHORDS_MAX} chords such as 'Am F C G' or 'Am F | C G', found {count}")
    spans: list[ChordSpan] = []
    for bar in range(bars):
        names = measures[bar % len(measures)]
        each = beats_per_bar / len(names)
        for place, name in enumerate(names):
            root, pitch_classes = read_chord(name)
            onset = bar * beats_per_bar + place * each
            last = spans[-1] if spans else None
            if last is not None and last.symbol == name:
                spans[-1] = ChordSpan(last.onset_beats, last.duration_beats + each, root, name, pitch_classes)
            else:
                spans.append(ChordSpan(onset, each, root, name, pitch_classes))
    return spans


def read_chord(name: str) -> tuple[int, tuple[int, ...]]:
    """The root of a chord, which the bass plays, and its pitch classes in the order of the stack.

    A note after a slash is the root. Raises ``ValueError``.
    """
    match = _CHORD.match(name)
    if match is None or match[3] not in _QUALITIES:
        known = ", ".join(f"C{quality}" for quality in ("", "m", "7", "maj7", "m7", "sus4", "dim", "add9", "m7b5"))
        raise ValueError(f"expected a chord such as {known}, or with a bass note C/E, found {name!r}")
    root = (_NATURALS[match[1]] + _ACCIDENTALS[match[2]]) % 12
    tones = [(root + interval) % 12 for interval in _QUALITIES[match[3]]]
    if match[4] is None:
        return root, tuple(tones)
    bass = (_NATURALS[match[4]] + _ACCIDENTALS[match[5]]) % 12
    return bass, (bass, *(tone for tone in tones if tone != bass))


def key_of(spans: list[ChordSpan]) -> tuple[int, str]:
    """The key that holds most of the chords' tones, ties broken for the first chord as tonic: (tonic, mode)."""
    first = spans[0]

    def fit(tonic: int, mode: str) -> tuple[float, int, int]:
        steps = {
            (tonic + step) % 12 for step in ((0, 2, 4, 5, 7, 9, 11) if mode == "major" else (0, 2, 3, 5, 7, 8, 10))
        }
        held = sum(
            span.duration_beats * sum(tone in steps for tone in span.pitch_classes) / len(span.pitch_classes)
            for span in spans
        )
        third = 4 if mode == "major" else 3
        own = first.root == tonic and (tonic + third) % 12 in first.pitch_classes
        return round(held, 6), int(own), int(first.root == tonic)

    keys = [(tonic, mode) for mode in ("major", "minor") for tonic in range(12)]
    return max(keys, key=lambda key: fit(*key))
