"""What ``conform`` makes of real music that was made to drift: ``python -m benchmarks.conform`` prints two tables.

Loops and tracks (``conform_sounds.py`` says whose) that keep an exact tempo are slowed and quickened by up to 3 % along
two waves, conformed to their own tempo, and compared with what they were. No ear tells how far each beat lies from its
place: beside its sound, each recording carries its own clock through ``conform``, in two channels too quiet to matter.
So the figure is exact, and has nothing of a judge's error in it. ``--drifts 4`` bends each sound in four ways.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks import conform_sounds, table
from benchmarks.conform_sounds import Sound
from numpy.typing import NDArray

from loopmeter_engine.conform import CannotConform, conform
from loopmeter_engine.conform.place import LEAD_S
from loopmeter_engine.seam import seam_ratio

DRIFT = 0.03
TRACK_BEATS = 32
_QUIET = 1e-12  # Of the clock, in frames; 90 dB below a step of 24 bit.


class Row(NamedTuple):
    """One sound. ``offset_ms`` are the median and the largest distance of a beat from its place."""

    sound: str
    tempo_bpm: str
    tempo_off_percent: str
    offset_ms: str
    seam_ratio: str
    attacks_kept: str
    pulse: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".cache/conform"))
    parser.add_argument("--drifts", type=int, default=1, help="Ways to bend each sound.")
    args = parser.parse_args()
    for rows in (
        measure_loops(args.folder / "loops", args.drifts),
        measure_tracks(args.folder / "tracks", args.drifts),
    ):
        print(table.plain(Row._fields, rows))
        print(f"{sum(meets_the_bar(row) for row in rows)} of {len(rows)} meet the bar", end="\n\n")


def meets_the_bar(row: Row) -> bool:
    """Tempo within 0.2 %, beats within 10 ms, seam ratio at most 1."""
    if not row.offset_ms:
        return False
    largest_ms = float(row.offset_ms.split(", ")[1])
    return float(row.tempo_off_percent) <= 0.2 and largest_ms <= 10.0 and float(row.seam_ratio) <= 1.0


def measure_loops(folder: Path, drifts: int = 1) -> list[Row]:
    """Each loop round and round for four bars at least."""
    rows = []
    for seed, (name, (wave, rate, beats)) in enumerate(conform_sounds.loops(folder).items()):
        rounds = math.ceil(16 / beats)
        around = np.concatenate([np.tile(wave, rounds), wave[:, : wave.shape[1] // beats * 2]], axis=1)
        tempo_bpm = 60.0 * beats * rate / wave.shape[1]
        rows += _rows(name, around, rate, tempo_bpm, rounds * beats, range(seed, seed + 100 * drifts, 100))
    return rows


def measure_tracks(folder: Path, drifts: int = 1) -> list[Row]:
    """Eight bars of each track; six of the one that is shorter. About a minute."""
    rows = []
    for seed, (track, path) in enumerate(conform_sounds.tracks(folder).items()):
        wave, rate = conform_sounds.excerpt(track, path, TRACK_BEATS + 2)
        beats = min(TRACK_BEATS, int(wave.shape[1] * track.tempo_bpm / 60.0 / rate - 2) // 4 * 4)
        name = f"{track.package.removesuffix('-data')}: {Path(track.file).stem}"
        rows += _rows(name, wave, rate, track.tempo_bpm, beats, range(seed, seed + 100 * drifts, 100))
    return rows


def drifted(wave: Sound, beats: int, seed: int) -> Sound:
    """(channels, frames), at a speed that wanders by up to ``DRIFT``, half a beat of silence ahead of it."""
    dice = np.random.default_rng(seed)
    place = np.linspace(0.0, 1.0, wave.shape[1])
    speed = sum(
        dice.uniform(0.4, 0.6) * np.sin(2 * np.pi * (dice.integers(1, 4) * place + dice.uniform())) for _ in "ab"
    )
    positions = np.concatenate([[0.0], np.cumsum(1.0 + DRIFT * np.clip(speed, -1.0, 1.0))[:-1]])
    positions = positions[positions < wave.shape[1] - 1]
    lead = np.zeros((wave.shape[0], wave.shape[1] // beats // 2))
    return np.concatenate([lead, np.stack([np.interp(positions, np.arange(len(c)), c) for c in wave])], axis=1)


def beat_offsets_ms(clock: Sound, beats: int, beat_frames: float, rate: int) -> NDArray[np.float64]:
    """How far from its place the sound at each beat of a loop is, from the clock that it brought along.

    The first beat that is heard begins the loop: where the recording begins otherwise, all are moved by as much.
    ``clock`` is (2, frames), the frame times a gain, and the gain, which crossfades change. Silence has neither.
    """
    grid = np.arange(beats) * beat_frames
    at = np.round(grid + LEAD_S * rate).astype(int)
    sounds = clock[1, at] > 0.0
    offsets = (clock[0, at[sounds]] / clock[1, at[sounds]] - grid[sounds]) / rate * 1000.0
    centred: NDArray[np.float64] = offsets - np.median(offsets)
    return centred


def _rows(name: str, wave: Sound, rate: int, tempo_bpm: float, beats: int, seeds: range) -> list[Row]:
    names = [name if len(seeds) == 1 else f"{name}, drift {number}" for number in range(1, len(seeds) + 1)]
    return [_row(named, wave, rate, tempo_bpm, beats, seed) for named, seed in zip(names, seeds, strict=True)]


def _row(name: str, wave: Sound, rate: int, tempo_bpm: float, beats: int, seed: int) -> Row:
    frames = wave.shape[1]
    clock = np.stack([np.arange(frames), np.ones(frames)]) * _QUIET
    source = drifted(np.concatenate([wave, clock]), beats + 2, seed)
    try:
        out, report = conform(source, rate, tempo_bpm=tempo_bpm, bars=beats // 4)
    except CannotConform as error:
        return Row(name, f"{tempo_bpm:.1f}", f"refused: {error}", "", "", "", "")
    offsets = beat_offsets_ms(out[-2:], beats, 60.0 / tempo_bpm * rate, rate)
    slope = np.polyfit(np.arange(len(offsets)), offsets, 1)[0]
    return Row(
        name,
        f"{tempo_bpm:.1f}",
        f"{abs(100 * slope / 1000 / (60 / tempo_bpm)):.2f}",
        f"{np.median(np.abs(offsets)):.1f}, {np.abs(offsets).max():.1f}",
        f"{seam_ratio(out[:-2]):.2f}",
        f"{report.attacks_kept:.0%}",
        f"{report.pulse:.1f}",
    )


if __name__ == "__main__":
    main()
