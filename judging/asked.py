"""Loops that ask for one thing to be found again: a MIDI file, chords, stems of one mix, an instrument.

Fixed, as the list of ``loops``. Instruments are asked in held-out words, too.
"""

from __future__ import annotations

import base64

from judging.loops import Loop
from judging.midi_files import midi_file
from loopmeter import Layer, LoopRequest
from loopmeter_engine.planner.harmony import scale
from loopmeter_engine.planner.plan import parse_key
from loopmeter_engine.score import FAMILIES
from loopmeter_engine.text.instruments import FAMILY_WORDS
from loopmeter_engine.text.lexicon import held_out

# Thirty files: the layer that the file plays, the instrument that plays it, tempo and key.
_MIDI: dict[Layer, tuple[str, ...]] = {
    "drums": (
        "hard bop studio drum kit", "uk dubstep electronic kit", "chicago house 909 drum machine",
        "southern rap roland 808", "lo-fi beats crusty drums", "hard trap rattling hats", "indie pop synth drums",
        "alternative rock studio drum kit",
    ),
    "bass": (
        "lo-fi beats sine bass", "liquid funk reece", "acid house squelchy bass", "electro funk digital bass",
        "hard bop upright bass", "space disco bouncy bass", "rocksteady p-bass", "one drop booming bass",
    ),
    "chords": (
        "lo-fi beats e-piano", "indie pop felt piano", "rocksteady bubbling organ", "chicago house synth chords",
        "dreamwave kalimba chords", "alternative rock strummed guitar", "progressive trance pluck synth",
    ),
    "lead": (
        "chip music bleeps", "classic trance trance lead", "ambient music chimes", "afropop vibraphones",
        "gypsy jazz flute melody", "synth funk theremin", "dreamwave saw synth",
    ),
}  # fmt: skip
_TEMPI_BPM = (84.0, 118.0, 96.5, 132.0, 104.0, 150.0, 72.0, 126.0)
_KEYS = ("Am", "C", "F#m", "Eb", "Dm", "G", "Bbm", "E")
# Progressions that the planner does not know, one chord a bar.
_CHORDS: tuple[tuple[str, str, float], ...] = (
    ("lo-fi beats", "C Eb F Ab", 82), ("chicago house", "Am D F E", 123), ("progressive trance", "Gm Eb F D", 137),
    ("indie pop", "E G A C", 106), ("dreamwave", "F#m A E C", 98), ("gypsy jazz", "Dm7 G7 Cmaj7 A7", 118),
    ("ambient music", "Bb Gm Db Eb", 76), ("electro funk", "Cm Ab Fm G", 106), ("symphonic", "A C D F", 92),
    ("chip music", "Em B C Am", 146), ("rocksteady", "Fm Db Ab C", 78), ("melodic techno", "Bm G E A", 130),
    ("alternative rock", "D Bb C G", 124), ("space disco", "G#m E C#m D#", 117), ("afropop", "Ebm B Gb Ab", 108),
    ("golden age hip hop", "Am7 Fmaj7 Dm7 E7", 90),
)  # fmt: skip
_MIXES: tuple[tuple[str, float], ...] = (
    ("lo-fi beats", 80), ("chicago house", 124), ("dreamwave", 100), ("indie pop", 110), ("alternative rock", 128),
    ("gypsy jazz", 116), ("epic orchestral", 92), ("one drop", 76),
)  # fmt: skip
STEMS: tuple[Layer, ...] = ("drums", "bass", "chords", "lead", "pad")
MIX = "mix"
_LOOPS_PER_INSTRUMENT = 2


def asked_loops() -> list[Loop]:
    return [*_midi_loops(), *_chord_loops(), *_stem_loops(), *_instrument_loops()]


def stem_name(number: int, part: str) -> str:
    """Of the mix (``MIX``) or of a layer of request ``number``."""
    return f"stem-{number:02d}-{part}"


def mixes() -> range:
    """The numbers of the requests whose stems are asked as well."""
    return range(len(_MIXES))


def instrument_of(loop: Loop) -> tuple[Layer, str]:
    """Which family of which layer a loop of kind ``instrument`` asks for."""
    _, layer, family, _ = loop.name.split("-")
    return next(known for known in STEMS if known == layer), family


def _midi_loops() -> list[Loop]:
    made = []
    for layer, prompts in _MIDI.items():
        for number, prompt in enumerate(prompts):
            key = _KEYS[number]
            request = LoopRequest(
                prompt=prompt,
                tempo_bpm=_TEMPI_BPM[number],
                bars=4,
                key=key,
                layers=(layer,),
                seed=200 + number,
                midi_base64=base64.b64encode(midi_file(layer, scale(*parse_key(key)), number)).decode(),
            )
            made.append(Loop(f"midi-{layer}-{number}", "midi", request))
    return made


def _chord_loops() -> list[Loop]:
    made = []
    for number, (prompt, chords, tempo_bpm) in enumerate(_CHORDS):
        layers: tuple[Layer, ...] = ("bass", "chords") if number % 2 else ("bass", "chords", "pad")
        request = LoopRequest(
            prompt=prompt, tempo_bpm=tempo_bpm, bars=4, layers=layers, chords=chords, seed=300 + number
        )
        made.append(Loop(f"chords-{number:02d}", "chords", request))
    return made


def _stem_loops() -> list[Loop]:
    made = []
    for number, (prompt, tempo_bpm) in enumerate(_MIXES):
        parts: dict[str, tuple[Layer, ...]] = {MIX: STEMS, **{layer: (layer,) for layer in STEMS}}
        for part, layers in parts.items():
            request = LoopRequest(
                prompt=prompt,
                tempo_bpm=tempo_bpm,
                bars=2,
                key=_KEYS[number],
                layers=layers,
                seed=400 + number,
                stems=True,
            )
            made.append(Loop(stem_name(number, part), "stem", request))
    return made


def _instrument_loops() -> list[Loop]:
    made = []
    for layer in STEMS:
        for place, family in enumerate(FAMILIES[layer]):
            words = held_out(FAMILY_WORDS[layer][family])
            for number in range(_LOOPS_PER_INSTRUMENT):
                genre = _MIXES[(place + 3 * number) % len(_MIXES)][0]
                request = LoopRequest(
                    prompt=f"{genre} {words[number % len(words)]}",
                    tempo_bpm=_TEMPI_BPM[(place + number) % len(_TEMPI_BPM)],
                    bars=2,
                    key=_KEYS[number],
                    layers=(layer,),
                    seed=600 + number,
                )
                made.append(Loop(f"instrument-{layer}-{family}-{number}", "instrument", request))
    return made
