"""The fixed list of loops that are judged: 40 of drums, 40 tonal ones with a key asked, 40 of any kind; and those of
``asked``, which ask for more than words.

The 80 prompts of the first two kinds are held out: they say genre, instrument and mood in words that no training
caption has (``text.lexicon.held_out``). Names, prompts and seeds never change, so that figures of different days
compare.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from typing import Literal, get_args

from loopmeter import Layer, LoopRequest, Quality
from loopmeter_engine.planner.midi import with_user_midi
from loopmeter_engine.planner.plan import plan_score, resolve
from loopmeter_engine.score import Score
from loopmeter_engine.text.understand import PromptReader

Kind = Literal["drums", "tonal", "any", "midi", "chords", "stem", "instrument"]
Version = Literal["render", "again", "phases", "codec", "generated"]
VERSIONS: tuple[Version, ...] = get_args(Version)
_FEW_VERSIONS: tuple[Version, ...] = ("render", "codec", "generated")  # Of loops that are only held against the render.

_DRUMS: tuple[tuple[str, float], ...] = (
    ("lo-fi beats drum loop", 70), ("raw lofi house hop drum track", 86),
    ("breakbeats, golden age hip hop, euphoric", 92.5), ("underground hip hop drum loop", 84),
    ("velvety southern rap drum track", 142), ("breakbeats, hard trap, grieving", 75),
    ("chicago house drum loop", 122), ("merry progressive house drum track", 119.5),
    ("breakbeats, berlin techno, enchanted", 132), ("melodic techno drum loop", 140),
    ("raw progressive trance drum track", 138), ("breakbeats, classic trance, euphoric", 130),
    ("french house drum loop", 116), ("velvety space disco drum track", 124),
    ("breakbeats, drum n bass, grieving", 174), ("liquid funk drum loop", 168),
    ("merry 2 step garage drum track", 132), ("breakbeats, uk funky, enchanted", 128),
    ("uk dubstep drum loop", 140), ("raw uk dubstep drum track", 146), ("breakbeats, rocksteady, euphoric", 76),
    ("one drop drum loop", 88), ("velvety electro funk drum track", 104), ("breakbeats, synth funk, grieving", 112),
    ("gypsy jazz drum loop", 120), ("merry hard bop drum track", 150), ("breakbeats, alternative rock, enchanted", 120),
    ("garage band drum loop", 152), ("raw afropop drum track", 108), ("breakbeats, afro funk, euphoric", 118),
    ("indie pop drum loop", 100), ("velvety modern pop drum track", 112), ("breakbeats, vaporwave, grieving", 104),
    ("dreamwave drum loop", 90), ("merry chip music drum track", 140), ("breakbeats, retro game music, enchanted", 160),
    ("epic orchestral drum loop", 90), ("raw symphonic drum track", 110), ("lively 909 drum machine", 126),
    ("gloomy studio drum kit", 78),
)  # fmt: skip
_TONAL: tuple[tuple[str, float], ...] = (
    ("lo-fi beats sine bass", 80), ("hard bop e-piano", 110), ("ambient music bleeps", 72),
    ("chip music juno pad", 150), ("uk dubstep, wobble bass and felt piano", 140),
    ("alternative rock, organ stabs and trance lead", 126), ("southern rap, chimes and huge saws", 145),
    ("chicago house, synth chords and vibraphones", 124), ("indie pop squelchy bass", 105),
    ("electro funk pluck synth", 108), ("rocksteady flute melody", 76), ("drum n bass synth strings", 172),
    ("french house, digital bass and strummed guitar", 118), ("2 step garage, ep chords and theremin", 131),
    ("progressive trance, bleeps and aahs", 138), ("vaporwave, honky-tonk piano and saw synth", 96),
    ("epic orchestral upright bass", 90), ("berlin techno bubbling organ", 134), ("golden age hip hop bell lead", 90),
    ("afropop icy pad", 106), ("lofi house hop, bouncy bass and hoover", 80),
    ("gypsy jazz, kalimba chords and steel drum", 110), ("downtempo, bamboo flute and soft synth pad", 72),
    ("retro game music, power chords and g-funk lead", 150), ("uk dubstep booming bass", 140),
    ("garage band e-piano", 126), ("hard trap saw synth", 145), ("progressive house saw pad", 124),
    ("modern pop, reece and felt piano", 105), ("synth funk, organ stabs and trance lead", 108),
    ("one drop, chimes and synth strings", 76), ("liquid funk, synth chords and vibraphones", 172),
    ("space disco resonant bass", 118), ("uk funky pluck synth", 131), ("classic trance flute melody", 138),
    ("dreamwave gregorian choir", 96), ("symphonic, lately bass and strummed guitar", 90),
    ("melodic techno, ep chords and theremin", 134), ("underground hip hop, bleeps and digital pad", 90),
    ("afro funk, honky-tonk piano and saw synth", 106),
)  # fmt: skip
_TONAL_LAYERS: tuple[tuple[Layer, ...], ...] = (
    ("bass",), ("chords",), ("lead",), ("pad",), ("bass", "chords"), ("chords", "lead"), ("lead", "pad"),
    ("bass", "chords", "lead", "pad"),
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
        score = plan_score(resolve(self.request, brief), brief)
        if self.request.midi_base64 is None:
            return score
        return with_user_midi(score, base64.b64decode(self.request.midi_base64))

    @property
    def versions(self) -> tuple[Version, ...]:
        return VERSIONS if self.kind in ("drums", "tonal", "any") else _FEW_VERSIONS


def loops() -> list[Loop]:
    return [*_drum_loops(), *_tonal_loops(), *_any_loops()]


def _drum_loops() -> list[Loop]:
    return [_loop("drums", number, prompt, bpm, ("drums",)) for number, (prompt, bpm) in enumerate(_DRUMS)]


def _tonal_loops() -> list[Loop]:
    return [
        _loop("tonal", number, prompt, bpm, _TONAL_LAYERS[number % len(_TONAL_LAYERS)], key=_KEYS[number % len(_KEYS)])
        for number, (prompt, bpm) in enumerate(_TONAL)
    ]


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
