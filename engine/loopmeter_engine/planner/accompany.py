"""Writing bass, chords and pad: rhythm from the genre's rows, pitches from the chords."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from loopmeter import Layer
from loopmeter_engine.planner.genres.model import Genre
from loopmeter_engine.planner.grid import Frame
from loopmeter_engine.planner.harmony import scale, voice
from loopmeter_engine.planner.rhythm import strikes
from loopmeter_engine.score import ChordSpan, Hit, Note

RANGES: dict[Layer, tuple[int, int]] = {"bass": (24, 55), "chords": (40, 88), "lead": (48, 100), "pad": (36, 88)}
_TONE = {"1": 0, "3": 1, "5": 2, "7": 3}


class Harmony:
    """The chords of a piece with their key: looks up which chord sounds at a beat."""

    def __init__(self, spans: list[ChordSpan], tonic: int, mode: str) -> None:
        self.spans = spans
        self.scale = scale(tonic, mode)
        self._onsets = [span.onset_beats for span in spans]

    def index_at(self, beats: float) -> int:
        return max(0, bisect_right(self._onsets, beats + 1e-6) - 1)

    def at(self, beats: float) -> ChordSpan:
        return self.spans[self.index_at(beats)]

    def after(self, beats: float) -> ChordSpan:
        return self.spans[(self.index_at(beats) + 1) % len(self.spans)]

    def end_of(self, beats: float) -> float:
        span = self.at(beats)
        return span.onset_beats + span.duration_beats


def write_bass(
    genre: Genre, frame: Frame, harmony: Harmony, drums: list[Hit], density: float, rng: np.random.Generator
) -> list[Note]:
    """A line of single notes. Either a row of the genre, or the kick drum's own rhythm on the root."""
    rows = [genre.bass[int(i)] for i in rng.permutation(len(genre.bass))[:2]]
    locked = bool(rng.random() < genre.bass_locks)
    centre = genre.bass_centre + int(rng.integers(-1, 2))
    jump = float(rng.random())
    kicks = sorted(hit.onset_beats for hit in drums if hit.drum == "kick" and hit.velocity > 0.4)
    notes: list[Note] = []
    for bar in range(frame.bars):
        row = rows[frame.section(bar) % len(rows)]
        start, end = bar * frame.beats_per_bar, (bar + 1) * frame.beats_per_bar
        inside = [kick for kick in kicks if start <= kick < end - 1e-6]
        if locked and inside:
            notes += _on_kicks(inside, float(end), frame, harmony, centre, jump, closes=frame.closes_phrase(bar))
            continue
        for strike in strikes(row, frame, bar):
            weak = (strike.onset_beats * 2) % 1 > 0.01
            if weak and density < 0.35 and rng.random() > 0.5 + density:
                continue
            pitch = _bass_pitch(strike.mark, harmony, strike.onset_beats, centre)
            accent = 0.92 if strike.onset_beats % 1 < 0.01 else 0.78
            length = strike.length_beats * (0.92 if strike.length_beats > 0.3 else 0.8)
            notes.append(Note("bass", strike.onset_beats, length, pitch, accent))
    return notes


def _on_kicks(
    kicks: list[float], end: float, frame: Frame, harmony: Harmony, centre: int, jump: float, *, closes: bool
) -> list[Note]:
    """One note per kick, held to the next (two beats at most); the last of a phrase may jump or lead on."""
    notes: list[Note] = []
    for i, kick in enumerate(kicks):
        until = min(kicks[i + 1] if i + 1 < len(kicks) else end, kick + 2.0)
        mark = "1"
        if closes and i == len(kicks) - 1 and i > 0:
            mark = "8" if jump < 0.4 else "a" if jump < 0.7 else "5"
        pitch = _bass_pitch(mark, harmony, kick, centre)
        notes.append(Note("bass", kick, max(0.2, (until - kick) * 0.92), pitch, 0.95 if i == 0 else 0.84))
    return notes


def _bass_pitch(mark: str, harmony: Harmony, beats: float, centre: int) -> int:
    chord = harmony.at(beats)
    low, high = RANGES["bass"]
    root = _near(chord.root, centre, low, high)
    if mark in ("1", "8", "l"):
        moved = root + {"1": 0, "8": 12, "l": -12}[mark]
        return moved if low <= moved <= high else root
    if mark == "a":  # A scale step under or over the next root.
        target = _near(harmony.after(beats).root, centre, low, high)
        if target % 12 == chord.root % 12:
            return _near(chord.pitch_classes[-1 if len(chord.pitch_classes) < 3 else 2], root - 3, low, high)
        below = target - 1 if (target - 1) % 12 in harmony.scale else target - 2
        above = target + 1 if (target + 1) % 12 in harmony.scale else target + 2
        pitch = below if abs(below - root) <= abs(above - root) else above
        return pitch if low <= pitch <= high else root
    tones = chord.pitch_classes
    if "sus" in chord.symbol and mark == "3":
        tone = tones[0]
    elif len(tones) == 2:
        tone = tones[0 if mark in "13" else 1]
    else:
        tone = tones[min(_TONE[mark], len(tones) - 1)]
    pitch = root + (tone - root) % 12
    return pitch if pitch <= high else pitch - 12


