"""WordPiece as BERT (uncased) splits text: lower case, accents off, punctuation apart, then the longest pieces.

After Wu et al. 2016 and the reference BERT tokenizer. Deviation: control characters are dropped with the accents,
and a word that the pruned vocabulary cannot spell becomes ``[UNK]`` as a whole, which is BERT's own rule too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
_WORD_CHARACTERS_MAX = 100


class WordPiece:
    """Split text into ids of a vocabulary: ``WordPiece(vocabulary).ids("dusty drums")``."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._ids = dict(vocabulary)
        self.pad_id = self._ids[PAD]
        self._unknown, self._start, self._end = self._ids[UNKNOWN], self._ids[START], self._ids[END]

    @classmethod
    def read(cls, path: Path) -> WordPiece:
        """The vocabulary of a text file with one piece a line; the line number is the id."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls({piece: index for index, piece in enumerate(lines)})

    def ids(self, text: str, length_max: int = 128) -> list[int]:
        """Ids with start and end mark, at most ``length_max`` of them."""
        pieces = [piece for word in words(text) for piece in self._pieces(word)]
        return [self._start, *pieces[: length_max - 2], self._end]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > _WORD_CHARACTERS_MAX:
            return [self._unknown]
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]
            pieces.append(piece)
            start = end
        return pieces


def words(text: str) -> list[str]:
    """Lower-cased words without accents; each punctuation mark and CJK sign stands alone."""
    out: list[str] = []
    for character in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(character)
        if category == "Mn" or (category[0] == "C" and character not in "\t\n\r"):
            continue
        out.append(f" {character} " if _stands_alone(character, category) else character)
    return "".join(out).split()


def _stands_alone(character: str, category: str) -> bool:
    ascii_symbol = character.isascii() and not character.isalnum() and not character.isspace()
    return ascii_symbol or category[0] == "P" or "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff"
