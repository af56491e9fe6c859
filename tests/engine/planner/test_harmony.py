"""Chords, progressions and the two tables that were made from other people's data."""

from __future__ import annotations

import io
import tarfile

import mido
import numpy as np
import pytest

from loopmeter_engine.planner.groove_statistics import statistics
from loopmeter_engine.planner.harmony import (
    MODE_STEPS,
    choose_progression,
    chord_on,
    lay_out,
    progressions,
    scale,
    voice,
)
from loopmeter_engine.planner.human import TABLE_PATH
from loopmeter_engine.planner.listen import estimate_key, hear_chords
from loopmeter_engine.planner.moods import MOOD_BOOK
from loopmeter_engine.planner.progression_table import rows_from
from loopmeter_engine.score import Note


@pytest.mark.parametrize(
    ("degree", "size", "tonic", "mode", "symbol"),
    [
        (1, "triad", 0, "major", "C"),
        (2, "seventh", 0, "major", "Dm7"),
        (5, "seventh", 0, "major", "G7"),
        (7, "seventh", 0, "major", "Bm7b5"),
        (4, "ninth", 5, "major", "Bbmaj9"),
        (6, "triad", 9, "minor", "F"),
        (4, "seventh", 2, "dorian", "G7"),
        (2, "triad", 4, "phrygian", "F"),
        (7, "sus4", 0, "major", "Bdim"),
        (3, "ninth", 0, "major", "Em7"),
        (1, "power", 3, "minor", "Eb5"),
    ],
)
def test_chords_are_named_as_musicians_write_them(degree: int, size: str, tonic: int, mode: str, symbol: str) -> None:
    assert chord_on(degree, size, tonic, mode).symbol == symbol


@pytest.mark.parametrize("mode", MODE_STEPS)
def test_every_chord_stays_in_its_mode(mode: str) -> None:
    for size in ("triad", "seventh", "ninth", "add9", "sixth", "sus2", "sus4", "power"):
        for degree in range(1, 8):
            assert set(chord_on(degree, size, 7, mode).pitch_classes) <= set(scale(7, mode))


def test_progressions_carry_their_moods() -> None:
    assert sum(len(progressions(mode)) for mode in MODE_STEPS) > 100
    assert all(1 <= degree <= 7 for mode in MODE_STEPS for degrees, _ in progressions(mode) for degree in degrees)


def test_mood_tags_pick_the_progression() -> None:
    def share(mood: str, tag: str) -> float:
        tags = dict(progressions("minor"))
        drawn = [
            tuple(choose_progression(np.random.default_rng(seed), "minor", MOOD_BOOK[mood], 4, 0.0))
            for seed in range(300)
        ]
        return sum(tag in tags.get(degrees, ()) for degrees in drawn) / 300

    assert share("sad", "Sad") > 2 * share("epic", "Sad")


def test_chords_fill_the_bars_exactly_in_odd_measures() -> None:
    shapes = [chord_on(degree, "triad", 0, "major") for degree in (1, 5, 6, 4)]
    for bars, beats_per_bar, bars_per_chord in ((3, 4, 1.0), (1, 3, 0.5), (7, 5, 2.0), (2, 2, 1.0)):
        spans = lay_out(shapes, bars, beats_per_bar, bars_per_chord)
        assert sum(span.duration_beats for span in spans) == bars * beats_per_bar


def test_voices_move_little_from_chord_to_chord() -> None:
    first = voice((0, 4, 7), (), 62, 40, 88)
    second = voice((9, 0, 4), first, 62, 40, 88)
    assert len(set(first) & set(second)) == 2
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) <= 4


def test_table_keeps_only_progressions_that_lie_in_one_mode() -> None:
    source = "mode,progression_roman,mood_tags\nmaj,I V7 vi IV,Hopeful\nmodal,im bVIIM IV im,New Nostalgic\n"
    source += "modal,I bIIIM bVIM V,Mysterious\nmodal,I bVIIM IV I,Joyful\n"
    assert rows_from(source) == [
        ("dorian", "1 7 4 1", "Nostalgic"),
        ("major", "1 5 6 4", "Hopeful"),
        ("mixolydian", "1 7 4 1", "Joyful"),
    ]


def test_groove_statistics_measure_lateness_and_loudness() -> None:
    """A made-up drummer: the snare 0.02 beats later than the kick, beat one the loudest kick."""
    midi = mido.MidiFile(ticks_per_beat=1000)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    now = 0
    for bar in range(32):
        for beat, (note, late, velocity) in enumerate([(36, 0, 100), (38, 20, 90), (36, 0, 60), (38, 20, 90)]):
            at = 1000 * (4 * bar + beat) + late
            track.append(mido.Message("note_on", channel=9, note=note, velocity=velocity, time=at - now))
            now = at
    data, archive = io.BytesIO(), io.BytesIO()
    midi.save(file=data)
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("groove/drummer1/session1/1_rock_100_beat_4-4.mid")
        member.size = len(data.getvalue())
        tar.addfile(member, io.BytesIO(data.getvalue()))
    rock = statistics(archive.getvalue())["rock"]
    assert rock["snare"]["delay"][4] - rock["kick"]["delay"][0] == pytest.approx(0.02, abs=0.001)
    assert rock["kick"]["accent"][0] == pytest.approx(100 / 80, abs=0.01)
    assert rock["kick"]["accent"][8] == pytest.approx(60 / 80, abs=0.01)


def test_shipped_groove_table_is_small() -> None:
    assert TABLE_PATH.stat().st_size < 100_000


def test_key_and_chords_are_heard() -> None:
    bars = [(57, 60, 64), (50, 53, 57), (52, 55, 59), (57, 60, 64)]
    notes = [Note("chords", 4.0 * i, 4.0, pitch, 0.8) for i, pitches in enumerate(bars) for pitch in pitches]
    assert estimate_key(notes) == (9, "minor")
    assert [span.symbol for span in hear_chords(notes, 4, 4, 9, "minor")] == ["Am", "Dm", "Em", "Am"]
    assert estimate_key([]) == (0, "major")
