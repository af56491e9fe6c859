"""The explicit reading of a prompt: what its words say outright, without a model. Torch-free and pure.

Order: numbers and keys (``measures.py``), phrases (``phrases.py``), then what is denied ("no drums"), what is asked
for alone ("just bass"), and to which layer an adjective belongs ("wide pads"). A prompt whose main noun is an
instrument ("dusty lo-fi drums") asks for the instruments that it names and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loopmeter import LAYERS, Layer
from loopmeter_engine.planner.brief import PromptBrief

from .measures import read_measures
from .phrases import Item, find_phrases


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(","))


_NEGATORS = _words("no, without, minus, not, non, zero, sans, dont, don, skip, remove, mute, lose, hold")
_ALONE_BEFORE = _words("only, just, solo, isolated, solely, purely, exclusively")
_ALONE_AFTER = _words("only, solo, alone, isolated, soloed")
_FILLERS = _words(
    """
    any, the, a, an, too, so, very, really, much, of, all, some, single, t, please, kind, add, use, include,
    want, need, overly, super, slightly, bit, vocals, vocal, singing, lyrics, more, my, nice, good, one, big
    """
)
_CLAUSE_WORDS = _words(
    """
    with, featuring, feat, over, but, for, from, like, then, where, at, in, on, under, while, behind, to, that,
    which, when, inspired, as
    """
)
_CARRIERS = _words(
    """
    loop, loops, line, lines, part, parts, pattern, sequence, stem, stems, layer, layers, riff, sample, phrase,
    motif, sound, sounds, figure, progression, solo, groove, beat, instrumental, please, track, bed
    """
)
_ROLES = _words("melody, lead, chords, lead line, melodies, riff, arpeggio, arpeggios, arp, chord progression")
_MARKS = frozenset(",.;:!?()|")
_SMALL_WORDS = _FILLERS | _CLAUSE_WORDS | _CARRIERS | _MARKS | _NEGATORS | {"and", "or", "music", "me", "i"}
# What replaces an instrument that the prompt denies while its layer stays.
_SUBSTITUTES: dict[Layer, tuple[str, ...]] = {
    "drums": ("acoustic", "tr909"), "bass": ("finger", "sub"), "chords": ("pluck", "organ"), "lead": ("square", "bell"),
    "pad": ("warm", "glass"), "fx": (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What the words say. ``hints`` are genres that they suggest, most often suggested first, where none is named.

    ``rest`` is the prompt without numbers, keys and what it denies, for the encoder; ``unread`` counts its words that
    no phrase explains, small words aside.
    """

    brief: PromptBrief
    hints: tuple[str, ...]
    rest: str
    unread: int


def read_words(prompt: str) -> Reading:
    """Read a prompt explicitly. Never raises; a text without a known word gives an empty brief."""
    measures = read_measures(prompt)
    items = find_phrases(measures.rest)
    denied = _denied(items)
    kept = [item for index, item in enumerate(items) if index not in denied]
    parts, without = _layers(items, denied)
    families = _families(kept, [items[i] for i in denied])
    density = next((m.value for item in kept for m in item.meanings if m.kind == "density"), None)
    brief = PromptBrief(
        genre=_genre(kept),
        mood=_mood(kept),
        tempo_bpm=measures.tempo_bpm,
        bars=measures.bars,
        tonic=measures.tonic,
        mode=measures.mode,
        layers_only=parts,
        layers_without=without,
        families={
            layer: name for layer, name in families.items() if layer in (parts or LAYERS) and layer not in without
        },
        macros=_macros(kept, parts),
        density=density,
        beats_per_bar=measures.beats_per_bar,
    )
    hints = [m.name for item in kept for m in item.meanings if m.kind == "hint"]
    ranked = sorted(dict.fromkeys(hints), key=lambda name: -hints.count(name))
    passed_over = [item for item in kept if not item.meanings and item.text not in _SMALL_WORDS]
    rest = " ".join(item.text for item in kept if item.text not in _NEGATORS) if denied else measures.rest
    return Reading(brief, tuple(ranked), rest, len(passed_over))


