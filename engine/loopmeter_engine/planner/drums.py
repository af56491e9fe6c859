"""Writing the drums: a pattern, its variations, what density brings in, fills where phrases end."""

from __future__ import annotations

from functools import cache

import numpy as np

from loopmeter_engine.planner.genres.model import DrumFill, DrumPattern, Genre, steps_of
from loopmeter_engine.planner.grid import Frame
from loopmeter_engine.score import Hit

_VELOCITY = {"X": 1.0, "x": 0.8, "o": 0.52, "g": 0.3, "+": 0.75, "?": 0.36}
_TIMEKEEPERS = ("closed_hat", "open_hat", "ride", "shaker", "perc", "rim")


def write_drums(genre: Genre, frame: Frame, density: float, rng: np.random.Generator) -> list[Hit]:
    """Straight, unhumanised hits in order of onset, at most one per drum and moment."""
    grooves = [_groove(genre, density, rng) for _ in range(2)]
    fill_seed = int(rng.integers(2**31))
    hits: list[Hit] = []
    for bar in range(frame.bars):
        # The same draws for the same place in a phrase: repetition is what makes a groove.
        place = np.random.default_rng([fill_seed, bar % frame.phrase if frame.bars <= 16 else bar])
        cells = dict(grooves[frame.section(bar)][bar % 2])
        if frame.is_break(bar):
            cells = {at: char for at, char in cells.items() if at[0] in _TIMEKEEPERS}
        elif frame.closes_phrase(bar) and frame.bars > 1:
            last = bar == frame.bars - 1 or bar % (2 * frame.phrase) == 2 * frame.phrase - 1
            if genre.fills and place.random() < genre.fill_share * (1.0 if last else 0.45):
                _put_fill(cells, genre.fills[int(place.integers(len(genre.fills)))])
        hits.extend(_play(cells, frame, bar, density, place))
        if genre.crash and frame.bars >= 8 and bar % 8 == 0 and not frame.is_break(bar):
            hits.append(Hit("crash", float(bar * frame.beats_per_bar), 0.85))
    return _one_per_moment(hits)


Cells = dict[tuple[str, int], str]


def _groove(genre: Genre, density: float, rng: np.random.Generator) -> tuple[Cells, Cells]:
    """A pattern with the extras that the density lets in, as cells of an even and an odd bar."""
    pattern: DrumPattern = genre.drums[int(rng.integers(len(genre.drums)))]
    rows = [(drum, row) for drum, row in pattern.rows.items()]
    for rank, (drum, row) in enumerate(pattern.extras.items()):
        if rng.random() < 1.3 * density - 0.25 * rank:
            rows.append((drum, row))
    if density < 0.3 and len(rows) > 3:
        rows = [row for row in rows if row[0] not in ("shaker", "perc")]
    even: Cells = {}
    odd: Cells = {}
    for drum, row in rows:
        text = steps_of(row)
        for step in range(16):
            for cells, char in ((even, text[step]), (odd, text[(step + 16) % len(text)])):
                if char != ".":
                    cells.setdefault((drum, step), char)
    _vary(odd, density, rng)
    return even, odd


def _vary(cells: Cells, density: float, rng: np.random.Generator) -> None:
    """Small changes for every second bar: a kick moved in or out, a ghost note, an opened hat."""
    kicks = [step for drum, step in cells if drum == "kick" and step not in (0, 4, 8, 12)]
    choice = rng.random()
    if choice < 0.3 and kicks:
        cells.pop(("kick", kicks[int(rng.integers(len(kicks)))]))
    elif choice < 0.3 + 0.3 * density:
        cells.setdefault(("kick", int(rng.choice([6, 7, 10, 11, 14]))), "x")
    if ("snare", 4) in cells and rng.random() < 0.35 * density + 0.1:
        cells.setdefault(("snare", int(rng.choice([7, 9, 15]))), "g")
    hats = [step for drum, step in cells if drum == "closed_hat" and step in (6, 10, 14)]
    if hats and not any(drum == "open_hat" for drum, _ in cells) and rng.random() < 0.35:
        step = hats[int(rng.integers(len(hats)))]
        cells.pop(("closed_hat", step))
        cells[("open_hat", step)] = "o"


@cache
def _fill_cells(rows: tuple[tuple[str, str], ...]) -> tuple[int, tuple[tuple[str, int, str], ...]]:
    length = len(steps_of(rows[0][1]))
    start = 16 - length
    cells = [(drum, start + i, char) for drum, row in rows for i, char in enumerate(steps_of(row)) if char != "."]
    return start, tuple(cells)


def _put_fill(cells: Cells, fill: DrumFill) -> None:
    start, new = _fill_cells(tuple(fill.rows.items()))
    for at in [at for at in cells if at[1] >= start and at[0] not in fill.keep]:
        cells.pop(at)
    for drum, step, char in new:
        cells[(drum, step)] = char


def _play(cells: Cells, frame: Frame, bar: int, density: float, rng: np.random.Generator) -> list[Hit]:
    by_step: dict[int, list[tuple[str, str]]] = {}
    for (drum, step), char in cells.items():
        by_step.setdefault(step, []).append((drum, char))
    hits: list[Hit] = []
    for slot in frame.slots(bar):
        at = bar * frame.beats_per_bar + slot.onset_beats
        for drum, char in by_step.get(slot.step, ()):
            if char in "+?" and rng.random() > 0.2 + 0.7 * density:
                continue
            if char == "r":
                hits += [Hit(drum, at, 0.62), Hit(drum, at + slot.length_beats / 2, 0.5)]
            elif char == "t":
                third = slot.length_beats * 2 / 3
                hits += [Hit(drum, at + i * third, (0.68, 0.5, 0.58)[i]) for i in range(3)]
            else:
                hits.append(Hit(drum, at, _VELOCITY[char]))
        if frame.beats_per_bar == 6 and slot.onset_beats % 3 == 1.0 and ("closed_hat", slot.step - 1) in cells:
            hits.append(Hit("closed_hat", at, 0.5))  # The middle eighth that makes the compound pulse.
    end = (bar + 1) * frame.beats_per_bar
    return [hit for hit in hits if hit.onset_beats < end - 1e-9]


def _one_per_moment(hits: list[Hit]) -> list[Hit]:
    loudest: dict[tuple[str, float], Hit] = {}
    for hit in hits:
        at = (hit.drum, round(hit.onset_beats, 4))
        if at not in loudest or loudest[at].velocity < hit.velocity:
            loudest[at] = hit
    return sorted(loudest.values(), key=lambda hit: (hit.onset_beats, hit.drum))