def write_chords(genre: Genre, frame: Frame, harmony: Harmony, density: float, rng: np.random.Generator) -> list[Note]:
    """Struck or broken chords; voicings follow one another with little movement."""
    rows = [genre.chords[int(i)] for i in rng.permutation(len(genre.chords))[:2]]
    voicings = voicings_of(harmony, genre.chord_centre, "chords")
    notes: list[Note] = []
    for bar in range(frame.bars):
        row = rows[frame.section(bar) % len(rows)]
        for strike in strikes(row, frame, bar):
            voices = voicings[harmony.index_at(strike.onset_beats)]
            weak = strike.onset_beats % 1 > 0.01
            if weak and density < 0.4 and strike.mark in "o1234" and rng.random() > 0.45 + density:
                continue
            # A held chord stops where the harmony moves on, unless the row strikes the new one early.
            length = min(strike.length_beats * 0.95, harmony.end_of(strike.onset_beats) - strike.onset_beats)
            picked = [_voice_number(int(strike.mark), voices)] if strike.mark.isdigit() else list(voices)
            level = {"X": 0.88, "x": 0.76, "o": 0.55}.get(strike.mark, 0.74)
            for rank, pitch in enumerate(picked):
                top = 0.05 if rank == len(picked) - 1 else 0.0
                notes.append(Note("chords", strike.onset_beats, length, pitch, level + top))
        notes += _moved_under(row, frame, bar, harmony, voicings)
    if not notes:  # A short loop in a short meter can miss every strike of a sparse row.
        length = min(harmony.end_of(0.0), frame.beats_per_bar) * 0.95
        notes = [Note("chords", 0.0, length, pitch, 0.8) for pitch in voicings[0]]
    return notes


def _moved_under(row: str, frame: Frame, bar: int, harmony: Harmony, voicings: list[tuple[int, ...]]) -> list[Note]:
    """Strikes for chords that begin while the row still holds the one before."""
    extra: list[Note] = []
    for strike in strikes(row, frame, bar):
        end = harmony.end_of(strike.onset_beats)
        left = strike.onset_beats + strike.length_beats - end
        if not strike.mark.isdigit() and left >= 0.75:
            for pitch in voicings[harmony.index_at(end)]:
                extra.append(Note("chords", end, left * 0.95, pitch, 0.74))
    return extra


def _voice_number(number: int, voices: tuple[int, ...]) -> int:
    """Voice ``number`` from below; past the top, the voices again an octave up."""
    octave, index = divmod(number - 1, len(voices))
    pitch = voices[index] + 12 * octave
    return pitch if pitch <= RANGES["chords"][1] else pitch - 12


def write_pad(genre: Genre, frame: Frame, harmony: Harmony, rng: np.random.Generator) -> list[Note]:
    """One long chord per change, spread as ``Genre.pad_style`` says; ``pulse`` repeats it every bar."""
    centre = {"open": 60, "close": 56, "high": 70, "pulse": 60}[genre.pad_style] + int(rng.integers(-2, 3))
    voicings = voicings_of(harmony, centre, "pad")
    notes: list[Note] = []
    low = RANGES["pad"][0]
    for span, voices in zip(harmony.spans, voicings, strict=True):
        pitches = list(voices)
        if genre.pad_style in ("open", "pulse"):
            root = _near(span.root, 45, low, 55)
            pitches = sorted({root, *pitches[-4:]})
        step = frame.beats_per_bar if genre.pad_style == "pulse" else span.duration_beats
        onset = span.onset_beats
        while onset < span.onset_beats + span.duration_beats - 1e-6:
            length = min(step, span.onset_beats + span.duration_beats - onset)
            for rank, pitch in enumerate(pitches):
                notes.append(Note("pad", onset, length * 0.98, pitch, 0.72 if rank else 0.64))
            onset += step
    return notes


def voicings_of(harmony: Harmony, centre: int, layer: Layer) -> list[tuple[int, ...]]:
    """One placing per span of the harmony, led smoothly from the one before."""
    low, high = RANGES[layer]
    voicings: list[tuple[int, ...]] = []
    last: tuple[int, ...] = ()
    for span in harmony.spans:
        last = voice(span.pitch_classes, last, centre, low, high)
        voicings.append(last)
    return voicings


def _near(pitch_class: int, centre: int, low: int, high: int) -> int:
    pitch = centre + (pitch_class - centre + 6) % 12 - 6
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch
