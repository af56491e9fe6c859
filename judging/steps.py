"""What more steps and other solvers bring: ``python -m judging.steps``; also draws docs/img/steps.png.

Eight loops of the fixed list, at every setting, against their ground truth. Distance rewards averages, and one step
gives an average; so likeness of pitches and hits found stand beside it. The student is the transformer distilled to one
step, with its guidance in its weights; the others have the default guidance of two steps.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import time
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from judging.audio import generate
from judging.kept import kept
from judging.loops import Loop, loops
from judging.onsets import BANDS, VELOCITY_MIN, asked_ms, delay_of, hear
from judging.pictures import OUT, save
from judging.pitch import likeness, pitch_energy
from judging.spectra import mel_distance_db
from loopmeter import Solver
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.flow import passes
from loopmeter_engine.sampling import Sampling
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.weights_io import STUDENT_DIFFERENCE, WEIGHTS

Floats = NDArray[np.float64]
LOOPS = ("drums-06", "drums-14", "drums-22", "drums-30", "tonal-04", "tonal-13", "tonal-15", "tonal-23")
STEPS: dict[Solver, tuple[int, ...]] = {"euler": (1, 2, 4, 8, 16), "ab2": (1, 2, 4, 8, 16), "heun": (1, 2, 4, 8)}
STUDENT: Literal["student"] = "student"
MEASURES = {
    "distance_db": "log-mel distance, dB", "likeness": "likeness of pitches", "hits": "hits found, F1",
}  # fmt: skip
_COLOURS = {STUDENT: "#803080", "euler": "#205080", "ab2": "#c06020", "heun": "#208040"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    began = time.monotonic()
    figures = kept("steps", args.weights, Path(__file__).read_text(), lambda: measure(args.weights))
    draw(figures, OUT / "steps.png")
    print(f"{len(figures)} settings of solver and steps: {time.monotonic() - began:.0f} s")


def settings_of(weights: Path) -> list[tuple[Solver | Literal["student"], int]]:
    """Every setting, as solver and steps; the student first, where there is one."""
    students = [(STUDENT, 1)] if (weights / STUDENT_DIFFERENCE).exists() else []
    return [*students, *((solver, steps) for solver, counts in STEPS.items() for steps in counts)]


def measure(weights: Path) -> list[dict[str, Any]]:
    """One entry a setting: ``solver``, ``steps``, ``passes``, ``seconds_per_second`` and the means of ``MEASURES``."""
    by_name = {loop.name: loop for loop in loops()}
    with multiprocessing.get_context("spawn").Pool(2, _one_thread) as pool:
        found = pool.starmap(_measure, [(by_name[name], weights) for name in LOOPS], chunksize=1)
    entries = []
    for index, (solver, steps) in enumerate(settings_of(weights)):
        entry: dict[str, Any] = {"solver": solver, "steps": steps, "passes": passes(solver, steps)}
        for name in ("seconds_per_second", *MEASURES):
            entry[name] = float(np.mean([of_loop[index][name] for of_loop in found if name in of_loop[index]]))
        entries.append(entry)
    return entries


def _one_thread() -> None:
    torch.set_num_threads(1)


def _measure(loop: Loop, weights: Path) -> list[dict[str, float]]:
    truth: Floats = np.sum(list(render_stems(loop.score, loop.request.seed).values()), 0).mean(0).astype(np.float64)
    found = []
    for solver, steps in settings_of(weights):
        of_teacher = {"solver": solver, "guidance": Sampling().guidance} if solver != STUDENT else {}
        asked = Loop(loop.name, loop.kind, loop.request.model_copy(update={"steps": steps, **of_teacher}))
        began = time.perf_counter()
        sound = generate(_engine(weights), asked)[0]
        figures = {"seconds_per_second": (time.perf_counter() - began) / loop.score.duration_s}
        figures["distance_db"] = mel_distance_db(sound, truth)
        if loop.kind == "tonal":
            figures["likeness"] = likeness(pitch_energy(sound), pitch_energy(truth))
        else:
            figures["hits"] = _hits(loop, sound, truth)
        found.append(figures)
    return found


def _hits(loop: Loop, sound: Floats, truth: Floats) -> float:
    bands = [band for band in BANDS.values() if len(asked_ms(loop.score, band.drums, VELOCITY_MIN)) > 3]
    return float(np.mean([hear(sound, loop.score, band, delay_of(truth, loop.score, band)).f1 for band in bands]))


@functools.cache
def _engine(weights: Path) -> LoopmeterEngine:
    return LoopmeterEngine(weights, device="cpu")


def draw(figures: list[dict[str, Any]], path: Path) -> None:
    """One field a measure, over passes of the network; one line a solver."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(10.5, 3.2))
    for axis, (measure_name, title) in zip(axes, MEASURES.items(), strict=True):
        for solver, colour in _COLOURS.items():
            line = [entry for entry in figures if entry["solver"] == solver]
            axis.plot(
                [entry["passes"] for entry in line],
                [entry[measure_name] for entry in line],
                marker="o", color=colour, label=solver,
            )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axis.set_xlabel("passes of the network")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    main()
