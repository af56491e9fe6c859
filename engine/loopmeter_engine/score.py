"""The score: what a loop plays, and on what. Written by the planner, read by synthesis, conditioning and MIDI.

Torch-free and pure. Time is in beats from the start of the loop, so that a score has no tempo drift by construction.
Reading order: ``Timbre``, ``Note``/``Hit``/``FxEvent``, ``Score``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from loopmeter import LAYERS, Layer

TONAL_LAYERS: tuple[Layer, ...] = ("bass", "chords", "lead", "pad")
DRUMS = (
    "kick", "snare", "clap", "rim", "closed_hat", "open_hat", "ride", "crash", "tom_low", "tom_high", "shaker", "perc",
)  # fmt: skip
FX_KINDS = ("vinyl", "riser", "impact", "sweep")

# The instrument families that the renderer can play, per layer. The order is part of the weights: append only.
FAMILIES: dict[Layer, tuple[str, ...]] = {
    "drums": ("acoustic", "tr808", "tr909", "lofi", "electro", "trap"),
    "bass": ("sub", "reese", "acid", "fm", "finger", "pluck"),
    "chords": ("electric_piano", "piano", "organ", "saw_stab", "pluck", "guitar"),
    "lead": ("square", "saw", "bell", "mallet", "flute", "whistle"),
    "pad": ("warm", "supersaw", "strings", "choir", "glass"),
    "fx": ("texture",),
}
MACROS = ("brightness", "softness", "length", "drive", "space", "width", "level")


@dataclass(frozen=True, slots=True)
class Timbre:
    """How one layer sounds: a family of ``FAMILIES[layer]`` and seven macro controls, each 0..1.

    ``brightness``: filter cut-off or hammer hardness. ``softness``: slow attack. ``length``: decay and release.
    ``drive``: saturation. ``space``: reverb, delay. ``width``: stereo spread. ``level``: -18 dB (0) to 0 dB (1).
    """

    family: str
    brightness: float = 0.5
    softness: float = 0.2
    length: float = 0.5
    drive: float = 0.2
    space: float = 0.2
    width: float = 0.4
    level: float = 0.7


@dataclass(frozen=True, slots=True)
class Note:
    """A tonal note. ``pitch`` is a MIDI number, ``velocity`` in (0, 1]."""

    layer: Layer
    onset_beats: float
    duration_beats: float
    pitch: int
    velocity: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A drum hit; ``drum`` is one of ``DRUMS``, ``velocity`` in (0, 1]."""

    drum: str
    onset_beats: float
    velocity: float


@dataclass(frozen=True, slots=True)
class FxEvent:
    """A texture or transition; ``kind`` is one of ``FX_KINDS``. A riser ends at onset + duration."""

    kind: str
    onset_beats: float
    duration_beats: float
    velocity: float


@dataclass(frozen=True, slots=True)
class ChordSpan:
    """A chord: ``root`` is a pitch class 0..11, ``symbol`` as musicians write it (``Am7``)."""

    onset_beats: float
    duration_beats: float
    root: int
    symbol: str
    pitch_classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A whole loop. Events lie in [0, beats) and may ring past the end: the loop wraps them into its start.

    Only layers named in ``timbres`` sound. ``mode`` is ``major``, ``minor``, ``dorian``, ``phrygian``, ``lydian`` or
    ``mixolydian``; ``tonic`` a pitch class, 0 = C. ``swing`` 0..1 is already part of the onsets, kept for display.
    """

    tempo_bpm: float
    beats_per_bar: int
    bars: int
    tonic: int
    mode: str
    genre: str
    mood: str
    swing: float
    chords: tuple[ChordSpan, ...]
    notes: tuple[Note, ...]
    hits: tuple[Hit, ...]
    fx: tuple[FxEvent, ...]
    timbres: dict[Layer, Timbre] = field(default_factory=dict)

    @property
    def beats(self) -> int:
        return self.bars * self.beats_per_bar

    @property
    def duration_s(self) -> float:
        return self.beats * 60.0 / self.tempo_bpm

    def frames(self, sample_rate_hz: int) -> int:
        """The exact length of the loop in frames."""
        return round(self.beats * 60.0 / self.tempo_bpm * sample_rate_hz)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in LAYERS if layer in self.timbres)
