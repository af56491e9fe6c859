"""Captions say only what is in the score, say it in many ways, and keep the held-out wordings apart."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from loopmeter import LAYERS
from loopmeter_engine.planner.names import GENRES, MOODS
from loopmeter_engine.score import FAMILIES, MACROS, Score, Timbre
from loopmeter_engine.text.captions import caption
from loopmeter_engine.text.instruments import FAMILY_WORDS, LAYER_WORDS, MACRO_WORDS
from loopmeter_engine.text.lexicon import (
    GENRE_HINTS,
    GENRE_SCENES,
    GENRE_WORDS,
    MOOD_SCENES,
    MOOD_WORDS,
    held_out,
    training,
)  # fmt: skip

FULL = Score(
    tempo_bpm=92.0, beats_per_bar=4, bars=8, tonic=9, mode="minor", genre="lofi", mood="calm", swing=0.2,
    chords=(), notes=(), hits=(), fx=(),
    timbres={
        "drums": Timbre("lofi", drive=0.9), "bass": Timbre("finger"), "chords": Timbre("electric_piano", space=0.9),
        "pad": Timbre("warm", width=1.0),
    },
)  # fmt: skip


def _captions(score: Score, count: int = 400, heldout: bool = False) -> list[str]:
    rng = np.random.default_rng(5)
    return [caption(score, rng, heldout) for _ in range(count)]


@pytest.mark.parametrize("table", [GENRE_WORDS, GENRE_HINTS])
def test_every_genre_has_ten_wordings_at_least(table: dict[str, tuple[str, ...]]) -> None:
    assert set(table) == set(GENRES) and min(map(len, table.values())) >= 10


def test_every_mood_and_family_has_wordings() -> None:
    assert set(MOOD_WORDS) == set(MOODS) == set(MOOD_SCENES) and set(GENRE_SCENES) == set(GENRES)
    assert min(map(len, MOOD_WORDS.values())) >= 10
    assert {layer: tuple(families) for layer, families in FAMILY_WORDS.items()} == FAMILIES
    assert set(LAYER_WORDS) == set(LAYERS) and {macro for macro, _ in MACRO_WORDS} == set(MACROS)
    assert min(len(words) for families in FAMILY_WORDS.values() for words in families.values()) >= 10


def test_the_same_seed_writes_the_same_captions() -> None:
    assert _captions(FULL, 20) == _captions(FULL, 20)


def test_captions_vary_from_one_word_to_sentences() -> None:
    lengths = [len(text.split()) for text in _captions(FULL)]

    assert len(set(_captions(FULL))) > 350
    assert min(lengths) <= 2 and max(lengths) >= 12


@pytest.mark.parametrize("genre", GENRES)
def test_every_genre_and_mood_can_be_said(genre: str) -> None:
    score = replace(FULL, genre=genre, mood=MOODS[len(genre) % len(MOODS)])

    assert all(_captions(score, 30)) and all(_captions(score, 30, heldout=True))


def test_heldout_captions_use_other_wordings_than_training() -> None:
    jazz = replace(FULL, genre="jazz")
    assert not set(held_out(GENRE_WORDS["jazz"])) & set(training(GENRE_WORDS["jazz"]))

    trained, kept = " | ".join(_captions(jazz)).lower(), " | ".join(_captions(jazz, heldout=True)).lower()

    assert "bebop" in trained and "bebop" not in kept
    assert "gypsy jazz" in kept and "gypsy jazz" not in trained


def test_captions_name_the_tempo_key_and_length_that_the_score_has() -> None:
    said = " | ".join(_captions(FULL)).lower()

    assert set(re.findall(r"(\d+) ?bpm", said)) == {"92"}
    assert set(re.findall(r"(\d+)[- ]bars?\b", said)) == {"8"}
    assert set(re.findall(r"in ([a-g][#b]? minor)", said)) == {"a minor"}


def test_captions_deny_only_layers_that_are_absent() -> None:
    said = " | ".join(_captions(FULL, 800))

    assert set(re.findall(r"(?:no|without|minus the) (drums|bass|chords|melody|pads)\b", said)) == {"melody"}
    assert "drumless" not in said and "beatless" not in said


def test_a_score_of_one_layer_is_often_asked_for_alone() -> None:
    solo = replace(FULL, timbres={"drums": FULL.timbres["drums"]})

    said = _captions(solo)

    assert sum(" only" in f" {text}" or "just" in text or "solo" in text or "isolated" in text for text in said) > 60
