"""What the words of a prompt say outright: layers, instruments, adjectives, genre and mood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import LAYERS
from loopmeter_engine.planner.names import GENRES, MODES, MOODS
from loopmeter_engine.score import FAMILIES, MACROS
from loopmeter_engine.text.lexicon import GENRE_WORDS, MOOD_WORDS
from loopmeter_engine.text.phrases import split_words
from loopmeter_engine.text.reading import read_words


@pytest.mark.parametrize(
    ("prompt", "only", "without"),
    [
        ("no drums, only piano", {"chords"}, {"drums"}),
        ("drums only, no piano", {"drums"}, set()),
        ("techno without bass", set(), {"bass"}),
        ("drumless ambient, no bass or melody", set(), {"drums", "bass", "lead"}),
        ("no drums, bass or pads", set(), {"drums", "bass", "pad"}),
        ("no drums, bass and pads", set(), {"drums"}),
        ("house, no drums and soft piano", set(), {"drums"}),
        ("80s pop w/o drums", set(), {"drums"}),
        ("no vocals or drums, dreamy", set(), {"drums"}),
        ("beatless dub techno", set(), {"drums"}),
        ("just bass and pads", {"bass", "pad"}, set()),
        ("solo piano, 90 bpm", {"chords"}, set()),
        ("piano on its own", {"chords"}, set()),
        ("drums and bass only", {"drums", "bass"}, set()),
        ("nothing but drums and chords", {"drums", "chords"}, set()),
        ("drums and nothing else", {"drums"}, set()),
        ("dusty lo-fi drums", {"drums"}, set()),
        ("a techno drum loop please", {"drums"}, set()),
        ("bass and chords in A minor", {"bass", "chords"}, set()),
        ("sad piano melody", {"chords"}, set()),
        ("warm rhodes chords with vinyl crackle", {"chords", "fx"}, set()),
        ("a lofi track with rhodes", set(), set()),
        ("drum and bass", set(), set()),
        ("just a chill lofi beat with rhodes", set(), set()),
        ("boom bap beat, dusty drums, upright bass", set(), set()),
        ("trap beat, no hats", set(), set()),
        ("lofi without vocals, instrumental", set(), set()),
        ("make me something nice", set(), set()),
    ],
)
def test_layers_asked_for_alone_and_denied(prompt: str, only: set[str], without: set[str]) -> None:
    brief = read_words(prompt).brief

    assert (set(brief.layers_only), set(brief.layers_without)) == (only, without)


@pytest.mark.parametrize(
    ("prompt", "families"),
    [
        ("lofi with rhodes", {"chords": "electric_piano"}),
        ("acid house, 303 line", {"bass": "acid"}),
        ("808 drums", {"drums": "tr808"}),
        ("trap with 808 bass and bells", {"bass": "sub", "lead": "bell"}),
        ("trance with supersaws and a saw lead", {"pad": "supersaw", "lead": "saw"}),
        ("pop with piano and strings", {"chords": "piano", "pad": "strings"}),
        ("trap, no 808s", {"drums": "acoustic"}),
        ("jazz, no piano", {"chords": "pluck"}),
        ("house without pads", {}),
    ],
)
def test_instruments_become_families(prompt: str, families: dict[str, str]) -> None:
    assert read_words(prompt).brief.families == families


def test_an_adjective_describes_the_instrument_that_follows() -> None:
    macros = read_words("house, wide supersaws and very distorted bass").brief.macros

    assert set(macros) == {"pad", "bass"}
    assert macros["pad"] == {"width": 0.85} and macros["bass"] == {"drive": 0.8}


def test_a_free_adjective_describes_every_layer() -> None:
    macros = read_words("techno, muffled").brief.macros

    assert set(macros) == {"drums", "bass", "chords", "lead", "pad"}
    assert all(values["brightness"] < 0.3 for values in macros.values())


@pytest.mark.parametrize(
    ("word", "macro", "low"),
    [
        ("bright", "brightness", False), ("gritty", "drive", False), ("dry", "space", True), ("washed out", "space",
        False),
        ("reverb-drenched", "space", False), ("staccato", "length", True), ("plucky", "length", True),
        ("swelling", "softness", False), ("mono", "width", True), ("without reverb", "space", True),
    ],
)  # fmt: skip
def test_adjectives_turn_macros_up_or_down(word: str, macro: str, low: bool) -> None:
    value = read_words(f"{word} organ").brief.macros["chords"][macro]

    assert (value < 0.5) is low


@pytest.mark.parametrize(
    ("prompt", "genre"),
    [
        ("ambient techno", "techno"), ("jazz house with rock guitars", "house"), ("D'n'B roller", "drum_and_bass"),
        ("lo fi", "lofi"), ("LO-FI HIP HOP", "lofi"), ("R&B", "pop"), ("rock drums", "rock"), ("haunted house", None),
        ("not too dark synthwave", "synthwave"), ("no drums techno", "techno"), ("anything", None), ("chillhop",
        "lofi"),
    ],
)  # fmt: skip
def test_named_genre(prompt: str, genre: str | None) -> None:
    assert read_words(prompt).brief.genre == genre


def test_denied_moods_do_not_count() -> None:
    assert read_words("not too dark synthwave").brief.mood is None
    assert read_words("dark synthwave").brief.mood == "dark"


def test_the_mood_of_the_whole_goes_before_the_mood_of_one_instrument() -> None:
    assert read_words("warm pads, sad").brief.mood == "sad"


@pytest.mark.parametrize(("prompt", "busy"), [("sparse house", False), ("very busy jazz", True)])
def test_density(prompt: str, busy: bool) -> None:
    density = read_words(prompt).brief.density

    assert density is not None and (density > 0.5) is busy


def test_hints_count_only_where_no_genre_is_named() -> None:
    assert read_words("dusty crackle from an MPC").hints[:2] == ("lofi", "boom_bap")
    assert read_words("dusty techno").brief.genre == "techno"


@pytest.mark.parametrize("table", [GENRE_WORDS, MOOD_WORDS])
def test_no_wording_names_two_things(table: dict[str, tuple[str, ...]]) -> None:
    spelled = [word for wordings in table.values() for word in {" ".join(split_words(w)) for w in wordings}]

    assert len(spelled) == len(set(spelled))


def test_every_wording_of_a_genre_is_read_as_that_genre() -> None:
    wrong = [w for name, wordings in GENRE_WORDS.items() for w in wordings if read_words(w).brief.genre != name]

    assert wrong == []


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            ["no", "only", "drums", ",", "bass", "and", "or", "just", "A", "m", "#", "4", "bars", "bpm", "9", "/"]
        )
    ).map(" ".join)
)
def test_any_text_gives_names_that_the_planner_knows(prompt: str) -> None:
    brief = read_words(prompt).brief

    assert brief.genre in (None, *GENRES) and brief.mood in (None, *MOODS) and brief.mode in (None, *MODES)
    assert brief.tempo_bpm is None or 40 <= brief.tempo_bpm <= 240
    assert not set(brief.layers_only) & set(brief.layers_without)
    assert all(family in FAMILIES[layer] for layer, family in brief.families.items())
    assert all(layer in LAYERS and macro in MACROS for layer, values in brief.macros.items() for macro in values)
