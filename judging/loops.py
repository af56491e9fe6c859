"""The fixed list of loops that are judged: 40 of drums, 40 tonal ones with a key asked, 40 of any kind.

Names, prompts and seeds never change, so that figures of different days compare.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from loopmeter import Layer, LoopRequest, Quality
from loopmeter_engine.planner.plan import plan_score, resolve
from loopmeter_engine.score import Score
from loopmeter_engine.text.understand import PromptReader

Kind = Literal["drums", "tonal", "any"]

_DRUMS: tuple[tuple[str, float], ...] = (
    ("dusty lo-fi drums", 70), ("lo-fi hip hop beat, soft and late", 86), ("boom bap drums, hard snare", 92.5),
    ("boom bap break", 84), ("trap drums with rolling hats", 142), ("trap beat, 808 kit", 75), ("house drums", 122),
    ("deep house groove, shaker and clap", 119.5), ("techno drums, driving", 132), ("dark techno kick and hats", 140),
    ("trance drums", 138), ("trance beat with open hats", 130), ("disco drums", 116), ("disco beat, open hats", 124),
    ("drum and bass break", 174), ("drum and bass drums, fast", 168), ("uk garage drums, shuffled", 132),
    ("two-step garage beat", 128), ("dubstep drums, half time", 140), ("dubstep beat, heavy snare", 146),
    ("reggae drums, one drop", 76), ("reggae beat, steppers", 88), ("funk drums, ghost notes", 104),
    ("tight funk break", 112), ("jazz drums, ride and brushes", 120), ("swing jazz drums", 150), ("rock drums", 120),
    ("rock beat, loud crash", 152), ("afrobeat drums with shaker", 108), ("afrobeat percussion and kit", 118),
    ("pop drums", 100), ("pop beat, claps", 112), ("synthwave drums", 104), ("80s synthwave beat, gated snare", 90),
    ("chiptune drums", 140), ("8-bit game drums", 160), ("cinematic drums, toms", 90), ("epic trailer percussion", 110),
    ("electro drums, 909", 126), ("slow heavy hip hop drums", 78),
)  # fmt: skip
_TONAL: tuple[tuple[str, tuple[Layer, ...]], ...] = (
    ("deep {} bass", ("bass",)), ("{} chords", ("chords",)), ("{} lead melody", ("lead",)),
    ("wide {} pad", ("pad",)), ("{} bass and chords", ("bass", "chords")), ("{} chords and lead", ("chords", "lead")),
    ("{} pad with a lead", ("lead", "pad")), ("{}, all instruments, no drums", ("bass", "chords", "lead", "pad")),
)  # fmt: skip
_ANY: tuple[tuple[str, tuple[Layer, ...] | None], ...] = (
    ("{} loop", None), ("slow {} pad and texture", ("pad", "fx")), ("full {} loop", None), ("{} bass", ("bass",)),
)  # fmt: skip
_GENRES: tuple[tuple[str, float], ...] = (
    ("lo-fi", 80), ("house", 124), ("trance", 138), ("jazz", 110), ("pop", 105), ("synthwave", 96), ("ambient", 72),
    ("funk", 108), ("cinematic", 90), ("chiptune", 150), ("reggae", 76), ("techno", 134), ("dubstep", 140),
    ("drum and bass", 172), ("boom bap", 90), ("rock", 126), ("disco", 118), ("afrobeat", 106), ("trap", 145),
    ("uk garage", 131),
)  # fmt: skip
_KEYS = (
    "Am", "C", "F#m", "Eb", "Dm", "G", "Bbm", "E", "Gm", "A", "C#m", "F", "Bm", "D", "Fm", "Ab", "Em", "Bb", "Cm", "B",
    "G#m", "Db", "Ebm", "F#",
)  # fmt: skip


@dataclass(frozen=True)
class Loop:
    """One loop to be judged. ``request`` leaves nothing open that matters: tempo, bars, seed and mostly key."""

    name: str
    kind: Kind
    request: LoopRequest

    @functools.cached_property
    def score(self) -> Score:
        """The score that the engine will play for ``request``."""
        brief = _reader().read(self.request.prompt)
        return plan_score(resolve(self.request, brief), brief)


def loops() -> list[Loop]:
    return [*_drum_loops(), *_tonal_loops(), *_any_loops()]


def _drum_loops() -> list[Loop]:
    return [_loop("drums", number, prompt, bpm, ("drums",)) for number, (prompt, bpm) in enumerate(_DRUMS)]


def _tonal_loops() -> list[Loop]:
    made = []
    for number in range(40):
        text, layers = _TONAL[number % len(_TONAL)]
        genre, bpm = _GENRES[number * 3 % len(_GENRES)]
        made.append(_loop("tonal", number, text.format(genre), bpm, layers, key=_KEYS[number % len(_KEYS)]))
    return made


def _any_loops() -> list[Loop]:
    """Full mixes, and what closes hardest: long pads and single basses. In two channels."""
    made = []
    for number in range(40):
        genre, bpm = _GENRES[(number + number // len(_GENRES)) % len(_GENRES)]
        text, layers = _ANY[number % len(_ANY)]
        made.append(_loop("any", number, text.format(genre), bpm + 0.7, layers, quality="hifi"))
    return made


def _loop(
    kind: Kind,
    number: int,
    prompt: str,
    tempo_bpm: float,
    layers: tuple[Layer, ...] | None,
    *,
    key: str | None = None,
    quality: Quality = "standard",
) -> Loop:
    request = LoopRequest(
        prompt=prompt, tempo_bpm=tempo_bpm, bars=4, layers=layers, key=key, quality=quality, seed=100 + number
    )
    return Loop(f"{kind}-{number:02d}", kind, request)


@functools.cache
def _reader() -> PromptReader:
    return PromptReader()
