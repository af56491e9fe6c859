"""A user's MIDI file as notes and hits in beats. Any type, any resolution; times are beats, so tempo changes fall away.

Parts (a track, or one channel of a track) become layers: channel 10 and tracks named for drums are drums; others go
by the track's name, else by its instrument, else by register (low and single is bass, several tones at once are
chords, the rest is lead). Notes outside a layer's range come in by octaves.
"""

from __future__ import annotations

import io
import math
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import mido
from mido.midifiles.meta import KeySignatureError

from loopmeter import Layer
from loopmeter_engine.planner.accompany import RANGES
from loopmeter_engine.planner.general_midi import (
    DRUM_CHANNEL,
    DRUM_OF_PITCH,
    FX_OF_PITCH,
    layer_named,
    layer_of_program,
)
from loopmeter_engine.score import FxEvent, Hit, Note

EVENTS_MAX = 20_000
BEATS_MAX = 256 * 6
BYTES_MAX = 300_000
_LATE_BEATS = 0.12  # Overhang of a last note that does not make another bar.


class InvalidMidi(ValueError):
    """The bytes are no usable MIDI file; the message says what was expected, what was found, and what to do."""


@dataclass(frozen=True, slots=True)
class UserMidi:
    """What a file plays. Times in beats (quarter notes) from its start; ``length_beats`` up to its last sound, or to
    its end where that is later. ``tempo_bpm`` and ``key`` (``Am``, ``F#``) are the first that the file states."""

    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]
    fx: tuple[FxEvent, ...]
    length_beats: float
    sounding_beats: float
    tempo_bpm: float | None
    key: str | None

    def bars(self, beats_per_bar: int) -> int:
        """Whole bars that hold the file. Silence at its end counts if the file ends on a bar line and is not mostly
        silence: some programs put the end of every file at the end of the project."""
        sounding = max(1, math.ceil((self.sounding_beats - _LATE_BEATS) / beats_per_bar))
        written = self.length_beats / beats_per_bar
        ends_on_bar_line = abs(written - round(written)) < 0.01
        return max(sounding, round(written)) if ends_on_bar_line and written <= 4 * sounding + 0.01 else sounding


@dataclass(slots=True)
class _Part:
    name: str
    channel: int
    program: int | None = None
    spans: list[tuple[float, float, int, float]] = field(default_factory=list)  # onset, duration, pitch, velocity


def midi_to_events(data: bytes) -> UserMidi:
    """Read a Standard MIDI File.

    Raises:
        InvalidMidi: not MIDI, broken, empty, or too big.
    """
    midi = _parse(data)
    parts: list[_Part] = []
    tempo_bpm: float | None = None
    key: str | None = None
    ticks_last = 0
    for track in midi.tracks:
        tick = sum(message.time for message in track)
        ticks_last = max(ticks_last, tick)
        for message in track:
            if message.type == "set_tempo" and tempo_bpm is None and message.tempo > 0:
                tempo_bpm = 60_000_000 / message.tempo
            elif message.type == "key_signature" and key is None:
                key = message.key
        parts += _parts_of(track, midi.ticks_per_beat)
    return _as_layers(parts, ticks_last / midi.ticks_per_beat, tempo_bpm, key)


def _parse(data: bytes) -> mido.MidiFile:
    if len(data) > BYTES_MAX:
        raise InvalidMidi(f"expected a MIDI file of at most {BYTES_MAX} bytes, found {len(data)}; send fewer bars")
    if data[:4] != b"MThd":
        raise InvalidMidi(
            f"expected a Standard MIDI File, which begins with MThd, found {data[:4]!r}; export the part as .mid"
        )
    try:
        midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except (ValueError, EOFError, OSError, LookupError, TypeError, struct.error, KeySignatureError) as error:
        raise InvalidMidi(
            f"expected a complete Standard MIDI File, found damage ({error or type(error).__name__}); export it again"
        ) from error
    if not 0 < midi.ticks_per_beat < 0x8000:
        raise InvalidMidi(
            "expected times in ticks per quarter note, found SMPTE frames; export it with musical time (PPQ)"
        )
    return midi


