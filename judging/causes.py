"""Why a row may fall short, as far as it was found out, and what to try next. Shown only for rows that do.

Keys are those of ``rows.Row.cause``. Whoever changes the engine so that a cause goes away takes its entry out.
"""

from __future__ import annotations

from collections.abc import Sequence

from judging.rows import Row

_UNKNOWN = "The cause is not known. Next: look at the loops that the run names."
CAUSES: dict[str, str] = {
    "recordings": (
        "The codec learned from rendered loops of single instruments, with their notes told beside the latents; a mix "
        "without a score it blurs. Next: train it on music of free licences, sometimes without telling the notes, on "
        "a GPU."
    ),
    "tempo": (
        "Half and double time fit the same drums, and a judge may hear either; the row that allows octaves counts "
        "those as right. Next: look at the loops that the run names."
    ),
    "notes": (
        "Phases of partials are told, but the lag that a swept filter gives them is not. Next: tell that, and look at "
        "the loops that the run names."
    ),
    "scale": (
        "Phases of partials are told; what is not a partial of a note stays where the magnitudes are. Next: look at "
        "the loops that the run names."
    ),
    "seam": (
        "A hit on the first beat is a surprise to the predictor whether the loop closes or not: the ground truth, "
        "which has no join, misses the mark as often as its column shows. The row that allows for the ground "
        "truth's own ratio tells about the join: where a source is repainted or continued, its own hits stay, and "
        "what is made anew hits as hard in the same place."
    ),
    "hits": ("Hits that the codec keeps and the transformer loses. Next: train the transformer for longer."),
    "low_hits": (
        "A kick's first period lasts 20 ms, and the judge hears where it begins; what is told of hits gives the long "
        "window's lowest bins a level, phase.py their place. Next: train what the decoder is told for longer."
    ),
    "high_hits": (
        "The codec's column has most of it: short windows follow each other every 2.9 ms. Next: half that hop."
    ),
    "pre_echo": "What the short windows (12 ms) smear before a hit. Next: shorter windows at hits.",
    "midi": (
        "The notes, their partials and the phases of these are told; what rings and how it decays decides whether "
        "Basic Pitch hears one note or two. Next: train what the decoder is told for longer."
    ),
    "chords": (
        "Compare the codec's column: what is lost there are the partials that tell major from minor. Next: as for "
        "notes."
    ),
    "stems_own": (
        "Pads are the least alike: of a choir the judge hears a third in other layers that play in the same range. "
        "Next: the level of a choir's bands."
    ),
    "instruments": (
        "Long reverb and the saturation of several notes together are no part of what the decoder is told. Next: train "
        "it for longer, with those."
    ),
    "sections": (
        "The level of a section follows its layers and hits, as they are played. Next: judge levels by layer."
    ),
    "time": ("Time is measured while the other piece is made on the same cores; `make bench` measures it in turns."),
}


def falling_short(rows: Sequence[Row]) -> str:
    """A list of the rows that miss their aim: figures, then cause and next step, rows of one cause together."""
    by_cause: dict[str, list[str]] = {}
    for row in rows:
        if row.met is False:
            shown = f"**{row.what}**: {row.values.get('generated', row.values.get('codec'))}, aim {row.aim}"
            by_cause.setdefault(CAUSES.get(row.cause, _UNKNOWN), []).append(shown)
    lines = [f"* {'; '.join(missed)}. {cause}" for cause, missed in by_cause.items()]
    return "\n".join(lines) or "Every row with an aim reaches it."
