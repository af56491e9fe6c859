"""Finding the lexicon's phrases in a text: the longest match wins, and one phrase may mean several things.

"dark" is a mood and a brightness; "acid" hints at a genre and names a bass. Case, accents, hyphens, ampersands and a
plural s make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from loopmeter import Layer

from .instruments import (
    ABSENT_WORDS,
    DENSITY_WORDS,
    DRUM_PARTS,
    FAMILY_WORDS,
    LAYER_WORDS,
    MACRO_WORDS,
    NEUTRAL_PHRASES,
)
from .lexicon import GENRE_HINTS, GENRE_WORDS, MOOD_WORDS

Kind = Literal["genre", "hint", "mood", "layer", "family", "absent", "macro", "density"]
_WORD_OR_MARK = re.compile(r"[^\W_]+#?|[,.;:!?()/|]")
# Instruments as adjectives: "acid" alone is a style, "acid line" a part.
_STYLES = {"acid", "wobble", "reese", "amen", "breakbeats"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a phrase says. ``name`` is a genre, mood, family or macro; ``value`` a macro or density."""

    kind: Kind
    name: str = ""
    layer: Layer | None = None
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """A phrase, or a word or punctuation mark that is in no phrase (then ``meanings`` is empty)."""

    text: str
    meanings: tuple[Meaning, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that the phrase names, as a layer or by an instrument."""
        return tuple(m.layer for m in self.meanings if m.kind in ("layer", "family") and m.layer is not None)

    @property
    def is_part(self) -> bool:
        """Whether the phrase is a noun for something that can be played alone."""
        return bool(self.layers) and self.text not in _STYLES

    def has(self, *kinds: Kind) -> bool:
        return any(m.kind in kinds for m in self.meanings)


def find_phrases(text: str) -> list[Item]:
    """The text as phrases, words and marks, in order; every word is in exactly one of them."""
    words = split_words(text)
    table, longest = _table()
    items: list[Item] = []
    start = 0
    while start < len(words):
        for length in range(min(longest, len(words) - start), 0, -1):
            meanings = _look_up(table, tuple(words[start : start + length]))
            if meanings is not None:
                break
        items.append(Item(" ".join(words[start : start + length]), meanings or ()))
        start += length
    return items


def split_words(text: str) -> list[str]:
    """Lower-cased words without accents, and punctuation marks; "&" is "and", "w/o" is "without"."""
    text = text.lower().replace("w/o", "without").replace("w/", "with ").replace("&", " and ").replace("+", " and ")
    text = re.sub(r"(?<=\d)['’](?=s\b)", "", text)  # 80's, as people write it.
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
    return _WORD_OR_MARK.findall(plain)


_Table = dict[tuple[str, ...], tuple[Meaning, ...]]


def _look_up(table: _Table, words: tuple[str, ...]) -> tuple[Meaning, ...] | None:
    found = table.get(words)
    if found is None and words[-1].endswith("s") and len(words[-1]) > 3:
        found = table.get((*words[:-1], words[-1][:-1]))
    return found


@cache
def _table() -> tuple[_Table, int]:
    table: _Table = {}
    for wording, meaning in _meanings():
        key = tuple(split_words(wording))
        key = key[1:] if key[0] == "a" else key
        if meaning is None:
            table[key] = ()
        elif meaning not in table.get(key, ()):
            table[key] = (*table.get(key, ()), meaning)
    return table, max(map(len, table))


def _meanings() -> Iterator[tuple[str, Meaning | None]]:
    for phrase in NEUTRAL_PHRASES:
        yield phrase, None
    named: tuple[tuple[Kind, dict[str, tuple[str, ...]]], ...] = (
        ("genre", GENRE_WORDS), ("hint", GENRE_HINTS), ("mood", MOOD_WORDS),
    )  # fmt: skip
    for kind, table in named:
        for name, wordings in table.items():
            yield from ((wording, Meaning(kind, name)) for wording in wordings)
    for layer, families in FAMILY_WORDS.items():
        for family, wordings in families.items():
            for wording in wordings:
                yield wording, Meaning("family", family, layer)
                yield from _style_of(wording)
    by_layer: tuple[tuple[Kind, dict[Layer, tuple[str, ...]]], ...] = (
        ("layer", LAYER_WORDS), ("layer", {"drums": DRUM_PARTS}), ("absent", ABSENT_WORDS),
    )  # fmt: skip
    for kind, layer_table in by_layer:
        for layer, wordings in layer_table.items():
            yield from ((wording, Meaning(kind, layer=layer)) for wording in wordings)
    for (macro, value), wordings in MACRO_WORDS.items():
        yield from ((wording, Meaning("macro", macro, value=value)) for wording in wordings)
    for value, wordings in DENSITY_WORDS.items():
        yield from ((wording, Meaning("density", value=value)) for wording in wordings)


def _style_of(instrument: str) -> Iterator[tuple[str, Meaning]]:
    """The genre in an instrument's own name: "house piano", "80s drums"."""
    kinds: tuple[tuple[Kind, dict[str, tuple[str, ...]]], ...] = (("genre", GENRE_WORDS), ("hint", GENRE_HINTS))
    for kind, table in kinds:
        for name, wordings in table.items():
            if any(instrument.startswith(wording + " ") for wording in wordings):
                yield instrument, Meaning(kind, name)
