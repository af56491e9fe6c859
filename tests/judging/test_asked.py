"""What is asked of the engine so that judges can look for it, and how figures become rows."""

from __future__ import annotations

import re
from itertools import chain

import numpy as np
import pytest
from judging.asked import STEMS, asked_loops, instrument_of
from judging.causes import falling_short
from judging.loops import Loop, loops
from judging.midi_files import BARS, midi_file
from judging.piece import pieces
from judging.rows import NO_AIM, Aim, at_least, at_most, plain_row, share_of, table
from judging.stems import own_share
from numpy.typing import NDArray

from loopmeter import Layer
from loopmeter_engine.planner.harmony import MODE_STEPS, chord_on, progressions
from loopmeter_engine.planner.midi import midi_to_events
from loopmeter_engine.text.instruments import FAMILY_WORDS, LAYER_WORDS
from loopmeter_engine.text.lexicon import GENRE_WORDS, MOOD_WORDS, training

Floats = NDArray[np.float64]


def asked(kind: str) -> list[Loop]:
    return [loop for loop in asked_loops() if loop.kind == kind]


def test_the_list_is_40_of_each_kind_with_names_of_their_own() -> None:
    kinds = [loop.kind for loop in loops()]
    assert [kinds.count(kind) for kind in ("drums", "tonal", "any")] == [40, 40, 40]
    every = [*loops(), *asked_loops()]
    assert len({loop.name for loop in every}) == len(every)


@pytest.mark.parametrize("kind", ["drums", "tonal", "midi", "chords", "instrument"])
def test_judged_prompts_have_no_words_of_training_captions(kind: str) -> None:
    """Of the wordings in a prompt only the longest counts: "drum loop" holds "drum", and says something else."""
    tables = [*GENRE_WORDS.values(), *MOOD_WORDS.values(), *LAYER_WORDS.values()]
    tables += [words for families in FAMILY_WORDS.values() for words in families.values()]
    taught = set(chain(*(training(words) for words in tables)))
    known = sorted(set(chain(*tables)), key=len, reverse=True)
    longest = re.compile("|".join(rf"(?<![\w-]){re.escape(words)}(?![\w-])" for words in known))
    prompts = [loop.request.prompt for loop in [*loops(), *asked_loops()] if loop.kind == kind]

    found = {prompt: longest.findall(prompt) for prompt in prompts}

    assert all(found.values())
    assert {prompt: words for prompt, words in found.items() if taught.intersection(words)} == {}


def test_thirty_midi_files_play_one_layer_each_as_written() -> None:
    found = asked("midi")
    assert len(found) == 30
    for loop in found:
        (layer,) = loop.score.layers
        assert loop.score.bars == BARS
        count = len(loop.score.hits) if layer == "drums" else len(loop.score.notes)
        assert count >= 8, loop.name


@pytest.mark.parametrize("layer", ["drums", "bass", "chords", "lead"])
def test_a_midi_file_is_the_same_every_time_and_differs_by_seed(layer: Layer) -> None:
    scale = (0, 2, 4, 5, 7, 9, 11)
    assert midi_file(layer, scale, 1) == midi_file(layer, scale, 1) != midi_file(layer, scale, 2)
    assert midi_to_events(midi_file(layer, scale, 1)).bars(4) == BARS


def test_asked_chords_are_no_progression_that_the_planner_knows() -> None:
    """Compared as roots above the first chord, and which of them are minor."""
    known = {
        _row([(chord.root, chord.symbol) for chord in (chord_on(degree, "triad", 0, mode) for degree in degrees)])
        for mode in MODE_STEPS
        for degrees, _ in progressions(mode)
    }
    rows = {
        loop.request.chords: _row([(span.root, span.symbol) for span in loop.score.chords]) for loop in asked("chords")
    }

    assert all(len(row) == 4 for row in rows.values())
    assert [chords for chords, row in rows.items() if row in known] == []


def _row(chords: list[tuple[int, str]]) -> tuple[tuple[int, bool], ...]:
    return tuple(((root - chords[0][0]) % 12, "m" in symbol.replace("maj", "")) for root, symbol in chords)


def test_two_loops_ask_for_every_instrument_by_name() -> None:
    found = asked("instrument")
    assert all(loop.score.timbres[instrument_of(loop)[0]].family == instrument_of(loop)[1] for loop in found)
    assert {instrument_of(loop)[0] for loop in found} == set(STEMS)


def test_long_pieces_last_300_s_and_the_minutes_of_one_are_alike() -> None:
    whole, minutes = pieces()["sections"].score, pieces()["minutes"].score
    assert whole.duration_s == minutes.duration_s == 300.0
    beats = minutes.beats // 5
    rounds: list[list[tuple[str, float]]] = [[] for _ in range(5)]
    for hit in minutes.hits:
        number, at = divmod(hit.onset_beats, beats)
        rounds[int(number)].append((hit.drum, round(at, 6)))
    assert rounds[0] and all(row == rounds[0] for row in rounds)


def test_a_stem_with_another_layer_in_it_is_not_its_own() -> None:
    seconds = np.arange(44_100) / 44_100
    low: Floats = 0.3 * np.sin(2 * np.pi * 110 * seconds)
    high: Floats = 0.3 * np.sin(2 * np.pi * 1760 * seconds) * (seconds % 0.5 < 0.2)

    shares = [own_share(stem, [low, high], 0) for stem in (low, low + 0.5 * high, high)]

    assert shares[0] > 0.99
    assert 0.5 < shares[1] < 0.9
    assert shares[2] < 0.01


@pytest.mark.parametrize(
    ("aim", "figure", "met"),
    [
        (share_of(95), 0.95, True), (share_of(95), 0.94, False), (at_least(0.8), 0.79, False), (at_most(3), 3.0, True),
        (at_most(3), 3.1, False), (NO_AIM, 7.0, None),
    ],
)  # fmt: skip
def test_an_aim_is_met_at_its_limit(aim: Aim, figure: float, met: bool | None) -> None:
    assert aim.met(figure) is met


def test_rows_that_miss_their_aim_are_listed_with_their_cause() -> None:
    rows = [
        plain_row("met", at_least(1), 2.0, "{:.1f}"),
        plain_row("hits off", at_most(3), 6.4, "{:.1f}", "low_hits"),
        plain_row("strange", at_most(3), 9.0, "{:.1f}"),
    ]
    listed = falling_short(rows).splitlines()
    assert [line.split("**")[1] for line in listed] == ["hits off", "strange"]
    assert "6.4, aim 3." in listed[0] and "kick" in listed[0]
    assert "not known" in listed[1]
    assert falling_short(rows[:1]) == "Every row with an aim reaches it."


def test_a_table_has_a_cell_for_every_version() -> None:
    lines = table([plain_row("a", at_most(3), 1.0, "{:.0f}")], ("render", "generated")).splitlines()
    assert lines == ["| | aim | ground truth | generated |", "| --- | --- | --- | --- |", "| a | 3 |  | 1 |"]
