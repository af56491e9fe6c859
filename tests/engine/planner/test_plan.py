"""Planning: request over prompt over file over habit, and nothing left open."""

from __future__ import annotations

import base64

import pytest

from loopmeter import LAYERS, LoopRequest
from loopmeter_engine.planner.brief import PromptBrief
from loopmeter_engine.planner.compose import compose
from loopmeter_engine.planner.genres import GENRE_BOOK
from loopmeter_engine.planner.midi import score_to_midi
from loopmeter_engine.planner.names import GENRES, MOODS
from loopmeter_engine.planner.plan import parse_key, plan_score, resolve


def test_request_wins_over_prompt() -> None:
    request = LoopRequest(prompt="x", tempo_bpm=91, bars=2, key="F#")
    score = plan_score(request, PromptBrief(tempo_bpm=140, bars=8, tonic=0, mode="minor"))
    assert (score.tempo_bpm, score.bars, score.tonic, score.mode) == (91, 2, 6, "major")


def test_prompt_wins_over_habit() -> None:
    resolved = resolve(LoopRequest(prompt="x"), PromptBrief(genre="house", tempo_bpm=99, bars=8, tonic=3, mode="minor"))
    assert (resolved.tempo_bpm, resolved.bars, resolved.key) == (99, 8, "Ebm")


@pytest.mark.parametrize("genre", GENRES)
def test_habit_fills_what_nobody_said(genre: str) -> None:
    low, _, high = GENRE_BOOK[genre].tempo_bpm
    for mood in (None, *MOODS):
        for seed in range(3):
            resolved = resolve(LoopRequest(prompt="x", seed=seed), PromptBrief(genre=genre, mood=mood))
            assert resolved.tempo_bpm is not None and low <= resolved.tempo_bpm <= high
            assert resolved.bars == 4
            assert resolved.key is not None and parse_key(resolved.key)


def test_resolving_twice_changes_nothing_and_the_score_agrees() -> None:
    for seed in range(30):
        request = LoopRequest(prompt="x", seed=seed)
        brief = PromptBrief(mood=MOODS[seed % len(MOODS)])
        resolved = resolve(request, brief)
        assert resolve(resolved, brief) == resolved
        assert plan_score(resolved, brief) == plan_score(request, brief)


def test_seeds_choose_other_keys() -> None:
    assert len({resolve(LoopRequest(prompt="x", seed=seed), PromptBrief()).key for seed in range(40)}) > 8


def test_rarer_mode_of_the_prompt_is_kept_where_the_key_allows_it() -> None:
    brief = PromptBrief(tonic=2, mode="dorian")
    assert resolve(LoopRequest(prompt="x"), brief).key == "Dm"
    assert plan_score(LoopRequest(prompt="x"), brief).mode == "dorian"
    assert plan_score(LoopRequest(prompt="x", key="D"), brief).mode == "major"


@pytest.mark.parametrize(
    ("request_layers", "brief", "expected"),
    [
        (("lead", "bass"), PromptBrief(genre="house", layers_only=("drums",)), {"bass", "lead"}),
        (None, PromptBrief(genre="house", layers_only=("drums",)), {"drums"}),
        (None, PromptBrief(genre="house", layers_without=("drums", "pad")), {"bass", "chords"}),
        (None, PromptBrief(genre="house", families={"lead": "flute"}), {"drums", "bass", "chords", "pad", "lead"}),
        (None, PromptBrief(genre="house", layers_only=("pad",), layers_without=("pad",)), set(LAYERS) - {"pad"}),
        (None, PromptBrief(genre="house", layers_without=LAYERS), {"drums", "bass", "chords", "pad"}),
    ],
    ids=["request", "only", "without", "named-instrument", "only-and-without", "everything-without"],
)
def test_layers_follow_request_then_words(
    request_layers: tuple[str, ...] | None, brief: PromptBrief, expected: set[str]
) -> None:
    request = LoopRequest.model_validate({"prompt": "x", "layers": request_layers})
    assert set(plan_score(request, brief).layers) == expected


def test_a_file_gives_tempo_bars_and_key_where_nobody_else_does() -> None:
    song = compose("pop", tempo_bpm=103, bars=6, tonic=8, mode="minor", seed=1)
    request = LoopRequest(prompt="x", midi_base64=base64.b64encode(score_to_midi(song)).decode())
    resolved = resolve(request, PromptBrief())
    assert resolved.tempo_bpm == pytest.approx(103, abs=0.01)
    assert (resolved.bars, resolved.key) == (6, "G#m")


def test_a_file_without_a_telling_signature_is_listened_to() -> None:
    song = compose("pop", tempo_bpm=120, bars=8, tonic=7, mode="major", seed=1)
    told, untold = b"\xff\x59\x02\x01\x00", b"\xff\x59\x02\x00\x00"  # One sharp; the C major of no choice.
    data = score_to_midi(song)
    assert told in data
    request = LoopRequest(prompt="x", midi_base64=base64.b64encode(data.replace(told, untold)).decode())
    assert resolve(request, PromptBrief()).key == "G"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Am", (9, "minor")),
        ("F#", (6, "major")),
        ("Eb minor", (3, "minor")),
        ("b♭ maj", (10, "major")),
        ("Cb", (11, "major")),
    ],
)
def test_keys_are_parsed_in_every_spelling(key: str, expected: tuple[int, str]) -> None:
    assert parse_key(key) == expected


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a key"):
        parse_key("H")
