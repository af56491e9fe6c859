"""What a musician may ask outright: chords, swing, density, intensity, sections."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from loopmeter import LoopRequest, Section
from loopmeter_engine.contract import InvalidRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.planner.brief import PromptBrief
from loopmeter_engine.planner.chord_names import key_of, read_chord, read_chords
from loopmeter_engine.planner.plan import plan_score, resolve
from loopmeter_engine.score import Score

BRIEF = PromptBrief(genre="house")


def _score(**asked: object) -> Score:
    return plan_score(LoopRequest(prompt="house", tempo_bpm=120, seed=3, **asked), BRIEF)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "root", "tones"),
    [
        ("Am", 9, (9, 0, 4)),
        ("F#m7", 6, (6, 9, 1, 4)),
        ("Bbmaj7", 10, (10, 2, 5, 9)),
        ("C/E", 4, (4, 0, 7)),
        ("G7sus4", 7, (7, 0, 2, 5)),
        ("Ebadd9", 3, (3, 7, 10, 5)),
        ("D5", 2, (2, 9)),
    ],
)
def test_a_chord_name_gives_its_tones(name: str, root: int, tones: tuple[int, ...]) -> None:
    assert read_chord(name) == (root, tones)


@pytest.mark.parametrize("name", ["H", "am", "C/", "Cfoo", "C//E", "C/E7"])
def test_what_is_no_chord_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="expected a chord such as C, Cm"):
        read_chord(name)


def test_one_chord_a_bar_goes_round() -> None:
    spans = read_chords("Am F C G", 6, 4)
    assert [(span.onset_beats, span.symbol) for span in spans] == [
        (0, "Am"), (4, "F"), (8, "C"), (12, "G"), (16, "Am"), (20, "F"),
    ]  # fmt: skip


def test_chords_between_bar_lines_share_their_bar() -> None:
    spans = read_chords("Am F | C | G", 3, 4)
    assert [(span.onset_beats, span.duration_beats) for span in spans] == [(0, 2), (2, 2), (4, 4), (8, 4)]


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4, 5, 6])
def test_asked_chords_fill_the_piece_without_gaps(beats_per_bar: int) -> None:
    spans = read_chords("Am F C | Dm7 G", 7, beats_per_bar)
    ends = [span.onset_beats + span.duration_beats for span in spans]
    assert ends[:-1] == pytest.approx([span.onset_beats for span in spans[1:]])
    assert ends[-1] == pytest.approx(7 * beats_per_bar)


@pytest.mark.parametrize(
    ("chords", "key"),
    [
        ("Am F C G", (9, "minor")),
        ("C G Am F", (0, "major")),
        ("Dm7 G7 Cmaj7", (0, "major")),
        ("Em C G D", (4, "minor")),
    ],
)
def test_the_key_follows_from_the_chords(chords: str, key: tuple[int, str]) -> None:
    assert key_of(read_chords(chords, 4, 4)) == key


def test_asked_chords_are_what_bass_and_chords_play() -> None:
    score = _score(chords="Am F C G", bars=4, layers=("bass", "chords"))
    assert [span.symbol for span in score.chords] == ["Am", "F", "C", "G"]
    for note in score.notes:
        span = next(
            s for s in score.chords if s.onset_beats <= note.onset_beats + 0.1 < s.onset_beats + s.duration_beats
        )
        if note.layer == "chords" and note.onset_beats - span.onset_beats > 0.2:
            assert note.pitch % 12 in span.pitch_classes


def test_asked_chords_set_the_key_where_none_is_asked() -> None:
    request = LoopRequest(prompt="house", chords="Dm Bb F C")
    assert resolve(request, BRIEF).key == "Dm"
    assert resolve(request.model_copy(update={"key": "F"}), BRIEF).key == "F"


def test_swing_is_taken_as_asked() -> None:
    assert _score(bars=2, swing=0.0).swing == 0.0
    assert _score(bars=2, swing=0.9).swing == 0.9


def test_density_brings_more_events() -> None:
    counts = [
        sum(
            len(score.notes) + len(score.hits)
            for score in (
                plan_score(LoopRequest(prompt="x", tempo_bpm=100, bars=8, seed=s, density=d), BRIEF) for s in range(8)
            )
        )
        for d in (0.0, 0.5, 1.0)
    ]
    assert counts[0] < counts[1] < counts[2]


def test_intensity_plays_harder_and_brighter_but_the_same_notes() -> None:
    soft, habit, hard = (_score(bars=4, intensity=value) for value in (0.0, 0.5, 1.0))
    assert [hit.onset_beats for hit in soft.hits] == [hit.onset_beats for hit in hard.hits]
    loudness = [sum(hit.velocity for hit in score.hits) for score in (soft, habit, hard)]
    assert loudness[0] < loudness[1] < loudness[2]
    assert soft.timbres["chords"].brightness < hard.timbres["chords"].brightness
    assert habit == _score(bars=4)


def test_sections_add_up_and_the_quiet_ones_play_less() -> None:
    sections = (Section(name="intro", bars=4), Section(name="verse", bars=8), Section(name="chorus", bars=8))
    score = _score(sections=sections, layers=("drums", "bass", "chords", "lead"))
    assert score.bars == 20
    hits = [
        sum(first <= hit.onset_beats / 4 < last for hit in score.hits) for first, last in ((0, 4), (4, 12), (12, 20))
    ]
    assert hits[0] == 0 < hits[1]
    assert not any(note.layer == "lead" and note.onset_beats < 48 for note in score.notes)
    assert any(note.layer == "lead" and note.onset_beats >= 48 for note in score.notes)


def test_every_chorus_is_the_same_chorus() -> None:
    sections = tuple(Section(name=name, bars=4) for name in ("chorus 1", "verse", "chorus 2"))
    score = _score(sections=sections)

    def events(first: float) -> list[tuple[object, ...]]:
        return [
            (note.layer, round(note.onset_beats - first, 6), note.pitch)
            for note in score.notes
            if first <= note.onset_beats < first + 16
        ]

    assert events(0.0) == events(32.0) != events(16.0)


def test_sections_of_other_length_than_the_bars_are_refused() -> None:
    with pytest.raises(ValidationError, match="expected sections of 8 bars in all, found 4"):
        LoopRequest(prompt="x", bars=8, sections=(Section(name="verse", bars=4),))


def test_the_engine_names_the_field_of_a_wrong_chord() -> None:
    with pytest.raises(InvalidRequest, match="found 'Hm'") as caught:
        LoopmeterEngine().plan(LoopRequest(prompt="pop", chords="Am Hm"))
    assert caught.value.field == "chords"


def test_the_summary_tells_where_sections_begin() -> None:
    request = LoopRequest(
        prompt="house", tempo_bpm=120, sections=(Section(name="intro", bars=2), Section(name="drop", bars=4))
    )
    engine = LoopmeterEngine()
    summary = engine.score(request).summary
    assert summary["sections"] == [
        {"name": "intro", "bar": 0, "bars": 2, "frame": 0},
        {"name": "drop", "bar": 2, "bars": 4, "frame": 176_400},
    ]
    assert engine.plan(request).frames == 6 * 88_200
