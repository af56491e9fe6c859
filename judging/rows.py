"""Rows of the table: a figure for each version, what was aimed at, and whether the generated loops get there."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from judging.audio import CACHE, Made, made_loops
from judging.loops import Kind, Version
from judging.measure import Measures, measure

HEADINGS: dict[Version, str] = {
    "render": "ground truth", "again": "other noise", "phases": "phases found anew", "codec": "codec",
    "generated": "generated",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A loop with all verdicts: our measures, and those of ``judging.outside``, by version."""

    made: Made
    own: dict[Version, Measures]
    outside: dict[Version, dict[str, float]]

    @property
    def kind(self) -> Kind:
        return self.made.loop.kind


@dataclass(frozen=True)
class Aim:
    """What a figure should be. Without a limit it is only shown."""

    text: str = ""
    least: float | None = None
    most: float | None = None

    def met(self, figure: float) -> bool | None:
        """None: nothing is aimed at."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


NO_AIM = Aim()


def share_of(percent: float) -> Aim:
    return Aim(f"{percent:g} %", least=percent / 100)


def at_least(figure: float) -> Aim:
    return Aim(f"{figure:g}", least=figure)


def at_most(figure: float, text: str = "") -> Aim:
    return Aim(text or f"{figure:g}", most=figure)


@dataclass(frozen=True)
class Row:
    """A line of a table. ``failed`` names the generated loops that miss its mark; ``cause`` is a key of ``causes``."""

    what: str
    aim: str
    values: dict[Version, str]
    met: bool | None = None
    cause: str = ""
    failed: tuple[str, ...] = ()


def judge_all() -> list[Judged]:
    made = made_loops()
    outside = json.loads((CACHE / "outside.json").read_text())["verdicts"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        own = pool.map(measure, made, chunksize=4)
    return [
        Judged(loop, figures, {version: outside[path.name] for version, path in loop.wavs.items()})
        for loop, figures in zip(made, own, strict=True)
    ]


def of_kind(judged: list[Judged], kind: Kind) -> list[Judged]:
    return [entry for entry in judged if entry.kind == kind]


def share_row(
    what: str, aim: Aim, judged: list[Judged], holds: Callable[[Judged, Version], bool], cause: str = ""
) -> Row:
    """A share of loops for which something holds."""
    values: dict[Version, str] = {}
    met = None
    for version in _versions(judged):
        right = sum(holds(entry, version) for entry in judged)
        values[version] = f"{100 * right / len(judged):.0f} % ({right}/{len(judged)})"
        if version == "generated":
            met = aim.met(right / len(judged))
    failed = [entry.made.loop.name for entry in judged if "generated" in entry.own and not holds(entry, "generated")]
    return Row(what, aim.text, values, met, cause, tuple(failed))


def figure_row(
    what: str,
    aim: Aim,
    judged: list[Judged],
    figure: Callable[[Judged, Version], float | None],
    form: str,
    cause: str = "",
) -> Row:
    """The median of a figure over loops, and where 90 % of them lie."""
    values: dict[Version, str] = {}
    met = None
    for version in _versions(judged):
        found = [value for entry in judged if (value := figure(entry, version)) is not None]
        values[version] = spread(found, form)
        if version == "generated" and found:
            met = aim.met(float(np.median(found)))
    return Row(what, aim.text, values, met, cause)


def plain_row(what: str, aim: Aim, figure: float, form: str, cause: str = "") -> Row:
    """One figure of what was generated."""
    return Row(what, aim.text, {"generated": form.format(figure)}, aim.met(figure), cause)


def spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{form.format(middle)} ({form.format(low)} to {form.format(high)})"


def table(rows: Sequence[Row], versions: Sequence[Version]) -> str:
    """Markdown, with a column for each version."""
    lines = ["| | aim | " + " | ".join(HEADINGS[version] for version in versions) + " |"]
    lines.append("| --- |" + " --- |" * (len(versions) + 1))
    for row in rows:
        lines.append(
            f"| {row.what} | {row.aim} | " + " | ".join(row.values.get(version, "") for version in versions) + " |"
        )
    return "\n".join(lines)


def _versions(judged: list[Judged]) -> tuple[Version, ...]:
    return tuple(judged[0].own) if judged else ()