def _genre(items: Sequence[Item]) -> str | None:
    """The last genre named in the first clause that names one: "ambient techno" is techno."""
    found: str | None = None
    for item in items:
        names = [m.name for m in item.meanings if m.kind == "genre"]
        if found is not None and (item.text in _MARKS or item.text in _CLAUSE_WORDS):
            break
        found = names[0] if names else found
    return found


def _mood(items: Sequence[Item]) -> str | None:
    """The first mood; one that describes a single instrument ("warm pad") only where there is no other."""
    moods = [(index, m.name) for index, item in enumerate(items) for m in item.meanings if m.kind == "mood"]
    free = [name for index, name in moods if _described(items, index) is None]
    return next(iter([*free, *(name for _, name in moods)]), None)


def _denied(items: Sequence[Item]) -> set[int]:
    """Indices of the phrases in the reach of a "no" or "without"."""
    denied: set[int] = set()
    for start, item in enumerate(items):
        if item.text not in _NEGATORS or _word(items, start + 1) in ("only", "just"):
            continue
        index = start + 1
        while index < len(items):
            before = items[index - 1]
            if items[index].meanings and not _ends_denial(item, before, items[index]):
                denied.add(index)
            elif items[index].meanings or not _goes_on(items, index):
                break
            index += 1
    return denied


def _ends_denial(negator: Item, before: Item, item: Item) -> bool:
    """ "no drums techno" denies drums alone, "not too dark synthwave" the darkness alone."""
    return bool(before.layers and not item.layers) or bool(before.meanings and negator.text == "not")


def _goes_on(items: Sequence[Item], index: int) -> bool:
    """Whether a denial reaches past this word: "no drums or bass", "no drums, bass or pads", but "no drums, bass"."""
    word = items[index].text
    if word in _FILLERS or word in ("or", "nor", "/"):
        return True
    follows = index + 1 < len(items) and bool(items[index + 1].layers)
    if word == "and":
        return follows
    if word != "," or (not follows and _word(items, index + 1) not in ("or", "nor")):
        return False
    while index < len(items) and (items[index].text == "," or items[index].layers):
        index += 1
    return _word(items, index) in ("or", "nor")


