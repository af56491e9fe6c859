"""Scores as Standard MIDI Files, and a user's file in place of the plan.

A beat of the score is a quarter note of the file, in every meter: the file's tempo is the loop's, its end the loop's
end. ``midi_in.py`` reads.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

import mido
import numpy as np

from loopmeter import LAYERS, Layer
from loopmeter_engine.planner.compose import tidy
from loopmeter_engine.planner.general_midi import CHANNELS, PITCH_OF_DRUM, PITCH_OF_FX, PROGRAMS
from loopmeter_engine.planner.genres import GENRE_BOOK
from loopmeter_engine.planner.harmony import key_name
from loopmeter_engine.planner.listen import hear_chords
from loopmeter_engine.planner.midi_in import InvalidMidi, UserMidi, midi_to_events
from loopmeter_engine.planner.moods import MOOD_BOOK
from loopmeter_engine.planner.timbre import choose_timbre
from loopmeter_engine.score import FxEvent, Hit, Note, Score, Timbre

__all__ = ["InvalidMidi", "UserMidi", "midi_to_events", "score_to_midi", "with_user_midi"]

TICKS_PER_BEAT = 960
_HIT_TICKS = TICKS_PER_BEAT // 8

Span = tuple[int, int, int, int]  # Start and end in ticks, pitch, velocity 1..127.
_Long = TypeVar("_Long", Note, FxEvent)


def score_to_midi(score: Score) -> bytes:
    """A Standard MIDI File of type 1, 960 ticks to the quarter: a conductor track (tempo, meter, key, chords as
    markers), then one named track per layer that sounds. Every track ends exactly with the loop."""
    end = score.beats * TICKS_PER_BEAT
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    midi.tracks.append(_conductor(score, end))
    for layer in LAYERS:
        if layer in score.timbres:
            midi.tracks.append(_layer_track(score, layer, end))
    buffer = io.BytesIO()
    midi.save(file=buffer)
    return buffer.getvalue()


def with_user_midi(score: Score, data: bytes) -> Score:
    """The score with the layers that the file plays taken from the file; the rest of the plan accompanies it.

    A file shorter than the loop is repeated by whole bars, a longer one is cut. Layers that the plan does not have
    get the genre's first sound. The chords are heard anew where the file brings tones.

    Raises:
        InvalidMidi: as ``midi_to_events``; or nothing of the file lies inside the loop.
    """
    user = midi_to_events(data)
    period = user.bars(score.beats_per_bar) * score.beats_per_bar
    notes = [Note(n.layer, at, length, n.pitch, n.velocity) for n, at, length in _fitted(user.notes, period, score)]
    fx = [FxEvent(e.kind, at, length, e.velocity) for e, at, length in _fitted(user.fx, period, score)]
    hits = [
        Hit(hit.drum, hit.onset_beats + start, hit.velocity)
        for start in range(0, score.beats, period)
        for hit in user.hits
        if hit.onset_beats < period and hit.onset_beats + start < score.beats
    ]
    given: set[Layer] = {note.layer for note in notes}
    if hits:
        given.add("drums")
    if fx:
        given.add("fx")
    if not given:
        raise InvalidMidi(
            f"expected notes inside the loop's {score.beats} beats, found the first one later; ask for more bars or "
            "move the notes to the start"
        )
    return _replaced(score, given, notes, hits, fx)


def _replaced(score: Score, given: set[Layer], notes: list[Note], hits: list[Hit], fx: list[FxEvent]) -> Score:
    kept = [note for note in score.notes if note.layer not in given]
    timbres = {
        layer: score.timbres.get(layer) or _first_sound(score, layer)
        for layer in LAYERS
        if layer in score.timbres or layer in given
    }
    tonal = [note for note in notes if note.layer != "lead"] or notes
    heard = hear_chords(tonal, score.bars, score.beats_per_bar, score.tonic, score.mode) if notes else score.chords
    return replace(
        score,
        notes=tidy(kept + notes),
        hits=tuple(hits) if "drums" in given else score.hits,
        fx=tuple(fx) if "fx" in given else score.fx,
        chords=tuple(heard),
        timbres=timbres,
    )


def _fitted(events: Iterable[_Long], period: int, score: Score) -> list[tuple[_Long, float, float]]:
    """``(event, onset, duration)`` for every repeat of every event that begins in the loop; none outlasts it."""
    placed = []
    for start in range(0, score.beats, period):
        for event in events:
            onset = event.onset_beats + start
            if event.onset_beats < period and onset < score.beats:
                placed.append((event, onset, min(event.duration_beats, score.beats - onset)))
    return placed


def _first_sound(score: Score, layer: Layer) -> Timbre:
    return choose_timbre(GENRE_BOOK[score.genre], MOOD_BOOK[score.mood], layer, np.random.default_rng(0))


def _conductor(score: Score, end: int) -> mido.MidiTrack:
    events: list[tuple[int, mido.MetaMessage]] = [
        (0, mido.MetaMessage("track_name", name="loopmeter")),
        (0, mido.MetaMessage("set_tempo", tempo=round(60_000_000 / score.tempo_bpm))),
        (0, mido.MetaMessage("time_signature", numerator=score.beats_per_bar, denominator=4)),
        (0, mido.MetaMessage("key_signature", key=key_name(score.tonic, score.mode))),
    ]
    events += [(_ticks(span.onset_beats), mido.MetaMessage("marker", text=span.symbol)) for span in score.chords]
    return _timed(events, end)


def _layer_track(score: Score, layer: Layer, end: int) -> mido.MidiTrack:
    channel = CHANNELS[layer]
    events: list[tuple[int, mido.Message | mido.MetaMessage]] = [(0, mido.MetaMessage("track_name", name=layer))]
    program = PROGRAMS.get((layer, score.timbres[layer].family))
    if program is not None:
        events.append((0, mido.Message("program_change", channel=channel, program=program)))
    edges: list[tuple[int, int, mido.Message]] = []
    for start, stop, pitch, velocity in _apart(_spans(score, layer), end):
        edges.append((start, 1, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        edges.append((stop, 0, mido.Message("note_off", channel=channel, note=pitch, velocity=64)))
    edges.sort(key=lambda edge: (edge[0], edge[1], edge[2].note))  # Ends before starts, for repeated tones.
    return _timed([*events, *((tick, message) for tick, _, message in edges)], end)


def _spans(score: Score, layer: Layer) -> list[Span]:
    if layer == "drums":
        starts = [(_ticks(hit.onset_beats), PITCH_OF_DRUM[hit.drum], _level(hit.velocity)) for hit in score.hits]
        return [(start, start + _HIT_TICKS, pitch, velocity) for start, pitch, velocity in starts]
    if layer == "fx":
        return [
            (_ticks(e.onset_beats), _ticks(e.onset_beats + e.duration_beats), PITCH_OF_FX[e.kind], _level(e.velocity))
            for e in score.fx
        ]
    return [
        (_ticks(n.onset_beats), _ticks(n.onset_beats + n.duration_beats), n.pitch, _level(n.velocity))
        for n in score.notes
        if n.layer == layer
    ]


def _apart(spans: list[Span], end: int) -> list[Span]:
    """Spans inside the loop, at least a tick long, of which none runs into the next of its pitch."""
    apart: list[Span] = []
    for _, same in groupby(sorted(spans, key=lambda span: (span[2], span[0])), key=lambda span: span[2]):
        row = list(same)
        for i, (start, stop, pitch, velocity) in enumerate(row):
            start = min(start, end - 1)
            following = row[i + 1][0] if i + 1 < len(row) else end
            apart.append((start, max(start + 1, min(stop, following, end)), pitch, velocity))
    return apart


def _timed(events: Sequence[tuple[int, mido.Message | mido.MetaMessage]], end: int) -> mido.MidiTrack:
    """A track of events in order of their ticks, closed at ``end``."""
    track = mido.MidiTrack()
    tick = 0
    for at, message in events:
        track.append(message.copy(time=at - tick))
        tick = at
    track.append(mido.MetaMessage("end_of_track", time=end - tick))
    return track


def _ticks(beats: float) -> int:
    return round(beats * TICKS_PER_BEAT)


def _level(velocity: float) -> int:
    return min(127, max(1, round(velocity * 127)))
