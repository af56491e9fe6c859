"""The page of all judges: ``python -m judging.report`` prints it, and writes docs/quality.md and a JSON file.

Every figure stands beside the same judge's figure on the ground truth, whose distance from perfect is the judge's own
error. ``again`` is the ground truth with other noise. Rows of composed loops are made here, others in ``report_asked``.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from judging import report_asked
from judging.audio import CACHE
from judging.causes import falling_short
from judging.loops import VERSIONS, Version
from judging.measure import Measures
from judging.onsets import BANDS
from judging.rows import (
    NO_AIM,
    Judged,
    Row,
    at_least,
    at_most,
    figure_row,
    judge_all,
    of_kind,
    share_of,
    share_row,
    table,
)

TEMPO_JUDGES = ("essentia", "madmom", "bpm_tools")
OUT = Path("docs/quality.md")
_TEMPO_TOLERANCE = 0.02
_OCTAVES = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_SCALE_BAR = 0.9
_SEAM_ROOM = 1.5  # Two renderings of the same downbeat differ by so much.
_NOT_JOINED: tuple[Version, ...] = ("phases", "codec")  # Cut from a stream: nobody closed these loops.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    judged = judge_all()
    composed = [entry for entry in judged if entry.kind in ("drums", "tonal", "any")]
    rows = [*_length_and_tempo(composed), *_tones(composed), *_seams(composed), *_hits(composed), *_sound(composed)]
    asked, piece, spliced = report_asked.asked_rows(judged), report_asked.piece_rows(), report_asked.spliced_rows()
    recordings = report_asked.recordings_rows()
    page = _PAGE.format(
        main=_shown(rows),
        asked=_shown(asked),
        spliced=_shown(spliced),
        recordings=_shown(recordings),
        piece=_shown(piece),
        steps=report_asked.steps_table(),
        falling_short=falling_short([*rows, *asked, *spliced, *recordings, *piece]),
        **{kind: len(of_kind(judged, kind)) for kind in ("drums", "tonal", "any")},
    )
    print(page)
    for row in [*rows, *asked]:
        if row.failed:
            print(f"{row.what}: {', '.join(row.failed)}")
    args.out.write_text(page)
    (CACHE / "quality.json").write_text(json.dumps([_plain(entry) for entry in judged], indent=1))


def _shown(rows: Sequence[Row]) -> str:
    used = [version for version in VERSIONS if any(row.values.get(version) for row in rows)]
    return table(rows, used) if rows else "Not measured in this run."


def _length_and_tempo(judged: list[Judged]) -> list[Row]:
    drums = of_kind(judged, "drums")
    rows = [share_row("length exact to the frame", share_of(100), judged, lambda e, v: e.own[v].frames_right)]
    for text, factors in (("as asked", _OCTAVES[:1]), ("as asked or an octave of it", _OCTAVES)):
        readable = [entry for entry in drums if _tempo_agreed(entry, "render", factors)]
        what = f"tempo {text}, two of three judges ({len(readable)} of {len(drums)} read right in the ground truth)"
        rows.append(
            share_row(what, share_of(95), readable, functools.partial(_tempo_agreed, factors=factors), cause="tempo")
        )
    for judge in TEMPO_JUDGES:
        what = f"tempo or an octave of it, {judge.replace('_', '-')} alone, all drum loops"
        rows.append(share_row(what, NO_AIM, drums, functools.partial(_tempo_right, judge=judge, factors=_OCTAVES)))
    return rows


def _tempo_agreed(entry: Judged, version: Version, factors: Sequence[float]) -> bool:
    return sum(_tempo_right(entry, version, judge, factors) for judge in TEMPO_JUDGES) >= 2


def _tempo_right(entry: Judged, version: Version, judge: str, factors: Sequence[float]) -> bool:
    asked, heard = entry.made.loop.score.tempo_bpm, entry.outside[version][judge]
    return any(abs(heard / (asked * factor) - 1) <= _TEMPO_TOLERANCE for factor in factors)


def _tones(judged: list[Judged]) -> list[Row]:
    tonal = of_kind(judged, "tonal")

    def scale_kept(entry: Judged, version: Version) -> float:
        return _known(entry.own[version].in_scale) / _known(entry.own["render"].in_scale)

    def kept(entry: Judged, version: Version) -> bool:
        return scale_kept(entry, version) >= _SCALE_BAR

    def notes(entry: Judged, version: Version) -> float:
        return entry.outside[version]["note_f1"]

    def likeness(entry: Judged, version: Version) -> float | None:
        return entry.own[version].pitch_likeness

    return [
        figure_row(
            "notes found, F1 over the ground truth's", at_least(0.85), tonal, report_asked.notes_kept, "{:.2f}", "notes"
        ),
        figure_row("notes found, F1", NO_AIM, tonal, notes, "{:.2f}"),
        figure_row(
            "energy in the asked scale over the ground truth's", at_least(0.95), tonal, scale_kept, "{:.3f}", "scale"
        ),
        share_row(
            f"energy in the asked scale at least {_SCALE_BAR:g} of the ground truth's", share_of(90), tonal, kept,
            "scale",
        ),
        figure_row("energy in the asked scale", NO_AIM, tonal, lambda e, v: e.own[v].in_scale, "{:.3f}"),
        figure_row("likeness of pitches, moment by moment", NO_AIM, tonal, likeness, "{:.3f}"),
    ]  # fmt: skip


def _seams(judged: list[Judged]) -> list[Row]:
    rows = []
    for kind, text in (("drums", "drums"), ("tonal", "tonal loops"), ("any", "loops of any kind")):
        entries = [entry for entry in judged if entry.kind == kind]
        rows.append(
            share_row(
                f"seam ratio at most 1, {text}", share_of(95), entries, lambda e, v: e.own[v].seam <= 1,
                "" if kind == "tonal" else "seam",
            )
        )  # fmt: skip

    def honest(entry: Judged, version: Version) -> bool:
        return entry.own[version].seam <= max(1.0, _SEAM_ROOM * entry.own["render"].seam)

    what = f"seam ratio at most 1 or {_SEAM_ROOM:g} x the ground truth's, all loops"
    rows.append(share_row(what, share_of(99), judged, honest, "seam"))
    rows.append(figure_row("seam ratio, all loops", NO_AIM, judged, lambda e, v: e.own[v].seam, "{:.2f}"))
    blank = dict.fromkeys(_NOT_JOINED, "")
    return [dataclasses.replace(row, values=row.values | blank) for row in rows]


def _hits(judged: list[Judged]) -> list[Row]:
    drums = of_kind(judged, "drums")
    what = "hits found, F1 over the ground truth's, mean of the bands"
    rows = [figure_row(what, at_least(0.85), drums, report_asked.hits_kept, "{:.3f}", "hits")]
    for band in BANDS:
        cause = "low_hits" if band == "low" else "high_hits"
        rows += [
            figure_row(f"hits found, {band} band, F1", NO_AIM, drums, _in_band(_found, band), "{:.3f}"),
            figure_row(f"hits late, {band} band, ms", NO_AIM, drums, _in_band(_late, band), "{:+.1f}"),
            figure_row(f"hits off, {band} band, ms", at_most(3), drums, _in_band(_off, band), "{:.1f}", cause),
        ]
    before, rise = "energy in the 10 ms before a hit", "the same, above the ground truth, dB"
    return [
        *rows,
        figure_row(f"{before}, under its attack, dB", NO_AIM, drums, lambda e, v: e.own[v].pre_echo_db, "{:.1f}"),
        figure_row(rise, at_most(6, "+6"), drums, lambda e, v: e.own[v].pre_echo_rise_db, "{:+.1f}", "pre_echo"),
    ]


def _found(own: Measures) -> dict[str, float]:
    return own.onset_f1


def _late(own: Measures) -> dict[str, float]:
    return own.offset_ms


def _off(own: Measures) -> dict[str, float]:
    return own.offset_size_ms


def _in_band(pick: Callable[[Measures], dict[str, float]], band: str) -> Callable[[Judged, Version], float | None]:
    return lambda entry, version: pick(entry.own[version]).get(band)


def _sound(judged: list[Judged]) -> list[Row]:
    rows = [
        figure_row(
            f"log-mel distance, {kind}, dB", NO_AIM, [entry for entry in judged if entry.kind == kind],
            lambda e, v: e.own[v].mel_distance_db, "{:.2f}",
        )
        for kind in ("drums", "tonal", "any")
    ]  # fmt: skip
    rows.append(figure_row("peak", at_most(1), judged, lambda e, v: e.own[v].peak, "{:.2f}"))
    rows.append(figure_row("loudness above the ground truth, LU (0 is right)", NO_AIM, judged, _louder, "{:+.1f}"))
    return rows


def _louder(entry: Judged, version: Version) -> float:
    return entry.outside[version]["loudness_lufs"] - entry.outside["render"]["loudness_lufs"]


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _plain(entry: Judged) -> dict[str, object]:
    return {
        "name": entry.made.loop.name,
        "request": entry.made.loop.request.model_dump(mode="json", exclude_none=True, exclude={"midi_base64"}),
        "own": {version: dataclasses.asdict(figures) for version, figures in entry.own.items()},
        "outside": entry.outside,
    }


_PAGE = """# Quality