def _layers(items: Sequence[Item], denied: set[int]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """The layers asked for alone and the layers denied, in mixing order; a layer is never in both."""
    kept = [i for i in range(len(items)) if i not in denied]
    named = {layer for i in kept if not _is_role(items, i) for layer in items[i].layers}
    without = {m.layer for i in kept for m in items[i].meanings if m.kind == "absent"}
    for i in denied:
        whole_layers = {m.layer for m in items[i].meanings if m.kind == "layer"}
        if not _is_drum_part(items[i]):
            without |= whole_layers - named
    only = _asked_alone(items, denied) or (named if _main_noun_is_part(items, denied) else set())
    return _ordered(only - without), _ordered(without - only)


def _asked_alone(items: Sequence[Item], denied: set[int]) -> set[Layer]:
    layers: set[Layer] = set()
    for index, item in enumerate(items):
        if item.text in _ALONE_AFTER | {"nothing", "by", "on"} and _ends_a_part(items, index):
            layers |= _reach(items, denied, index - 1, -1) if _means_alone(items, index) else set()
        elif item.text in _ALONE_BEFORE:
            layers |= _reach(items, denied, index + 1, 1)
        elif item.text == "nothing" and _word(items, index + 1) in ("but", "except"):
            layers |= _reach(items, denied, index + 2, 1)
    return layers


def _means_alone(items: Sequence[Item], index: int) -> bool:
    """ "only", "alone", "nothing else", "by itself", "on its own" behind an instrument."""
    following = _word(items, index + 1), _word(items, index + 2)
    phrases = {"nothing": ("else",), "by": ("itself", "themselves"), "on": ("its", "their")}
    allowed = phrases.get(items[index].text)
    return following[0] in allowed if allowed is not None else True


def _ends_a_part(items: Sequence[Item], index: int) -> bool:
    before = index - 1
    while before >= 0 and (items[before].text in _CARRIERS | {"and", "with"} and not items[before].layers):
        before -= 1
    return before >= 0 and bool(items[before].layers)


def _reach(items: Sequence[Item], denied: set[int], index: int, step: int) -> set[Layer]:
    """The layers named from ``index`` on, in one direction, up to the end of the clause or of the list."""
    layers: set[Layer] = set()
    while 0 <= index < len(items) and index not in denied:
        item = items[index]
        ends = item.text in _CLAUSE_WORDS or item.text in _MARKS or item.text in _NEGATORS
        if ends and not (item.text == "," and layers and _list_goes_on(items, index, step)):
            break
        layers.update(() if _is_role(items, index) else item.layers)
        index += step
    return layers


def _list_goes_on(items: Sequence[Item], index: int, step: int) -> bool:
    index += step
    while 0 <= index < len(items) and (items[index].has("macro", "mood", "density") or items[index].text in _FILLERS):
        index += step
    return 0 <= index < len(items) and bool(items[index].layers)


def _main_noun_is_part(items: Sequence[Item], denied: set[int]) -> bool:
    """Whether the first clause ends in an instrument: "a dusty drum loop", but not "a house track with piano"."""
    head: list[Item] = []
    for index, item in enumerate(items):
        if item.text in _MARKS or item.text in _CLAUSE_WORDS or index in denied or item.text in _NEGATORS:
            break
        head.append(item)
    while len(head) > 1 and (_is_role(head, len(head) - 1) or (head[-1].text in _CARRIERS and not head[-1].layers)):
        head.pop()
    return bool(head) and head[-1].is_part


def _families(kept: Sequence[Item], denied: Sequence[Item]) -> dict[Layer, str]:
    """The first family named for each layer; a substitute where one is only denied."""
    out: dict[Layer, str] = {}
    for item in kept:
        for m in item.meanings:
            if m.kind == "family" and m.layer is not None:
                out.setdefault(m.layer, m.name)
    refused = {(m.layer, m.name) for item in denied for m in item.meanings if m.kind == "family"}
    for layer in _ordered({layer for layer, _ in refused}):
        choices = [name for name in _SUBSTITUTES[layer] if (layer, name) not in refused]
        if choices:
            out.setdefault(layer, choices[0])
    return out


def _macros(items: Sequence[Item], parts: Sequence[Layer]) -> dict[Layer, dict[str, float]]:
    """Adjectives as macro values, for the instrument that follows, else for every layer.

    A word that is a mood too ("dark") moves the whole mix only half as far: the mood does the rest.
    """
    out: dict[Layer, dict[str, float]] = {}
    for index, item in enumerate(items):
        described = _described(items, index)
        layers = [described] if described else [layer for layer in parts or LAYERS if layer != "fx"]
        for m in item.meanings:
            if m.kind != "macro" or (described is None and m.name == "level"):
                continue
            value = (m.value + 0.5) / 2 if described is None and item.has("mood") else m.value
            for layer in layers:
                if described or m.name not in out.get(layer, {}):
                    out.setdefault(layer, {})[m.name] = value
    return out


def _described(items: Sequence[Item], index: int) -> Layer | None:
    """The layer whose noun follows the adjective at ``index``, other adjectives and small words aside."""
    for item in items[index + 1 :]:
        if item.layers:
            return item.layers[0]
        if not (item.has("macro", "mood", "density", "hint") or item.text in _FILLERS or item.text == "and"):
            return None
    return None


def _is_role(items: Sequence[Item], index: int) -> bool:
    """Whether the word says what the instrument before it plays: the melody of "piano melody" is no other part."""
    return items[index].text in _ROLES and index > 0 and items[index - 1].is_part


def _is_drum_part(item: Item) -> bool:
    return item.layers == ("drums",) and "drum" not in item.text and item.text not in ("percussion", "breaks", "break")


def _word(items: Sequence[Item], index: int) -> str:
    return items[index].text if 0 <= index < len(items) else ""


def _ordered(layers: set[Layer] | set[Layer | None]) -> tuple[Layer, ...]:
    return tuple(layer for layer in LAYERS if layer in layers)
