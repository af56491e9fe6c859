"""Which instrument plays: a judge of our own, taught by the ground truth's synthesisers on scores of its own.

No packaged judge knows an 808 kit from a 909 or an FM bass from a reese. This one is a linear discriminant over
statistics of the mel spectrogram, one for each layer. It hears only renders while it learns; its own error is what it
says of other renders.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from judging.asked import STEMS, instrument_of
from judging.audio import Made, read
from judging.loops import Version
from judging.spectra import mel_db
from loopmeter import Layer
from loopmeter_engine.planner.compose import compose
from loopmeter_engine.planner.names import GENRES, MOODS
from loopmeter_engine.score import FAMILIES
from loopmeter_engine.training.synth import render_stems

Floats = NDArray[np.float64]
_CLIPS = 10  # Of each family, to learn from.
_FIRST_SEED = 70_000  # Apart from the seeds of what is judged.
_RANGE_DB = 60.0
_RIDGE = 0.3


@dataclass(frozen=True)
class Ear:
    """A linear map from features to one score a family."""

    families: tuple[str, ...]
    mean: Floats
    spread: Floats
    weight: Floats
    bias: Floats

    def hear(self, mono: Floats) -> str:
        values = (features(mono) - self.mean) / self.spread
        return self.families[int(np.argmax(values @ self.weight + self.bias))]


def recognise(loops: list[Made]) -> dict[tuple[str, Version], bool]:
    """Whether the asked instrument is heard, by name and version, for loops of kind ``instrument``."""
    by_layer = [(layer, [made for made in loops if instrument_of(made.loop)[0] == layer]) for layer in STEMS]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_recognise, by_layer, chunksize=1)
    return {at: right for part in found for at, right in part.items()}


def _recognise(layer: Layer, loops: list[Made]) -> dict[tuple[str, Version], bool]:
    taught = ear(layer) if loops else None
    found: dict[tuple[str, Version], bool] = {}
    for made in loops:
        assert taught is not None
        for version, path in made.wavs.items():
            found[made.loop.name, version] = taught.hear(read(path).mean(0)) == instrument_of(made.loop)[1]
    return found


def ear(layer: Layer) -> Ear:
    """Taught on ``_CLIPS`` renders of each family of a layer, of random genres, moods, tempi and keys."""
    rng = np.random.default_rng([_FIRST_SEED, STEMS.index(layer)])
    rows, labels = [], []
    for index, family in enumerate(FAMILIES[layer]):
        for _ in range(_CLIPS):
            seed = int(rng.integers(_FIRST_SEED, 2**31))
            score = compose(
                GENRES[int(rng.integers(len(GENRES)))],
                MOODS[int(rng.integers(len(MOODS)))],
                tempo_bpm=float(rng.uniform(70, 150)),
                bars=1,
                tonic=int(rng.integers(12)),
                layers=(layer,),
                seed=seed,
                families={layer: family},
            )
            rows.append(features(render_stems(score, seed)[layer].mean(0).astype(np.float64)))
            labels.append(index)
    return _taught(FAMILIES[layer], np.array(rows), np.array(labels))


def _taught(families: tuple[str, ...], rows: Floats, labels: NDArray[np.int_]) -> Ear:
    """Linear discriminant analysis with a covariance drawn towards the identity."""
    mean, spread = rows.mean(0), rows.std(0) + 1e-6
    values = (rows - mean) / spread
    centres = np.stack([values[labels == index].mean(0) for index in range(len(families))])
    within = values - centres[labels]
    covariance = (1 - _RIDGE) * within.T @ within / len(within) + _RIDGE * np.eye(values.shape[1])
    weight = np.linalg.solve(covariance, centres.T)
    return Ear(families, mean, spread, weight, -0.5 * np.sum(centres.T * weight, 0))


def features(mono: Floats) -> Floats:
    """(N,) -> (F,): how the mel spectrum lies and moves, whatever the loudness."""
    level = mel_db(mono)
    level = np.maximum(level - level.max(), -_RANGE_DB)
    loud = level.max(1)
    sounding = level[loud > -30.0]
    rise = np.maximum(np.diff(level, axis=0), 0)
    fall = np.maximum(-np.diff(level, axis=0), 0)
    # Relative to the frame's loudest band: colour apart from loudness.
    colour = sounding - sounding.max(1, keepdims=True)
    detail = np.diff(colour, axis=1)
    parts = [
        colour.mean(0), colour.std(0), np.percentile(level, 90, axis=0), rise.mean(0), fall.mean(0),
        np.percentile(rise, 98, axis=0), np.abs(detail).mean(0), np.percentile(loud, [10, 25, 50, 75, 90]),
    ]  # fmt: skip
    return np.concatenate(parts)
