"""Make ``data/progressions.csv`` from the table of free-midi-chords (MIT).

Run: ``python -m loopmeter_engine.planner.progression_table chord_progressions.csv``. Kept are the progressions whose
triads all lie in one mode; the rest would leave the key that was asked for. Sevenths and colours are dropped: the
genre adds its own.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

from loopmeter_engine.planner.harmony import MODE_STEPS, TABLE_PATH

_NUMERALS = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7}
_TOKEN = re.compile(r"^([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)$")
_MAJOR = MODE_STEPS["major"]


def rows_from(source: str) -> list[tuple[str, str, str]]:
    """``(mode, degrees, tags)`` of each progression that lies in one mode; no row twice."""
    rows: dict[tuple[str, str], str] = {}
    for entry in csv.DictReader(source.splitlines()):
        tokens = entry["progression_roman"].split()
        tags = " ".join(tag for tag in entry["mood_tags"].split() if tag not in ("New", "Cadence"))
        for mode, degrees in _readings(entry["mode"], tokens):
            rows.setdefault((mode, " ".join(map(str, degrees))), tags)
    return [(mode, degrees, tags) for (mode, degrees), tags in sorted(rows.items())]


def _readings(kind: str, tokens: list[str]) -> list[tuple[str, list[int]]]:
    """In the table's ``maj`` and ``min`` parts numerals are scale degrees; in ``modal`` they count from major."""
    matches = [_TOKEN.match(token) for token in tokens]
    parts = [(m.group(1), m.group(2), m.group(3)) for m in matches if m is not None]
    if len(parts) != len(tokens):
        return []
    degrees = [_NUMERALS[numeral.upper()] for _, numeral, _ in parts]
    if kind in ("maj", "min"):
        return [("major" if kind == "maj" else "minor", degrees)]
    return [(mode, degrees) for mode in MODE_STEPS if all(_lies_in(mode, part) for part in parts)][:1]


def _lies_in(mode: str, part: tuple[str, str, str]) -> bool:
    accidental, numeral, suffix = part
    degree = _NUMERALS[numeral.upper()]
    root = (_MAJOR[degree - 1] + {"b": -1, "#": 1, "": 0}[accidental]) % 12
    minor_third = numeral.islower()
    triad = {root, (root + (3 if minor_third else 4)) % 12, (root + (6 if "dim" in suffix else 7)) % 12}
    return MODE_STEPS[mode][degree - 1] == root and triad <= set(MODE_STEPS[mode])


if __name__ == "__main__":
    with TABLE_PATH.open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(
            [("mode", "degrees", "tags"), *rows_from(Path(sys.argv[1]).read_text(encoding="utf-8"))]
        )
