"""Training captions: a score said in words, differently each time. Torch-free and pure; randomness comes in.

A caption may leave out most of what it could say, down to a single word, and never says what is untrue. With
``heldout=True`` it uses only the wordings that training never sees (see ``lexicon.held_out``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from numpy.random import Generator

from loopmeter import Layer
from loopmeter_engine.score import Score, Timbre

from .instruments import DENSITY_WORDS, FAMILY_WORDS, LAYER_WORDS, MACRO_WORDS
from .lexicon import GENRE_HINTS, GENRE_SCENES, GENRE_WORDS, MOOD_SCENES, MOOD_WORDS, held_out, training

SHARP = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLAT = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_LOW_MARK, _HIGH_MARK = 0.3, 0.7  # A macro outside of these is worth a word.
_SPARSE_EVENTS_PER_BEAT, _BUSY_EVENTS_PER_BEAT = 2.0, 9.0  # Of all notes and hits together.
_CARRIERS = ("loop", "beat", "groove", "track", "music", "instrumental", "tune", "jam", "idea", "backing")
_PART_CARRIERS = ("loop", "part", "line", "pattern", "stem", "riff", "phrase", "")
# The effects layer is said by what sounds in it.
_FX_WORDS = {
    "vinyl": ("vinyl crackle", "crackle", "vinyl noise", "vinyl hiss", "hiss"),
    "riser": ("riser", "risers", "a long riser", "a build-up riser", "uplifter"),
    "impact": ("impacts", "an impact", "hits and impacts", "a boom", "impact fx"),
    "sweep": ("sweeps", "noise sweep", "white noise sweep", "filter sweeps", "sweep fx"),
}
# A hint or scene with such a word promises an instrument, which the score may not have.
_PROMISE = re.compile(
    "drum|bass|kick|snare|hat|clap|rim|cymbal|percuss|piano|organ|guitar|key|chord|stab|clav|string|horn|trumpet|"
    "brass|melody|lead|arp|bell|flute|pad|synth|choir|808|909|303|hiss|crackle|vocal|auto-tune|riff|break|orchestra|"
    "wub|wobbl|growl|skank|shaker|conga|pulse|square|chop|siren|ukulele|plucks|saw|sequence|acid|tone|amen|reese|braam|taiko"
)


def caption(score: Score, rng: Generator, heldout: bool = False) -> str:
    """One prompt that could have asked for ``score``; never empty."""
    return _Caption(score, rng, heldout).text()


class _Caption:
    def __init__(self, score: Score, rng: Generator, heldout: bool) -> None:
        self._score, self._rng, self._choose = score, rng, held_out if heldout else training
        self._layers = [layer for layer in score.layers if layer != "fx"]

    def text(self) -> str:
        few = 0 < len(self._layers) <= 2
        head = self._few_parts() if few and self._chance(0.75) else self._whole()
        tags = [
            tag for tag, share in ((self._tempo, 0.25), (self._key, 0.2), (self._bars, 0.12)) if self._chance(share)
        ]
        extras = [tag() for tag in tags]
        if not few and self._chance(0.2):
            extras.append(self._absent())
        parts = [part for part in [head, *extras] if part]
        if self._chance(0.2):
            self._rng.shuffle(parts)
        joint = ", " if self._chance(0.7) else " "
        return self._dress(joint.join(parts))

    # Heads: the main clause.

    def _whole(self) -> str:
        kinds: tuple[tuple[float, Callable[[], str]], ...] = (
            (0.06, self._genre),
            (0.05, self._mood),
            (0.12, lambda: f"{self._genre()} {self._one(_CARRIERS)}"),
            (0.14, lambda: f"{self._mood()} {self._genre()} {self._maybe_carrier()}".strip()),
            (0.16, lambda: f"{self._mood()} {self._genre()} with {self._instruments()}"),
            (0.10, lambda: f"{self._genre()} with {self._instruments()}"),
            (0.06, lambda: f"{self._mood()} {self._maybe_carrier() or 'loop'} with {self._instruments()}"),
            (0.07, lambda: f"{self._genre()}, {self._instruments(', ')}, {self._mood()}"),
            (0.06, lambda: self._instruments(", ")),
            (0.05, lambda: f"{self._scene()}"),
            (0.04, lambda: f"{self._scene()} with {self._instruments()}"),
            (0.05, lambda: f"{self._hint()} {self._genre()} {self._maybe_carrier()}".strip()),
            (0.04, lambda: f"{self._density()} {self._mood()} {self._genre()}".strip()),
        )
        shares = [share for share, _ in kinds]
        index = self._rng.choice(len(kinds), p=[share / sum(shares) for share in shares])
        return kinds[int(index)][1]()

    def _few_parts(self) -> str:
        names = self._join([self._instrument(layer) for layer in self._layers])
        style = self._one((self._genre(), self._mood(), "", f"{self._mood()} {self._genre()}"))
        part = self._one(_PART_CARRIERS)
        return self._one(
            (
                f"{style} {names} {part}",
                f"{style} {names}",
                f"{names} only, {style}" if style else f"{names} only",
                f"just {style} {names}",
                f"only {names}, {style}" if style else f"only {names}",
                f"solo {names}" if len(self._layers) == 1 else f"{names} and nothing else",
                f"isolated {names} {part}",
                f"{names}, {style}" if style else names,
            )
        ).strip()

    # Words.

    def _genre(self) -> str:
        return self._one(self._choose(GENRE_WORDS[self._score.genre]))

    def _mood(self) -> str:
        return self._one(self._choose(MOOD_WORDS[self._score.mood]))

    def _hint(self) -> str:
        return self._one(_unpromising(self._choose(GENRE_HINTS[self._score.genre])) or [self._mood()])

    def _scene(self) -> str:
        table = GENRE_SCENES[self._score.genre] if self._chance(0.6) else MOOD_SCENES[self._score.mood]
        return self._one(_unpromising(self._choose(table)) or self._choose(MOOD_SCENES[self._score.mood]))

    def _maybe_carrier(self) -> str:
        return self._one(_CARRIERS) if self._chance(0.6) else ""

    def _instruments(self, joint: str | None = None) -> str:
        """One to three of the sounding layers, the foreground as likely as the background."""
        layers = list(self._score.layers)
        if not layers:
            return "silence"
        count = min(len(layers), int(self._rng.integers(1, 4)))
        chosen = self._rng.choice(len(layers), size=count, replace=False)
        names = [self._instrument(layers[int(i)]) for i in chosen]
        return self._join(names) if joint is None else joint.join(names)

    def _instrument(self, layer: Layer) -> str:
        timbre = self._score.timbres[layer]
        words = FAMILY_WORDS[layer][timbre.family] if self._chance(0.65) else LAYER_WORDS[layer]
        if layer == "fx" and self._score.fx:
            words = _FX_WORDS[self._one([event.kind for event in self._score.fx])]
        name = self._one(self._choose(words))
        adjectives = self._adjectives(timbre)
        if adjectives and self._chance(0.4):
            name = f"{self._one(adjectives)} {name.removeprefix('a ')}"
        return name

    def _adjectives(self, timbre: Timbre) -> list[str]:
        """A word for each macro that stands out; those of the level are left to the mix."""
        out = []
        for (macro, value), words in MACRO_WORDS.items():
            found: float = getattr(timbre, macro)
            stands_out = found >= max(_HIGH_MARK, value - 0.15) if value > 0.5 else found <= min(_LOW_MARK, value + 0.1)
            if stands_out and macro != "level":
                out.append(self._one([w for w in self._choose(words) if " in " not in f" {w} "]))
        return out

    def _density(self) -> str:
        events = (len(self._score.notes) + len(self._score.hits)) / max(1, self._score.beats)
        if events < _SPARSE_EVENTS_PER_BEAT:
            return self._one(self._choose(DENSITY_WORDS[0.15]))
        return self._one(self._choose(DENSITY_WORDS[0.9])) if events > _BUSY_EVENTS_PER_BEAT else ""

    # Tags: tempo, key, length, absence.

    def _tempo(self) -> str:
        bpm = f"{self._score.tempo_bpm:g}" if self._chance(0.5) else f"{self._score.tempo_bpm:.0f}"
        return self._one((f"{bpm} bpm", f"at {bpm} BPM", f"{bpm}bpm", f"tempo {bpm}", f"{bpm} beats per minute"))

    def _key(self) -> str:
        tonic = (SHARP if self._chance(0.5) else FLAT)[self._score.tonic]
        mode = self._score.mode
        short = {"minor": f"{tonic}m", "major": f"{tonic} maj"}.get(mode, f"{tonic} {mode}")
        return self._one((f"in {tonic} {mode}", f"{tonic} {mode}", f"key of {tonic} {mode}", short, f"in {short}"))

    def _bars(self) -> str:
        bars = self._score.bars
        unit = "bar" if bars == 1 else "bars"
        return self._one((f"{bars} {unit}", f"{bars}-bar loop", f"{bars} bar loop"))

    def _absent(self) -> str:
        absent = [layer for layer in ("drums", "bass", "chords", "lead", "pad") if layer not in self._score.timbres]
        if not absent:
            return ""
        layer = self._one(absent)
        word = {"drums": "drums", "bass": "bass", "chords": "chords", "lead": "melody", "pad": "pads"}[layer]
        forms = [f"no {word}", f"without {word}", f"no {word} at all", f"minus the {word}"]
        return self._one([*forms, "drumless", "beatless"] if layer == "drums" else forms)

    # Chance and typing.

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self._rng.integers(len(choices)))]

    def _join(self, names: Sequence[str]) -> str:
        if len(names) < 2:
            return "".join(names)
        last = self._one((" and ", " and ", ", ", " plus ", " & "))
        return ", ".join(names[:-1]) + last + names[-1]

    def _dress(self, text: str) -> str:
        """As people type: mostly lower case, sometimes a sentence, sometimes an order."""
        text = " ".join(text.split())
        if self._chance(0.08):
            text = self._one(("make me ", "give me ", "i need ", "create ", "i want ")) + text
        if self._chance(0.15):
            text = text[0].upper() + text[1:]
        return text + "." if self._chance(0.06) else text


def _unpromising(wordings: Sequence[str]) -> Sequence[str]:
    return [wording for wording in wordings if not _PROMISE.search(wording)]
