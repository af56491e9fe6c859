"""The tables: complete, spelled right, and made of names that the renderer knows."""

from __future__ import annotations

import pytest

from loopmeter import LAYERS
from loopmeter_engine.planner.genres import GENRE_BOOK
from loopmeter_engine.planner.genres.model import Genre, steps_of
from loopmeter_engine.planner.harmony import MODE_STEPS
from loopmeter_engine.planner.human import DRUM_CLASS
from loopmeter_engine.planner.moods import MOOD_BOOK
from loopmeter_engine.planner.names import GENRES, MODES, MOODS
from loopmeter_engine.score import DRUMS, FAMILIES, FX_KINDS, MACROS

BOOK = [pytest.param(genre, id=name) for name, genre in GENRE_BOOK.items()]


def test_names_and_tables_agree() -> None:
    assert set(GENRE_BOOK) == set(GENRES) and len(GENRES) >= 12
    assert tuple(MOOD_BOOK) == MOODS
    assert tuple(MODE_STEPS) == MODES
    assert set(DRUM_CLASS) == set(DRUMS)


@pytest.mark.parametrize("genre", BOOK)
def test_drum_rows_are_whole_bars_of_known_marks(genre: Genre) -> None:
    rows = [row for pattern in genre.drums for row in (*pattern.rows.items(), *pattern.extras.items())]
    assert rows
    for drum, row in rows:
        assert drum in DRUMS
        assert len(steps_of(row)) in (16, 32)
        assert set(steps_of(row)) <= set("Xxog+?rt.")


@pytest.mark.parametrize("genre", BOOK)
def test_fills_are_aligned(genre: Genre) -> None:
    for fill in genre.fills:
        assert len({len(steps_of(row)) for row in fill.rows.values()}) == 1
        assert len(steps_of(next(iter(fill.rows.values())))) in (4, 8, 16)
        assert {*fill.rows, *fill.keep} <= set(DRUMS)


@pytest.mark.parametrize("genre", BOOK)
def test_tonal_rows_are_whole_bars_of_known_marks(genre: Genre) -> None:
    for rows, marks in ((genre.bass, "13578la-."), (genre.chords, "Xxo12345-."), (genre.lead, "x-.")):
        assert rows
        for row in rows:
            assert len(steps_of(row)) in (16, 32) and set(steps_of(row)) <= set(marks)


@pytest.mark.parametrize("genre", BOOK)
def test_sounds_and_habits_are_known_to_the_renderer(genre: Genre) -> None:
    assert set(genre.sounds) == set(LAYERS) and set(genre.layers) <= set(LAYERS)
    for layer, sounds in genre.sounds.items():
        for choice in sounds:
            assert choice.family in FAMILIES[layer]
            assert all(macro in MACROS and 0 <= low <= high <= 1 for macro, (low, high) in choice.macros.items())
    low, usual, high = genre.tempo_bpm
    assert 40 <= low <= usual <= high <= 240
    assert set(genre.fx) <= set(FX_KINDS) and set(genre.modes) <= set(MODES) and genre.mood in MOODS
