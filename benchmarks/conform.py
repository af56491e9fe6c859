"""What ``conform`` makes of real loops that were made to drift: ``python -m benchmarks.conform FOLDER`` prints a table.

FOLDER holds the CC0 loops of the npm package ``supersonic-scsynth-samples`` (``npm pack`` it, unpack it, give its
folder ``samples``). Each loop, played round for at least four bars, is slowed and quickened by up to 3 % along two
waves, conformed to its own tempo, and compared with what it was: the loop as it came is exact, so it is the truth. How
far each beat lies from its place is judged by correlating the rise of the energy around it with the original's: no ear
of ours.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from benchmarks import table
from numpy.typing import NDArray

from loopmeter_engine.conform import CannotConform, conform

# Beats in one round of each; their number and the length give the tempo. The others have no beats that all agree on.
LOOPS = {
    "loop_breakbeat": 4,
    "loop_compus": 16,
    "loop_electric": 4,
    "loop_garzul": 16,
    "loop_mehackit1": 4,
    "loop_mehackit2": 4,
    "loop_mika": 16,
    "loop_perc1": 4,
    "loop_perc2": 4,
    "loop_safari": 16,
    "loop_weirdo": 8,
}
DRIFT = 0.03
HOP_S = 0.0005
Sound = NDArray[np.float64]


class Row(NamedTuple):
    """One loop. ``offset_ms`` are the median and the largest distance of a beat from its place."""

    loop: str
    tempo_bpm: str
    tempo_off_percent: str
    offset_ms: str
    beats_judged: str
    seam_ratio: str
    attacks_kept: str


def measure(folder: Path) -> list[Row]:
    """Takes about a minute."""
    return [_row(folder / f"{name}.flac", beats, seed) for seed, (name, beats) in enumerate(LOOPS.items())]


def drifted(wave: Sound, beats: int, seed: int) -> Sound:
    """(channels, frames), at a speed that wanders by up to ``DRIFT``, a beat of silence ahead of it and more behind."""
    dice = np.random.default_rng(seed)
    place = np.linspace(0.0, 1.0, wave.shape[1])
    speed = sum(
        dice.uniform(0.4, 0.6) * np.sin(2 * np.pi * (dice.integers(1, 4) * place + dice.uniform())) for _ in "ab"
    )
    positions = np.concatenate([[0.0], np.cumsum(1.0 + DRIFT * np.clip(speed, -1.0, 1.0))[:-1]])
    positions = positions[positions < wave.shape[1] - 1]
    lead = np.zeros((wave.shape[0], wave.shape[1] // beats // 2))
    return np.concatenate([lead, np.stack([np.interp(positions, np.arange(len(c)), c) for c in wave])], axis=1)


def beat_offsets_ms(out: Sound, truth: Sound, rate: int, beats: int) -> NDArray[np.float64]:
    """How far each beat of ``out`` is from where ``truth`` has it; of beats on which something begins."""
    made, known = _rise(out, rate), _rise(truth, rate)
    beat, reach, half = len(known) / beats, round(0.03 / HOP_S), round(0.09 / HOP_S)
    loud = np.quantile(known, 0.995) * 0.2
    offsets = []
    for index in range(1, beats):
        at = round(index * beat)
        pattern = known[at - half : at + half]
        if at + half + reach >= min(len(made), len(known)) or pattern[half - reach : half + reach].max() < loud:
            continue
        scores = [float(made[at - half + lag : at + half + lag] @ pattern) for lag in range(-reach, reach + 1)]
        offsets.append((int(np.argmax(scores)) - reach) * HOP_S * 1000)
    return np.array(offsets)


def _row(path: Path, beats: int, seed: int) -> Row:
    wave, rate = soundfile.read(path, always_2d=True)
    tempo_bpm = 60.0 * beats * rate / len(wave)
    rounds = math.ceil(16 / beats)
    total = rounds * beats
    truth = np.tile(wave.T, rounds)
    name = path.stem.removeprefix("loop_")
    try:
        source = drifted(np.concatenate([truth, truth[:, : len(wave) // beats * 2]], axis=1), total + 2, seed)
        out, report = conform(source, rate, tempo_bpm=tempo_bpm, bars=total // 4)
    except CannotConform as error:
        return Row(name, f"{tempo_bpm:.1f}", f"refused: {error}", "", "", "", "")
    # The first beat that is heard begins the loop: where the recording begins otherwise, all are moved by as much.
    offsets = beat_offsets_ms(out, truth, rate, total)
    steady = offsets - np.median(offsets)
    slope = np.polyfit(np.arange(len(steady)), steady, 1)[0] if len(steady) > 2 else 0.0
    off = 100 * slope / 1000 / (60 / tempo_bpm)
    return Row(
        name,
        f"{tempo_bpm:.1f}",
        f"{abs(off):.2f}",
        f"{np.median(np.abs(steady)):.1f}, {np.abs(steady).max():.1f}",
        f"{len(steady)} of {total}",
        f"{report.seam_ratio:.2f}",
        f"{report.attacks_kept:.0%}",
    )


def _rise(wave: Sound, rate: int) -> Sound:
    """How much the energy rises, every ``HOP_S``."""
    hop = round(HOP_S * rate)
    mono = wave.mean(axis=0)
    emphasised = np.diff(mono, prepend=0.0)
    size = 4 * hop
    power = np.convolve(emphasised**2, np.hanning(size), "same")[::hop]
    level = np.log(power + 1e-3 * power.mean() + 1e-15)
    rise = np.maximum(np.diff(level, prepend=level[0]), 0.0)
    smooth: Sound = np.convolve(rise, np.hanning(9), "same")
    return smooth


if __name__ == "__main__":
    print(table.plain(Row._fields, measure(Path(sys.argv[1]))))
