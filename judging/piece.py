"""Two pieces of 300 s: does a stream stay what it was? ``python -m judging.piece``; also draws docs/img/drift.png.

``sections`` is a whole piece, intro to outro: are its sections as planned, do state, memory and time per chunk stay?
``minutes`` plays the same minute five times: whatever changes from the first to the fifth is drift.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from judging.audio import samples_of
from judging.kept import kept
from judging.loops import Loop
from judging.pictures import OUT, save
from judging.spectra import mel_distance_db
from loopmeter import LoopRequest, Section
from loopmeter_engine.contract import LEASE_CHUNKS_MAX
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.weights_io import WEIGHTS

Floats = NDArray[np.float64]
TEMPO_BPM = 120.0  # A bar is 2 s.
BAR_S = 2.0
_PARTS = (
    ("intro", 10), ("verse", 24), ("chorus", 24), ("verse", 24), ("chorus", 24), ("bridge", 12), ("chorus", 24),
    ("outro", 8),
)  # fmt: skip
_MINUTES = 5
_WINDOW_S = 15  # Of the curve of drift.
_HIGH_HZ = 5000.0  # Above are cymbals, mostly.
_SILENT_DB = -25.0  # Under the piece's own level: what is still softer is not told apart.
EARLY, LATE = slice(10, 110), slice(-110, -10)  # Chunks.


def pieces() -> dict[str, Loop]:
    minutes = tuple(Section(name=f"verse {number + 1}", bars=30, energy=0.8) for number in range(_MINUTES))
    sections = tuple(Section(name=name, bars=bars) for name, bars in _PARTS)
    return {
        name: Loop(
            f"piece-{name}",
            "any",
            LoopRequest(
                prompt="dreamwave",
                tempo_bpm=TEMPO_BPM,
                key="Am",
                seed=500,
                layers=("drums", "bass", "chords", "lead", "pad"),
                sections=parts,
            ),
        )
        for name, parts in (("sections", sections), ("minutes", minutes))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    began = time.monotonic()
    figures = kept("piece", args.weights, Path(__file__).read_text(), lambda: measure(args.weights))
    draw(figures["minutes"], OUT / "drift.png")
    print(f"pieces of 300 s: {time.monotonic() - began:.0f} s")


def measure(weights: Path) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(2, _one_thread) as pool:
        found = pool.starmap(_measure, [(name, weights) for name in pieces()], chunksize=1)
    return dict(zip(pieces(), found, strict=True))


def _one_thread() -> None:
    torch.set_num_threads(1)


def _measure(name: str, weights: Path) -> dict[str, Any]:
    loop = pieces()[name]
    generated, figures = _generate(LoopmeterEngine(weights, device="cpu"), loop)
    stems = render_stems(loop.score, loop.request.seed)
    truth: Floats = np.sum(list(stems.values()), 0).mean(0).astype(np.float64)
    assert len(generated) == len(truth), (len(generated), len(truth))
    figures["sections"] = _sections(loop, generated, truth)
    figures["distance_db"] = [
        mel_distance_db(generated[at], truth[at]) for at in _windows(len(truth), 60 * SAMPLE_RATE_HZ)
    ]
    figures["curve_db"] = [
        mel_distance_db(generated[at], truth[at]) for at in _windows(len(truth), _WINDOW_S * SAMPLE_RATE_HZ)
    ]
    figures["level_db"] = [
        _level_db(generated[at]) - _level_db(truth[at]) for at in _windows(len(truth), _WINDOW_S * SAMPLE_RATE_HZ)
    ]
    return figures


def _generate(engine: LoopmeterEngine, loop: Loop) -> tuple[Floats, dict[str, Any]]:
    plan = engine.plan(loop.request)
    chunks, state = len(plan.chunk_frames), None
    seconds, sizes, memory = [], [], []
    with tempfile.TemporaryFile() as held:  # Not in memory, which is what is measured.
        for first in range(0, chunks, LEASE_CHUNKS_MAX):
            for chunk in engine.lease(plan.request, first, min(LEASE_CHUNKS_MAX, chunks - first), state):
                held.write(chunk.pcm)
                state = chunk.state_after
                seconds.append(chunk.usage.device_seconds)
                sizes.append(len(state))
                memory.append(chunk.usage.peak_memory_bytes)
        held.seek(0)
        pcm = held.read()
    figures = {
        "early_s": float(np.median(seconds[EARLY])),
        "late_s": float(np.median(seconds[LATE])),
        "state_bytes": [min(sizes), max(sizes)],
        "memory_bytes": [memory[EARLY.start], memory[-1]],
    }
    return samples_of(pcm, plan.channels, plan.bits).mean(0), figures


def _sections(loop: Loop, generated: Floats, truth: Floats) -> list[dict[str, Any]]:
    """Each section's level, and that of its cymbals, against the whole piece's: generated, and as planned."""
    sos = butter(4, _HIGH_HZ, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    sounds = {"": (generated, truth), "high_": (sosfilt(sos, generated), sosfilt(sos, truth))}
    found, bar = [], 0
    for section in loop.request.sections or ():
        at = slice(round(bar * BAR_S * SAMPLE_RATE_HZ), round((bar + section.bars) * BAR_S * SAMPLE_RATE_HZ))
        entry: dict[str, Any] = {"name": section.name, "bar": bar, "bars": section.bars}
        for name, (ours, theirs) in sounds.items():
            entry[f"{name}level_db"] = max(_SILENT_DB, _level_db(ours[at]) - _level_db(ours))
            entry[f"{name}planned_db"] = max(_SILENT_DB, _level_db(theirs[at]) - _level_db(theirs))
        found.append(entry)
        bar += section.bars
    return found


def _windows(frames: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, frames - size // 2, size)]


def _level_db(mono: Floats) -> float:
    return float(10 * np.log10(np.mean(mono**2) + 1e-12))


def draw(figures: dict[str, Any], path: Path) -> None:
    """Distance and level over time, of the piece whose minutes are all alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axis = plt.subplots(figsize=(7.0, 3.2))
    times = (np.arange(len(figures["curve_db"])) + 0.5) * _WINDOW_S / 60
    axis.plot(times, figures["curve_db"], marker="o", color="#205080", label="log-mel distance, dB")
    axis.plot(times, figures["level_db"], marker="s", color="#c06020", label="level above the ground truth, dB")
    axis.set_xlabel("minutes; every minute has the same score")
    axis.set_ylim(min(0.0, min(figures["level_db"])) - 1, max(figures["curve_db"]) + 2)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    save(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    main()
