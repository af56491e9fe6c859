"""MIDI out and in: files that other programs agree with, users' files in place of the plan, garbage refused."""

from __future__ import annotations

import io
from collections.abc import Sequence

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter import LAYERS
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.compose import compose
from loopmeter_engine.planner.midi import (
    TICKS_PER_BEAT,
    InvalidMidi,
    midi_to_events,
    score_to_midi,
    with_user_midi,
)
from loopmeter_engine.planner.names import GENRES
from loopmeter_engine.planner.variety import training_score
from loopmeter_engine.score import Score

PLAN = compose("house", "dark", tempo_bpm=124, bars=4, tonic=9, mode="minor", seed=3)


def ticks(beats: float) -> int:
    return round(beats * TICKS_PER_BEAT)


def written(*tracks: Sequence[mido.Message | mido.MetaMessage], kind: int = 1, ppq: int = 480) -> bytes:
    midi = mido.MidiFile(type=kind, ticks_per_beat=ppq)
    midi.tracks.extend(mido.MidiTrack(track) for track in tracks)
    buffer = io.BytesIO()
    midi.save(file=buffer)
    return buffer.getvalue()


def tone(pitch: int, length: int, channel: int = 0, wait: int = 0) -> list[mido.Message]:
    return [
        mido.Message("note_on", note=pitch, velocity=90, channel=channel, time=wait),
        mido.Message("note_off", note=pitch, channel=channel, time=length),
    ]


def chord(pitches: Sequence[int], length: int) -> list[mido.Message]:
    starts = [mido.Message("note_on", note=pitch, velocity=90) for pitch in pitches]
    ends = [mido.Message("note_off", note=pitch, time=length if i == 0 else 0) for i, pitch in enumerate(pitches)]
    return starts + ends


def assert_same_events(score: Score, data: bytes) -> None:
    user = midi_to_events(data)
    assert sorted((ticks(n.onset_beats), n.layer, n.pitch, round(n.velocity * 127)) for n in user.notes) == sorted(
        (ticks(n.onset_beats), n.layer, n.pitch, max(1, round(n.velocity * 127))) for n in score.notes
    )
    ends = {(n.layer, n.pitch, ticks(n.onset_beats)): ticks(n.onset_beats + n.duration_beats) for n in user.notes}
    for note in score.notes:
        at = (note.layer, note.pitch, ticks(note.onset_beats))
        assert abs(ends[at] - ticks(note.onset_beats + note.duration_beats)) <= 1
    assert sorted((ticks(h.onset_beats), h.drum) for h in user.hits) == sorted(
        (ticks(h.onset_beats), h.drum) for h in score.hits
    )
    assert [(e.kind, ticks(e.onset_beats)) for e in user.fx] == [(e.kind, ticks(e.onset_beats)) for e in score.fx]


@pytest.mark.parametrize("genre", GENRES)
def test_export_then_import_gives_the_same_events_to_a_tick(genre: str) -> None:
    for seed, beats_per_bar in ((1, 4), (2, 3), (3, 6)):
        score = compose(genre, tempo_bpm=97.3, bars=4, beats_per_bar=beats_per_bar, tonic=5, layers=LAYERS, seed=seed)
        data = score_to_midi(score)
        assert_same_events(score, data)
        assert midi_to_events(data).bars(beats_per_bar) == 4


def test_own_export_laid_over_its_score_changes_nothing_to_a_tick() -> None:
    score = compose("funk", tempo_bpm=104, bars=4, tonic=2, layers=LAYERS, seed=8)
    again = with_user_midi(score, score_to_midi(score))
    assert_same_events(again, score_to_midi(score))
    assert again.timbres == score.timbres


def test_file_states_tempo_meter_key_names_and_ends_with_the_loop() -> None:
    score = compose("jazz", tempo_bpm=133.5, bars=3, beats_per_bar=3, tonic=10, mode="dorian", layers=LAYERS, seed=4)
    midi = mido.MidiFile(file=io.BytesIO(score_to_midi(score)))
    conductor = {message.type: message for message in midi.tracks[0]}
    assert midi.type == 1
    assert [track.name for track in midi.tracks] == ["loopmeter", *LAYERS]
    assert abs(60e6 / conductor["set_tempo"].tempo - 133.5) < 0.001
    assert (conductor["time_signature"].numerator, conductor["time_signature"].denominator) == (3, 4)
    assert conductor["key_signature"].key == "Bbm"
    assert all(sum(message.time for message in track) == ticks(9) for track in midi.tracks)
    assert abs(midi.length - score.duration_s) < 0.001
    drums = {message.channel for message in midi.tracks[1] if message.type == "note_on"}
    assert drums == {9}


def test_chords_are_markers() -> None:
    midi = mido.MidiFile(file=io.BytesIO(score_to_midi(PLAN)))
    markers = [message.text for message in midi.tracks[0] if message.type == "marker"]
    assert markers == [span.symbol for span in PLAN.chords]


def test_free_scores_export_and_import() -> None:
    for seed in range(60):
        score = training_score(seed)
        user = midi_to_events(score_to_midi(score))
        assert len(user.notes) == len(score.notes)
        assert {note.layer for note in user.notes} == {note.layer for note in score.notes}


