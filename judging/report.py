"""The table of all judges: ``python -m judging.report`` prints it, and writes docs/quality.md and a JSON file.

Every figure stands beside the same judge's figure on the ground truth, whose distance from perfect is the judge's own
error. ``again`` is the ground truth with other noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from judging.audio import CACHE, VERSIONS, Made, Version, made_loops
from judging.loops import Kind
from judging.measure import Measures, measure
from judging.onsets import BANDS

TEMPO_JUDGES = ("essentia", "madmom", "bpm_tools")
OUT = Path("docs/quality.md")
_TEMPO_TOLERANCE = 0.02
_OCTAVES = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_SCALE_BAR = 0.9
_SEAM_ROOM = 1.5  # Two renderings of the same downbeat differ by so much.
_HEADINGS: dict[Version, str] = {
    "render": "ground truth", "again": "other noise", "phases": "phases found anew", "codec": "codec",
    "generated": "generated",
}  # fmt: skip
_NOT_JOINED: tuple[Version, ...] = ("phases", "codec")  # Cut from a stream: nobody closed these loops.


@dataclass(frozen=True)
class Judged:
    """A loop with all verdicts: our measures, and those of ``judging.outside``, by version."""

    made: Made
    own: dict[Version, Measures]
    outside: dict[Version, dict[str, float]]

    @property
    def kind(self) -> Kind:
        return self.made.loop.kind

    def tempo_right(self, version: Version, judge: str, factors: Sequence[float]) -> bool:
        asked, heard = self.made.loop.score.tempo_bpm, self.outside[version][judge]
        return any(abs(heard / (asked * factor) - 1) <= _TEMPO_TOLERANCE for factor in factors)

    def tempo_agreed(self, version: Version, factors: Sequence[float]) -> bool:
        return sum(self.tempo_right(version, judge, factors) for judge in TEMPO_JUDGES) >= 2


@dataclass(frozen=True)
class Row:
    """A line of the table. ``failed`` names the generated loops that miss the line's mark."""

    what: str
    aim: str
    values: dict[Version, str]
    failed: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    judged = judge_all()
    rows = [*_length_and_tempo(judged), *_tones(judged), *_seams(judged), *_hits(judged), *_sound(judged)]
    versions = [version for version in VERSIONS if version in judged[0].own]
    table = _table(rows, versions)
    print(table)
    for row in rows:
        if row.failed:
            print(f"{row.what}: {', '.join(row.failed)}")
    counts = {kind: len(_of(judged, kind)) for kind in get_args(Kind)}
    args.out.write_text(_PAGE.format(table=table, **counts))
    (CACHE / "quality.json").write_text(json.dumps([_plain(entry) for entry in judged], indent=1))


