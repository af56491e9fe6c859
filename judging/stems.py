"""Stems of one request: whether they add up to its mix, and whether each holds its own layer alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import nnls

from judging.asked import MIX, STEMS, mixes, stem_name
from judging.audio import Made, read
from judging.loops import Version
from judging.spectra import mel_db, mel_distance_db
from loopmeter import Layer

Floats = NDArray[np.float64]
OWN_MIN = 0.9  # The part of a stem that its own layer must explain.
_SMOOTH_FRAMES = 5  # 58 ms.


@dataclass
class Stems:
    """Of one request in one version. ``residual_db``: mix minus the sum of the stems, over the mix. ``distance_db``:
    log-mel distance of that sum from the mix. ``own``: by layer, the part of the stem that is its own, 0..1."""

    residual_db: float
    distance_db: float
    own: dict[Layer, float] = field(default_factory=dict)


def measure_stems(made: dict[str, Made]) -> list[dict[Version, Stems]]:
    """For every request whose mix and stems are all in ``made`` (by name)."""
    found = []
    for number in mixes():
        names = [stem_name(number, part) for part in (MIX, *STEMS)]
        if all(name in made for name in names):
            found.append(_measure(made[names[0]], dict(zip(STEMS, (made[name] for name in names[1:]), strict=True))))
    return found


def _measure(mix: Made, stems: dict[Layer, Made]) -> dict[Version, Stems]:
    truth = [read(stem.wavs["render"]).mean(0) for stem in stems.values()]
    found: dict[Version, Stems] = {}
    for version, path in mix.wavs.items():
        whole = read(path).mean(0)
        parts = {layer: read(stem.wavs[version]).mean(0) for layer, stem in stems.items()}
        together: Floats = np.sum(list(parts.values()), 0)
        residual = np.mean((whole - together) ** 2) / np.mean(whole**2)
        found[version] = Stems(
            residual_db=float(10 * np.log10(max(residual, 1e-12))),
            distance_db=mel_distance_db(together, whole),
            own={layer: own_share(part, truth, STEMS.index(layer)) for layer, part in parts.items()},
        )
    return found


def own_share(stem: Floats, truth: list[Floats], own: int) -> float:
    """Which part of a stem one of several true stems explains: 1 is all that any of them explains.

    The stem's mel spectrogram (amplitudes, smoothed over 58 ms) as the closest sum of the true ones', none negative.
    """
    columns = np.stack([_amplitudes(layer) for layer in truth], 1)
    shares = nnls(columns, _amplitudes(stem))[0] * columns.sum(0)
    return float(shares[own] / max(shares.sum(), 1e-12))


def _amplitudes(mono: Floats) -> Floats:
    smooth: Floats = uniform_filter1d(10 ** (mel_db(mono) / 20), _SMOOTH_FRAMES, axis=0, mode="wrap").ravel()
    return smooth