def test_unnamed_parts_become_layers_by_register_and_polyphony() -> None:
    data = written(
        tone(33, 480) + tone(36, 480),
        chord([60, 64, 67], 960),
        tone(76, 240) + tone(79, 240),
        tone(36, 120, channel=9) + tone(38, 120, channel=9, wait=360),
    )
    user = midi_to_events(data)
    assert {(note.layer, note.pitch) for note in user.notes} == {
        ("bass", 33), ("bass", 36), ("chords", 60), ("chords", 64), ("chords", 67), ("lead", 76), ("lead", 79),
    }  # fmt: skip
    assert [(hit.drum, hit.onset_beats) for hit in user.hits] == [("kick", 0.0), ("snare", 1.0)]


def test_names_and_programs_decide_before_register() -> None:
    named = written([mido.MetaMessage("track_name", name="Lush Pad 2"), *tone(40, 480)])
    program = written([mido.Message("program_change", program=33), *tone(64, 480)])
    assert {note.layer for note in midi_to_events(named).notes} == {"pad"}
    assert [(note.layer, note.pitch) for note in midi_to_events(program).notes] == [("bass", 52)]


def test_type_0_and_odd_resolutions_and_tempo_changes_read_in_beats() -> None:
    track = [
        mido.MetaMessage("set_tempo", tempo=500_000),
        *tone(60, 96),
        mido.MetaMessage("set_tempo", tempo=900_000),
        *tone(62, 96, wait=96),
    ]
    user = midi_to_events(written(track, kind=0, ppq=96))
    assert [(note.onset_beats, note.duration_beats) for note in user.notes] == [(0.0, 1.0), (2.0, 1.0)]
    assert user.tempo_bpm == 120.0


def test_notes_outside_the_range_come_in_by_octaves() -> None:
    user = midi_to_events(written([mido.MetaMessage("track_name", name="bass"), *tone(0, 480), *tone(127, 480)]))
    assert [note.pitch for note in user.notes] == [24, 55]
    assert RANGES["bass"] == (24, 55)


def test_short_file_repeats_by_whole_bars_and_replaces_only_its_layers() -> None:
    score = with_user_midi(PLAN, written([mido.MetaMessage("track_name", name="bass"), *tone(33, 960)]))
    assert [(n.onset_beats, n.pitch) for n in score.notes if n.layer == "bass"] == [(0, 33), (4, 33), (8, 33), (12, 33)]
    assert score.hits == PLAN.hits
    assert [n for n in score.notes if n.layer != "bass"] == [n for n in PLAN.notes if n.layer != "bass"]
    assert score.chords[0].root == 9


def test_long_file_is_cut_at_the_loop() -> None:
    score = with_user_midi(PLAN, written([mido.MetaMessage("track_name", name="lead"), *tone(69, 480 * 30)]))
    lead = [note for note in score.notes if note.layer == "lead"]
    assert [(note.onset_beats, note.duration_beats) for note in lead] == [(0.0, 16.0)]
    assert "lead" in score.timbres and "lead" not in PLAN.timbres


def test_chords_are_heard_in_the_users_notes() -> None:
    bars = [(57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62)]
    score = with_user_midi(PLAN, written([message for pitches in bars for message in chord(pitches, 1920)]))
    assert [span.symbol for span in score.chords] == ["Am", "F", "C", "G"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "MThd"),
        (b"RIFF....WAVE", "MThd"),
        (b"MThd", "damage"),
        (b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0MTrk\x00\x00\xff\xff\x00", "damage"),
        (b"MThd\x00\x00\x00\x06\x00\x00\x00\x00\x01\xe0", "at least one note"),
        (b"MThd" + bytes(400_000), "at most"),
        (written([mido.MetaMessage("track_name", name="empty")]), "at least one note"),
        (written(tone(60, 480, wait=480 * 2000)), "beat 2000"),
        (written(tone(60, 1) * 20_001), "at most 20000 notes"),
        (b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\xe7\x28" + b"MTrk\x00\x00\x00\x04\x00\xff\x2f\x00", "SMPTE"),
    ],
    ids=["empty", "wave", "header", "truncated", "no-tracks", "bytes", "silent", "late", "many", "smpte"],
)
def test_garbage_is_refused_with_a_reason(data: bytes, found: str) -> None:
    with pytest.raises(InvalidMidi, match=f"expected .*{found}"):
        midi_to_events(data)


def test_file_that_begins_after_the_loop_is_refused() -> None:
    with pytest.raises(InvalidMidi, match="inside the loop's 16 beats"):
        with_user_midi(PLAN, written(tone(60, 480, wait=480 * 100)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_never_worse(data: st.DataObject) -> None:
    damaged = bytearray(score_to_midi(PLAN))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        score = with_user_midi(PLAN, cut)
    except InvalidMidi:
        return
    assert all(n.onset_beats >= 0 and n.onset_beats + n.duration_beats <= score.beats + 1e-9 for n in score.notes)
    assert all(0 <= hit.onset_beats < score.beats for hit in score.hits)