def judge_all() -> list[Judged]:
    made = made_loops()
    outside = json.loads((CACHE / "outside.json").read_text())["verdicts"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        own = pool.map(measure, made, chunksize=4)
    return [
        Judged(loop, figures, {version: outside[path.name] for version, path in loop.wavs.items()})
        for loop, figures in zip(made, own, strict=True)
    ]


def _length_and_tempo(judged: list[Judged]) -> list[Row]:
    drums = _of(judged, "drums")
    rows = [_row("length exact to the frame", "100 %", judged, lambda entry, version: entry.own[version].frames_right)]
    for text, factors in (("as asked", _OCTAVES[:1]), ("as asked or an octave of it", _OCTAVES)):
        readable = [entry for entry in drums if entry.tempo_agreed("render", factors)]
        what = f"tempo {text}, two of three judges ({len(readable)} of {len(drums)} read right in the ground truth)"
        rows.append(_row(what, "90 %", readable, functools.partial(Judged.tempo_agreed, factors=factors)))
    for judge in TEMPO_JUDGES:
        what = f"tempo or an octave of it, {judge.replace('_', '-')} alone, all drum loops"
        rows.append(_row(what, "", drums, functools.partial(Judged.tempo_right, judge=judge, factors=_OCTAVES)))
    return rows


def _tones(judged: list[Judged]) -> list[Row]:
    tonal = _of(judged, "tonal")

    def kept(entry: Judged, version: Version) -> bool:
        return _known(entry.own[version].in_scale) >= _SCALE_BAR * _known(entry.own["render"].in_scale)

    def notes(entry: Judged, version: Version) -> float:
        return entry.outside[version]["note_f1"]

    def notes_kept(entry: Judged, version: Version) -> float:
        return notes(entry, version) / max(notes(entry, "render"), 0.05)

    return [
        _figures("notes found, F1 over the ground truth's", "0.85", tonal, notes_kept, "{:.2f}"),
        _figures("notes found, F1", "", tonal, notes, "{:.2f}"),
        _row(f"energy in the asked scale at least {_SCALE_BAR:g} of the ground truth's", "90 %", tonal, kept),
        _figures("energy in the asked scale", "", tonal, lambda e, v: e.own[v].in_scale, "{:.3f}"),
        _figures("likeness of pitches, moment by moment", "", tonal, lambda e, v: e.own[v].pitch_likeness, "{:.3f}"),
    ]


def _seams(judged: list[Judged]) -> list[Row]:
    rows = []
    for kind, text in (("drums", "drums"), ("tonal", "tonal loops"), ("any", "loops of any kind")):
        of_kind = [entry for entry in judged if entry.kind == kind]
        rows.append(_row(f"seam ratio at most 1, {text}", "95 %", of_kind, lambda entry, v: entry.own[v].seam <= 1))

    def honest(entry: Judged, version: Version) -> bool:
        return entry.own[version].seam <= max(1.0, _SEAM_ROOM * entry.own["render"].seam)

    rows.append(_row(f"seam ratio at most 1 or {_SEAM_ROOM:g} x the ground truth's, all loops", "95 %", judged, honest))
    rows.append(_figures("seam ratio, all loops", "", judged, lambda e, v: e.own[v].seam, "{:.2f}"))
    blank = dict.fromkeys(_NOT_JOINED, "")
    return [dataclasses.replace(row, values=row.values | blank) for row in rows]


def _hits(judged: list[Judged]) -> list[Row]:
    drums = _of(judged, "drums")

    def relative(entry: Judged, version: Version) -> float:
        found, truth = entry.own[version].onset_f1, entry.own["render"].onset_f1
        return float(np.mean([found[band] / truth[band] for band in truth]))

    rows = [_figures("hits found, F1 over the ground truth's, mean of the bands", "0.85", drums, relative, "{:.3f}")]
    for band in BANDS:
        rows += [
            _figures(f"hits found, {band} band, F1", "", drums, _in_band(lambda own: own.onset_f1, band), "{:.3f}"),
            _figures(f"hits late, {band} band, ms", "", drums, _in_band(lambda own: own.offset_ms, band), "{:+.1f}"),
            _figures(
                f"hits off, {band} band, ms", "3", drums, _in_band(lambda own: own.offset_size_ms, band), "{:.1f}"
            ),
        ]
    before, rise = "energy in the 10 ms before a hit", "the same, above the ground truth, dB"
    return [
        *rows,
        _figures(f"{before}, under its attack, dB", "", drums, lambda e, v: e.own[v].pre_echo_db, "{:.1f}"),
        _figures(rise, "+6", drums, lambda e, v: e.own[v].pre_echo_rise_db, "{:+.1f}"),
    ]


def _in_band(pick: Callable[[Measures], dict[str, float]], band: str) -> Callable[[Judged, Version], float | None]:
    return lambda entry, version: pick(entry.own[version]).get(band)


def _sound(judged: list[Judged]) -> list[Row]:
    rows = [
        _figures(
            f"log-mel distance, {kind}, dB", "", _of(judged, kind), lambda e, v: e.own[v].mel_distance_db, "{:.2f}"
        )
        for kind in ("drums", "tonal", "any")
    ]
    rows.append(_figures("peak", "1", judged, lambda e, v: e.own[v].peak, "{:.2f}"))
    rows.append(_figures("loudness above the ground truth, LU", "0", judged, _louder, "{:+.1f}"))
    return rows


def _louder(entry: Judged, version: Version) -> float:
    return entry.outside[version]["loudness_lufs"] - entry.outside["render"]["loudness_lufs"]


def _of(judged: list[Judged], kind: Kind) -> list[Judged]:
    return [entry for entry in judged if entry.kind == kind]


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _row(what: str, aim: str, judged: list[Judged], holds: Callable[[Judged, Version], bool]) -> Row:
    """A share of loops for which something holds."""
    values: dict[Version, str] = {}
    for version in judged[0].own:
        right = sum(holds(entry, version) for entry in judged)
        values[version] = f"{100 * right / len(judged):.0f} % ({right}/{len(judged)})"
    failed = [entry.made.loop.name for entry in judged if "generated" in entry.own and not holds(entry, "generated")]
    return Row(what, aim, values, tuple(failed))


def _figures(
    what: str, aim: str, judged: list[Judged], figure: Callable[[Judged, Version], float | None], form: str
) -> Row:
    """The median of a figure over loops, and where 90 % of them lie."""
    values: dict[Version, str] = {}
    for version in judged[0].own:
        values[version] = _spread([v for entry in judged if (v := figure(entry, version)) is not None], form)
    return Row(what, aim, values)


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{form.format(middle)} ({form.format(low)} to {form.format(high)})"


def _table(rows: list[Row], versions: list[Version]) -> str:
    lines = ["| | aim | " + " | ".join(_HEADINGS[version] for version in versions) + " |"]
    lines.append("| --- |" + " --- |" * (len(versions) + 1))
    for row in rows:
        lines.append(f"| {row.what} | {row.aim} | " + " | ".join(row.values[version] for version in versions) + " |")
    return "\n".join(lines)


def _plain(entry: Judged) -> dict[str, object]:
    return {
        "name": entry.made.loop.name,
        "request": entry.made.loop.request.model_dump(mode="json", exclude_none=True),
        "own": {version: dataclasses.asdict(figures) for version, figures in entry.own.items()},
        "outside": entry.outside,
    }


_PAGE = """# Quality

What independent judges, and measures of our own, find in generated loops. `make judge` makes this page; what is
measured how, and by whom, stands in [judging/README.md](../judging/README.md).

{drums} drum loops, {tonal} tonal loops and {any} of any kind, from fixed prompts and seeds, 4 bars each. Columns:

* **ground truth**: the same score played by the synthesisers that made the training data. Its distance from perfect is
  the judge's own error.
* **other noise**: the same once more with other random numbers, a distance that means nothing.
* **phases found anew**: the ground truth's own spectra turned back into sound.
* **codec**: the ground truth through the autoencoder.
* **generated**: what the engine delivers at its default settings.

A figure is the median over loops; the range in brackets holds 90 % of them.

{table}

A drum loop begins with an attack, which is an honest surprise at the wrap: the ground truth, which has no join at all,
exceeds a seam ratio of 1 as often as its column shows.
"""


if __name__ == "__main__":
    main()
