"""A loop as lines of text: its loudness, and the steps of its drums."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

_BARS = "▁▂▃▄▅▆▇█"
_NAME_COLUMNS = 7
_DRUMS = 9  # the tenth channel
_LOUD = 80
_GENERAL_MIDI = {
    "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59),
    "open": (46,),
    "hat": (42, 44),
    "tom": (41, 43, 45, 47, 48, 50),
    "shaker": (54, 69, 70, 82),
    "clap": (39,),
    "snare": (38, 40),
    "rim": (37,),
    "kick": (35, 36),
}
_OTHER = "other"
_ORDER = [_OTHER, *_GENERAL_MIDI]


def waveform(samples: Sequence[float], columns: int) -> str:
    """The loudest sample in each of ``columns`` equal parts, relative to the loudest of all; blank where silent."""
    peaks = [
        max((abs(sample) for sample in samples[start:end]), default=0.0)
        for start, end in (
            (len(samples) * column // columns, len(samples) * (column + 1) // columns) for column in range(columns)
        )
    ]
    loudest = max(peaks, default=0.0)
    if loudest == 0.0:
        return " " * columns
    return "".join(" " if peak == 0 else _BARS[min(7, int(peak / loudest * 8))] for peak in peaks)


def drum_grid(midi: bytes, beats_per_bar: int, columns: int) -> list[str]:
    """The drums of a score as a step pattern: a row for each that sounds, four steps a beat, the bars that fit.

    Loud hits are filled. Empty without drums.
    """
    import mido  # Loaded late: only a terminal needs it.

    steps_a_bar = 4 * beats_per_bar
    steps = max(1, (columns - _NAME_COLUMNS) // (steps_a_bar + 1)) * steps_a_bar
    rows: dict[str, list[str]] = {}
    file = mido.MidiFile(file=BytesIO(midi))
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            step = round(tick * 4 / file.ticks_per_beat)
            if message.type == "note_on" and message.velocity > 0 and message.channel == _DRUMS and step < steps:
                row = rows.setdefault(_name_of(message.note), ["·"] * steps)
                row[step] = "●" if message.velocity >= _LOUD or row[step] == "●" else "○"
    bars = max((_last(row) // steps_a_bar + 1 for row in rows.values()), default=0)
    return [
        name.ljust(_NAME_COLUMNS) + "|".join("".join(row[bar * steps_a_bar :][:steps_a_bar]) for bar in range(bars))
        for name, row in sorted(rows.items(), key=lambda item: _ORDER.index(item[0]))
    ]


def _last(row: Sequence[str]) -> int:
    return max(index for index, step in enumerate(row) if step != "·")


def _name_of(note: int) -> str:
    return next((name for name, notes in _GENERAL_MIDI.items() if note in notes), _OTHER)