What independent judges, and measures of our own, find in generated loops. `make judge` makes this page; what is
measured how, and by whom, stands in [judging/README.md](../judging/README.md).

## Composed loops

{drums} drum loops, {tonal} tonal loops and {any} of any kind, from fixed prompts and seeds, 4 bars each. The prompts of
the first two kinds hold only words that no training caption has. Columns:

* **ground truth**: the same score played by the synthesisers that made the training data. Its distance from perfect is
  the judge's own error.
* **other noise**: the same once more with other random numbers, a distance that means nothing.
* **phases found anew**: the ground truth's own spectra turned back into sound.
* **codec**: the ground truth through the autoencoder.
* **generated**: what the engine delivers at its default settings.

A figure is the median over loops; the range in brackets holds 90 % of them.

{main}

A drum loop begins with an attack, which is an honest surprise at the wrap: the ground truth, which has no join at all,
exceeds a seam ratio of 1 as often as its column shows.

## Asked and found again

Thirty MIDI files of one layer each, chords that the planner does not know, an instrument in held-out words, and mixes
whose stems are asked as well.

{asked}

## Loops made from loops

24 loops: beats 4 to 6 of each made anew, and a bar made to follow it. A join is judged as a loop's seam is.

{spliced}

## Recordings

What a user sends as a source or a reference goes through the codec, which then knows no score. Ten seconds each of
tracks by Kenta Cho (Debian packages, two clauses of BSD), of which nothing was trained on.

{recordings}

## Five minutes

Two pieces of 300 s: one of eight sections, one that plays the same minute five times.

{piece}

![distance from the ground truth over five minutes](img/drift.png)

## Solvers and steps

Eight loops at each setting. Passes of the network decide what a setting costs.

{steps}

![quality against passes of the network](img/steps.png)

## Where it falls short

{falling_short}
"""


if __name__ == "__main__":
    main()
