"""Tempo of some sound files by two judges of others: ``.venv-judge/bin/python -m judging.tempo FILE…`` prints JSON.

One object: for each file, its tempo in bpm by Essentia and by madmom. Files have 44.1 kHz; this imports nothing of the
product. Short loops should be played round a few times first.
"""

from __future__ import annotations

import json
import multiprocessing
import sys

import numpy as np
import soundfile

from judging.outside import essentia_tempo, madmom_tempo


def main() -> None:
    names = sys.argv[1:]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = dict(zip(names, pool.imap(_tempos, names), strict=True))
    print(json.dumps(found))


def _tempos(name: str) -> dict[str, float]:
    wave, rate_hz = soundfile.read(name, always_2d=True)
    assert rate_hz == 44_100, f"{name}: expected 44100 Hz, found {rate_hz}"
    mono = wave.mean(1).astype(np.float32)
    return {"essentia": essentia_tempo(mono), "madmom": madmom_tempo(mono)}


if __name__ == "__main__":
    main()
