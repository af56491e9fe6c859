"""Loops made from loops: ``python -m judging.spliced``. Two beats of a loop made anew, and a bar made to follow it.

Every fifth loop of the fixed list. What was not asked for must be what it was, and no join may stand out.
"""

from __future__ import annotations

import argparse
import base64
import functools
import io
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from judging.audio import generate
from judging.kept import kept
from judging.loops import Loop, loops
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.seam import seam_ratio
from loopmeter_engine.weights_io import WEIGHTS

Floats = NDArray[np.float64]
EVERY = 5
FROM_BEAT, TO_BEAT = 4, 6  # What is made anew.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    began = time.monotonic()
    figures = kept("spliced", args.weights, Path(__file__).read_text(), lambda: measure(args.weights))
    print(f"{len(figures)} loops repainted and continued: {time.monotonic() - began:.0f} s")


def measure(weights: Path) -> list[dict[str, Any]]:
    """One entry a loop: ``name``; ``moved``, the largest difference where nothing was asked, full scale being 1;
    ``changed``, the same where it was; and by join its seam ratio and that of the source in the same place."""
    with multiprocessing.get_context("spawn").Pool(2, _one_thread) as pool:
        return pool.starmap(_measure, [(loop, weights) for loop in loops()[::EVERY]], chunksize=1)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _measure(loop: Loop, weights: Path) -> dict[str, Any]:
    source = _made(loop, weights)
    task = {"source_audio_base64": _as_base64(source), "seed": loop.request.seed + 1}
    begin, end = (round(beat * 60 / _tempo(loop) * SAMPLE_RATE_HZ) for beat in (FROM_BEAT, TO_BEAT))
    repaint = _made(loop, weights, task="repaint", repaint_from_beat=FROM_BEAT, repaint_to_beat=TO_BEAT, **task)
    follow = _made(loop, weights, task="continue", bars=1, **task)
    difference = np.abs(repaint - source)
    after = np.concatenate([source, follow], 1)
    return {
        "name": loop.name,
        "moved": float(max(difference[:, :begin].max(initial=0), difference[:, end:].max(initial=0))),
        "changed": float(difference[:, begin:end].max()),
        "begin": [_join(repaint, begin), _join(source, begin)],
        "end": [_join(repaint, end), _join(source, end)],
        "follow": [_join(after, source.shape[1]), _join(source, 0)],
    }


def _tempo(loop: Loop) -> float:
    assert loop.request.tempo_bpm is not None
    return loop.request.tempo_bpm


def _made(loop: Loop, weights: Path, **fields: Any) -> Floats:
    """(channels, frames)"""
    request = loop.request.model_copy(update=fields)
    return generate(_engine(weights), Loop(loop.name, loop.kind, request))


@functools.cache
def _engine(weights: Path) -> LoopmeterEngine:
    return LoopmeterEngine(weights, device="cpu")


def _join(sound: Floats, frame: int) -> float:
    return seam_ratio(np.roll(sound, -frame, 1))


def _as_base64(sound: Floats) -> str:
    """16 bit, as the sound itself."""
    file = io.BytesIO()
    soundfile.write(file, sound.T, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
