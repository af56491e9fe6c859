"""Writing the lead: a motif is stated, repeated, varied and answered, with room to breathe.

A motif is a rhythm and a contour in scale steps around the chord. Pitches are found when it is placed: notes on a
beat go to the nearest chord tone, the others stay in the palette (five tones in most styles), so that one motif
fits every chord and still sounds like itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loopmeter_engine.planner.accompany import RANGES, Harmony
from loopmeter_engine.planner.genres.model import Genre
from loopmeter_engine.planner.grid import Frame
from loopmeter_engine.planner.moods import Mood
from loopmeter_engine.planner.rhythm import strikes
from loopmeter_engine.score import Note

# What the bars of a phrase do: A states, a varies the end, B answers, b answers and comes home, . leaves room.
_FORMS = ("AaAb", "A.Ab", "AaBb", "ABab", "A.Bb", "AAab", "A.a.", "ABAb")
_CONTOURS = (
    (0, 1, 2, 1, 0), (0, 2, 1, 0, -1), (2, 1, 0, 0, 1), (0, 0, 1, 2, 0), (2, 2, 1, 0, -1),
    (0, -1, 0, 2, 1), (0, 2, 3, 2, 0), (3, 2, 0, 1, 0), (0, 0, 0, 2, 1), (1, 0, -1, 0, 2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Motif:
    row: str
    contour: tuple[int, ...]

    def step(self, index: int) -> int:
        return self.contour[index % len(self.contour)]


def write_lead(
    genre: Genre, mood: Mood, frame: Frame, harmony: Harmony, density: float, rng: np.random.Generator
) -> list[Note]:
    """A line of single notes inside the lead's range."""
    palette = _palette(harmony, int(rng.integers(3)), genre)
    low, high = RANGES["lead"]
    centre = min(max(genre.lead_centre + 12 * mood.octave + int(rng.integers(-3, 4)), low + 8), high - 12)
    motifs = [(_draw_motif(genre, rng), _draw_motif(genre, rng)) for _ in range(2)]
    forms = [_FORMS[int(rng.integers(len(_FORMS)))] for _ in range(2)]
    rests = [bool(rng.random() < max(0.0, genre.lead_rest + mood.lead_rest)) for _ in range(4)]
    twist = int(rng.choice([-1, 1, 2]))
    notes: list[Note] = []
    for bar in range(frame.bars):
        section = frame.section(bar)
        form = forms[section]
        letter = form[bar % 4] if frame.bars > 1 else "A"
        if letter == "." or (bar % 4 and rests[bar % 4] and letter == "a" and density < 0.7):
            continue
        if frame.bars >= 16 and (bar // 4) % 4 == 3 and genre.lead_rest > 0.2:
            continue  # One phrase in four is for the others.
        stated, answering = motifs[section]
        motif = answering if letter in "Bb" else stated
        line = _place(motif, frame, bar, harmony, palette, centre, twist if letter in "ab" else 0)
        if letter == "b" and line:
            line = _bring_home(line, harmony, frame, bar, high)
        notes += line
    if not notes:  # Rests, forms and short meters may leave nothing: then the motif stands alone, opening the loop.
        notes = _place(_Motif("x--- x--- x--- ----", motifs[0][0].contour), frame, 0, harmony, palette, centre, 0)
    return _legato(notes)


def _palette(harmony: Harmony, colour: int, genre: Genre) -> tuple[int, ...]:
    """Pitch classes that unaccented notes may use: pentatonic, or the whole scale in styles that run through it."""
    if genre.name in ("jazz", "cinematic", "synthwave", "trance") or colour == 0:
        return harmony.scale
    steps = (0, 2, 3, 4, 6) if _is_minor(harmony) else (0, 1, 2, 4, 5)
    return tuple(harmony.scale[step] for step in steps)


def _is_minor(harmony: Harmony) -> bool:
    return (harmony.scale[2] - harmony.scale[0]) % 12 == 3


def _draw_motif(genre: Genre, rng: np.random.Generator) -> _Motif:
    row = genre.lead[int(rng.integers(len(genre.lead)))]
    return _Motif(row, _CONTOURS[int(rng.integers(len(_CONTOURS)))])


def _place(
    motif: _Motif, frame: Frame, bar: int, harmony: Harmony, palette: tuple[int, ...], centre: int, twist: int
) -> list[Note]:
    found = strikes(motif.row, frame, bar)
    line: list[Note] = []
    step_before = 0
    for index, strike in enumerate(found):
        step = motif.step(index)
        if twist and index >= max(1, len(found) - 2):
            step += twist
        chord = harmony.at(strike.onset_beats).pitch_classes
        on_beat = strike.onset_beats % 1 < 0.01
        ladder = chord if on_beat or strike.length_beats >= 1.0 else palette
        wanted = _climb(palette, _nearest(chord, centre), step)
        # Snapping must not flatten the contour: where the motif moves, the pitch moves.
        moves = line and step != step_before
        pitch = _nearest(ladder, wanted, avoid=line[-1].pitch if moves else None)
        pitch = min(max(pitch, RANGES["lead"][0]), RANGES["lead"][1])
        line.append(Note("lead", strike.onset_beats, strike.length_beats, pitch, 0.85 if on_beat else 0.72))
        step_before = step
    return line


def _climb(palette: tuple[int, ...], pitch: int, steps: int) -> int:
    """The pitch that lies ``steps`` tones of the palette above (below, if negative) a pitch."""
    direction = 1 if steps > 0 else -1
    for _ in range(abs(steps)):
        pitch += direction
        while pitch % 12 not in palette:
            pitch += direction
    return pitch


def _bring_home(line: list[Note], harmony: Harmony, frame: Frame, bar: int, high: int) -> list[Note]:
    """The last note goes to the root or fifth of its chord, or the tonic where the chord has it, and is held."""
    last = line[-1]
    chord = harmony.at(last.onset_beats).pitch_classes
    goal = (harmony.scale[0],) if harmony.scale[0] in chord else (chord[0], chord[-1 if len(chord) < 3 else 2])
    pitch = min(_nearest(goal, last.pitch), high)
    room = (bar + 1) * frame.beats_per_bar - last.onset_beats
    return [*line[:-1], Note("lead", last.onset_beats, min(max(last.duration_beats, 1.0), room), pitch, last.velocity)]


def _nearest(pitch_classes: tuple[int, ...], pitch: int, avoid: int | None = None) -> int:
    candidates = [pitch + (pc - pitch + 6) % 12 - 6 for pc in pitch_classes]
    kept = [candidate for candidate in candidates if candidate != avoid] or candidates
    return min(kept, key=lambda candidate: (abs(candidate - pitch), candidate))


def _legato(notes: list[Note]) -> list[Note]:
    """One voice: a note ends before the next begins."""
    ordered = sorted(notes, key=lambda note: note.onset_beats)
    line: list[Note] = []
    for i, note in enumerate(ordered):
        until = ordered[i + 1].onset_beats if i + 1 < len(ordered) else note.onset_beats + note.duration_beats
        length = min(note.duration_beats * 0.95, until - note.onset_beats)
        line.append(Note(note.layer, note.onset_beats, length, note.pitch, note.velocity))
    return line
