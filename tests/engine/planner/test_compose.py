"""Composing: every genre, mood and meter gives music inside its loop and its key, the same each time."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from loopmeter import LAYERS
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.compose import compose
from loopmeter_engine.planner.harmony import scale
from loopmeter_engine.planner.moods import MOOD_BOOK
from loopmeter_engine.planner.names import GENRES, MODES, MOODS
from loopmeter_engine.score import DRUMS, FX_KINDS, TONAL_LAYERS, Score


def _assert_is_sound(score: Score) -> None:
    allowed = set(scale(score.tonic, score.mode))
    for note in score.notes:
        assert note.pitch % 12 in allowed
        assert RANGES[note.layer][0] <= note.pitch <= RANGES[note.layer][1]
        assert note.onset_beats >= 0.0 and note.duration_beats > 0.0
        assert note.onset_beats + note.duration_beats <= score.beats + 1e-9
        assert 0.0 < note.velocity <= 1.0
    for hit in score.hits:
        assert hit.drum in DRUMS and 0.0 <= hit.onset_beats < score.beats and 0.0 < hit.velocity <= 1.0
    for event in score.fx:
        assert event.kind in FX_KINDS and 0.0 <= event.onset_beats < score.beats
        assert event.onset_beats + event.duration_beats <= score.beats + 1e-9
    ends = [span.onset_beats + span.duration_beats for span in score.chords]
    assert [0.0, *ends[:-1]] == [span.onset_beats for span in score.chords] and ends[-1] == score.beats
    for span in score.chords:
        assert set(span.pitch_classes) <= allowed
    for layer in TONAL_LAYERS:
        assert any(note.layer == layer for note in score.notes)
    assert score.hits and score.layers == LAYERS


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("genre", GENRES)
def test_every_genre_mood_and_meter_stays_in_its_loop_and_key(genre: str, beats_per_bar: int) -> None:
    for index, mood in enumerate(MOODS):
        for bars in (1, 3, 4):
            score = compose(
                genre,
                mood,
                tempo_bpm=100,
                bars=bars,
                beats_per_bar=beats_per_bar,
                tonic=index,
                mode=MODES[index % 6],
                layers=LAYERS,
                seed=index,
            )
            _assert_is_sound(score)


def test_equal_arguments_give_equal_scores_in_another_process() -> None:
    code = (
        "from loopmeter_engine.planner.compose import compose;"
        "print(repr(compose('funk', 'happy', tempo_bpm=104, bars=4, tonic=2, seed=5)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == repr(compose("funk", "happy", tempo_bpm=104, bars=4, tonic=2, seed=5))


def test_planner_never_imports_torch() -> None:
    code = "import sys, loopmeter_engine.planner.variety; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("genre", GENRES)
def test_other_seeds_give_other_music(genre: str) -> None:
    scores = [compose(genre, tempo_bpm=100, bars=4, tonic=0, seed=seed) for seed in range(8)]
    assert len({(score.notes, score.hits) for score in scores}) == 8


def test_a_stem_is_the_same_music_with_layers_left_out() -> None:
    full = compose("house", tempo_bpm=124, bars=4, tonic=9, mode="minor", layers=LAYERS, seed=3)
    stem = compose("house", tempo_bpm=124, bars=4, tonic=9, mode="minor", layers=("bass", "pad"), seed=3)
    assert stem.notes == tuple(note for note in full.notes if note.layer in ("bass", "pad"))
    assert stem.hits == () and stem.chords == full.chords
    assert stem.timbres == {layer: full.timbres[layer] for layer in ("bass", "pad")}


def test_bass_and_lead_play_one_note_at_a_time() -> None:
    for genre in GENRES:
        score = compose(genre, tempo_bpm=100, bars=8, tonic=4, layers=("bass", "lead"), seed=11)
        for layer in ("bass", "lead"):
            line = [note for note in score.notes if note.layer == layer]
            for before, after in pairwise(line):
                assert before.onset_beats + before.duration_beats <= after.onset_beats + 0.06


def test_chords_move_by_small_steps() -> None:
    score = compose("pop", tempo_bpm=100, bars=8, tonic=0, mode="major", layers=("pad",), seed=2)
    onsets = sorted({span.onset_beats for span in score.chords})
    tops = [max(n.pitch for n in score.notes if abs(n.onset_beats - onset) < 0.1) for onset in onsets]
    assert len(tops) > 2
    assert all(abs(a - b) <= 7 for a, b in pairwise(tops))


def test_four_to_the_floor_has_a_kick_on_every_beat() -> None:
    score = compose("techno", tempo_bpm=132, bars=2, tonic=0, seed=1, layers=("drums",))
    kicks = {
        round(hit.onset_beats)
        for hit in score.hits
        if hit.drum == "kick" and abs(hit.onset_beats - round(hit.onset_beats)) < 0.03
    }
    assert {0, 1, 2, 3} <= kicks


@pytest.mark.parametrize("genre", ["boom_bap", "funk", "rock", "pop", "drum_and_bass"])
def test_backbeat_genres_hit_two_and_four(genre: str) -> None:
    score = compose(genre, tempo_bpm=100, bars=4, tonic=0, seed=4, layers=("drums",))
    backbeats = [h for h in score.hits if h.drum in ("snare", "clap", "rim") and h.velocity > 0.6 and h.onset_beats < 4]
    for beat in (1, 3):
        assert any(abs(hit.onset_beats - beat) < 0.07 for hit in backbeats)


def test_words_overrule_families_and_macros() -> None:
    score = compose("jazz", tempo_bpm=120, bars=1, tonic=0, families={"bass": "acid"}, macros={"bass": {"drive": 0.9}})
    assert score.timbres["bass"].family == "acid" and score.timbres["bass"].drive == 0.9


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"genre": "polka"}, "genre"),
        ({"mood": "hungry"}, "mood"),
        ({"tempo_bpm": 39}, "tempo_bpm"),
        ({"bars": 257}, "bars"),
        ({"beats_per_bar": 7}, "beats_per_bar"),
        ({"mode": "locrian"}, "mode"),
        ({"families": {"bass": "kazoo"}}, "family"),
        ({"macros": {"bass": {"warmth": 0.5}}}, "macro"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_unknown_choices_are_named(changes: dict[str, object], word: str) -> None:
    arguments = {"genre": "house", "mood": "dark", "tempo_bpm": 120, "bars": 4, "tonic": 0, **changes}
    with pytest.raises(ValueError, match=f"expected .*{word}.*found"):
        compose(**arguments)  # type: ignore[arg-type]


def test_mood_changes_the_music() -> None:
    scores = [compose("house", mood, tempo_bpm=120, bars=4, tonic=0, seed=1) for mood in MOOD_BOOK]
    assert len({tuple(sorted(score.timbres.items(), key=lambda item: item[0])) for score in scores}) == len(scores)


def test_mode_follows_mood() -> None:
    happy = [compose("pop", "happy", tempo_bpm=100, bars=1, tonic=0, seed=s).mode for s in range(30)]
    dark = [compose("pop", "dark", tempo_bpm=100, bars=1, tonic=0, seed=s).mode for s in range(30)]
    assert happy.count("major") > 22 and dark.count("minor") > 22


def test_the_longest_piece_is_written_in_bounded_time() -> None:
    start = time.perf_counter()
    score = compose("drum_and_bass", tempo_bpm=205, bars=256, tonic=0, layers=LAYERS, seed=1)
    assert time.perf_counter() - start < 2.0  # 0.12 s measured; a quadratic writer would take minutes.
    _assert_is_sound(score)
    assert len({span.symbol for span in score.chords}) >= 2


def test_long_pieces_vary() -> None:
    score = compose("house", tempo_bpm=124, bars=32, tonic=0, layers=("drums",), seed=1)
    bars = [
        frozenset((h.drum, round(h.onset_beats % 4, 1)) for h in score.hits if h.onset_beats // 4 == bar)
        for bar in range(32)
    ]
    assert len(set(bars)) > 6


def test_scores_are_values() -> None:
    score = compose("lofi", tempo_bpm=80, bars=2, tonic=0)
    assert replace(score, mood="dark") != score and replace(score) == score