def _parts_of(track: mido.MidiTrack, ticks_per_beat: int) -> list[_Part]:
    """The parts of one track, by channel. A note without an end lasts to the end of its track."""
    name = next((message.name for message in track if message.type == "track_name"), "")
    parts: dict[int, _Part] = {}
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    tick = 0
    for message in track:
        tick += message.time
        if message.type not in ("note_on", "note_off", "program_change"):
            continue
        part = parts.setdefault(message.channel, _Part(name, message.channel))
        if message.type == "program_change":
            part.program = message.program if part.program is None else part.program
        elif message.type == "note_on" and message.velocity > 0:
            open_notes[message.channel, message.note].append((tick, message.velocity))
        elif open_notes[message.channel, message.note]:
            start, velocity = open_notes[message.channel, message.note].pop(0)
            part.spans.append((start / ticks_per_beat, (tick - start) / ticks_per_beat, message.note, velocity / 127))
    for (channel, pitch), starts in open_notes.items():
        for start, velocity in starts:
            length = max(tick - start, 1) / ticks_per_beat
            parts[channel].spans.append((start / ticks_per_beat, length, pitch, velocity / 127))
    several = len([part for part in parts.values() if part.spans]) > 1
    for part in parts.values():
        part.name = "" if several else part.name  # One name cannot speak for several channels.
        part.spans.sort()
    return [part for part in parts.values() if part.spans]


def _as_layers(parts: list[_Part], file_beats: float, tempo_bpm: float | None, key: str | None) -> UserMidi:
    count = sum(len(part.spans) for part in parts)
    if count == 0:
        raise InvalidMidi("expected at least one note, found none; put notes into the file or leave it out")
    if count > EVENTS_MAX:
        raise InvalidMidi(f"expected at most {EVENTS_MAX} notes, found {count}; send fewer bars")
    last = max(onset for part in parts for onset, _, _, _ in part.spans)
    if last > BEATS_MAX:
        raise InvalidMidi(f"expected notes within {BEATS_MAX} beats, found one at beat {last:.0f}; send fewer bars")
    notes: list[Note] = []
    hits: list[Hit] = []
    fx: list[FxEvent] = []
    ends = [last + _LATE_BEATS]
    for part in parts:
        layer = _layer_of(part)
        for onset, length, pitch, velocity in part.spans:
            if layer == "drums":
                if pitch in DRUM_OF_PITCH:
                    hits.append(Hit(DRUM_OF_PITCH[pitch], onset, velocity))
                continue
            ends.append(onset + length)
            if layer == "fx":
                if pitch in FX_OF_PITCH:
                    fx.append(FxEvent(FX_OF_PITCH[pitch], onset, length, velocity))
            else:
                notes.append(Note(layer, onset, length, _into_range(pitch, layer), velocity))
    if not notes and not hits and not fx:
        raise InvalidMidi(
            "expected General MIDI drums (kick 36, snare 38, ...) or tonal notes, found only other percussion on "
            "channel 10; use the General MIDI drum notes"
        )
    return UserMidi(
        notes=tuple(sorted(notes, key=lambda note: (note.onset_beats, note.layer, note.pitch))),
        hits=tuple(sorted(hits, key=lambda hit: (hit.onset_beats, hit.drum))),
        fx=tuple(sorted(fx, key=lambda event: (event.onset_beats, event.kind))),
        length_beats=max(file_beats, last),
        sounding_beats=min(max(ends), float(BEATS_MAX)),
        tempo_bpm=tempo_bpm,
        key=key,
    )


def _layer_of(part: _Part) -> Layer:
    if part.channel == DRUM_CHANNEL:
        return "drums"
    named = layer_named(part.name) or (layer_of_program(part.program) if part.program is not None else None)
    if named is not None:
        return named
    if _mean_voices(part) > 1.4:
        return "chords"
    mean_pitch = sum(pitch for _, _, pitch, _ in part.spans) / len(part.spans)
    return "bass" if mean_pitch < 50 else "lead"


def _mean_voices(part: _Part) -> float:
    """How many notes begin together, on average, or sound together."""
    moments = {round(onset * 8) for onset, _, _, _ in part.spans}
    sounding = sum(length for _, length, _, _ in part.spans)
    covered = sum(end - start for start, end in _covered(part))
    return max(len(part.spans) / len(moments), sounding / max(covered, 1e-6))


def _covered(part: _Part) -> Iterator[tuple[float, float]]:
    start, end = part.spans[0][0], part.spans[0][0]
    for onset, length, _, _ in part.spans:
        if onset > end:
            yield start, end
            start = onset
        end = max(end, onset + length)
    yield start, end


def _into_range(pitch: int, layer: Layer) -> int:
    low, high = RANGES[layer]
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch
