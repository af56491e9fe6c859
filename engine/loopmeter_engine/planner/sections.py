"""A whole piece of sections: the same music, with more or less of it sounding.

Each section is composed for its own length and energy; harmony, patterns and timbres follow from the piece's seed and
the section's name, so that every chorus is the same chorus. A layer keeps the timbre of its first section.

Reading order: ``SECTION_ENERGY``, ``arrange``.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

from loopmeter import LAYERS, Layer, Section
from loopmeter_engine.score import Score

SECTION_ENERGY = {
    "intro": 0.3, "verse": 0.55, "prechorus": 0.7, "chorus": 1.0, "drop": 1.0, "bridge": 0.4, "break": 0.25,
    "solo": 0.8, "outro": 0.25,
}  # fmt: skip
_USUAL_ENERGY = 0.6
# A layer joins at this energy. The quietest sections keep what carries the harmony.
_JOINS: dict[Layer, float] = {"pad": 0.0, "chords": 0.0, "fx": 0.2, "bass": 0.35, "drums": 0.5, "lead": 0.6}


def energy_of(section: Section) -> float:
    """0..1: as asked, or what sections of that name usually have."""
    if section.energy is not None:
        return section.energy
    name = section.name.lower().replace("-", "").replace(" ", "").rstrip("0123456789")
    return SECTION_ENERGY.get(name, _USUAL_ENERGY)


def layers_at(energy: float, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Those of ``layers`` that sound at an energy; never none."""
    kept = tuple(layer for layer in LAYERS if layer in layers and energy >= _JOINS[layer])
    return kept or layers[:1]


def arrange(
    sections: tuple[Section, ...],
    layers: tuple[Layer, ...],
    compose_part: Callable[[int, tuple[Layer, ...], float, int], Score],
) -> Score:
    """One score of all sections in turn.

    ``compose_part(bars, layers, energy, variation)`` gives one section; ``variation`` is equal for equal names. All
    parts must share tempo, meter and key.
    """
    parts = []
    for section in sections:
        energy = energy_of(section)
        name = section.name.lower().rstrip("0123456789 ")
        parts.append(compose_part(section.bars, layers_at(energy, layers), energy, zlib.crc32(name.encode()) % 1000))
    whole = parts[0]
    chords, notes, hits, fx, timbres = [], [], [], [], dict(whole.timbres)
    begin = 0.0
    for part in parts:
        chords += [dataclasses.replace(span, onset_beats=span.onset_beats + begin) for span in part.chords]
        notes += [dataclasses.replace(note, onset_beats=note.onset_beats + begin) for note in part.notes]
        hits += [dataclasses.replace(hit, onset_beats=hit.onset_beats + begin) for hit in part.hits]
        fx += [dataclasses.replace(event, onset_beats=event.onset_beats + begin) for event in part.fx]
        timbres = part.timbres | timbres
        begin += part.beats
    return dataclasses.replace(
        whole,
        bars=sum(part.bars for part in parts),
        chords=tuple(chords),
        notes=tuple(notes),
        hits=tuple(hits),
        fx=tuple(fx),
        timbres={layer: timbres[layer] for layer in LAYERS if layer in timbres},
    )
