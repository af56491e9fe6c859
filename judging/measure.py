"""All of our own measures of one loop, in all of its versions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from judging.audio import Made, read
from judging.loops import Version
from judging.onsets import BANDS, VELOCITY_MIN, Heard, asked_ms, delay_of, hear, pre_echo_db
from judging.pitch import in_scale_share, likeness, pitch_energy
from judging.spectra import mel_distance_db
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.score import Score
from loopmeter_engine.seam import seam_ratio

Floats = NDArray[np.float64]
HITS_MIN = 4  # Fewer hits in a band make no figure.


@dataclass
class Measures:
    """Figures of one version of a loop; what does not apply to its kind is absent.

    ``offset_ms`` and ``pre_echo_rise_db``: median over the hits, against the ground truth; positive is late, or louder.
    """

    frames_right: bool
    peak: float
    seam: float
    mel_distance_db: float
    in_scale: float | None = None
    pitch_likeness: float | None = None
    onset_f1: dict[str, float] = field(default_factory=dict)
    offset_ms: dict[str, float] = field(default_factory=dict)
    offset_size_ms: dict[str, float] = field(default_factory=dict)
    pre_echo_db: float | None = None
    pre_echo_rise_db: float | None = None


def measure(made: Made) -> dict[Version, Measures]:
    """Needs the version ``render``, against which the others are measured."""
    loop, score = made.loop, made.loop.score
    sound = {version: read(path) for version, path in made.wavs.items()}
    mono = {version: pcm.mean(0) for version, pcm in sound.items()}
    found = {
        version: Measures(
            frames_right=pcm.shape[1] == score.frames(SAMPLE_RATE_HZ),
            peak=float(np.abs(pcm).max()),
            seam=seam_ratio(pcm),
            mel_distance_db=mel_distance_db(mono[version], mono["render"]),
        )
        for version, pcm in sound.items()
    }
    if loop.kind == "tonal":
        truth = pitch_energy(mono["render"])
        for version, figures in found.items():
            energy = pitch_energy(mono[version])
            figures.in_scale, figures.pitch_likeness = in_scale_share(energy, score), likeness(energy, truth)
    if loop.kind in ("drums", "midi") and "drums" in score.timbres:
        _measure_hits(mono, score, found)
    return found


def _measure_hits(mono: dict[Version, Floats], score: Score, found: dict[Version, Measures]) -> None:
    early = pre_echo_db(mono["render"], score)
    for version, figures in found.items():
        if early.size:
            now = pre_echo_db(mono[version], score)
            figures.pre_echo_db, figures.pre_echo_rise_db = float(np.median(now)), float(np.median(now - early))
    for name, band in BANDS.items():
        if len(asked_ms(score, band.drums, VELOCITY_MIN)) < HITS_MIN:
            continue
        delay = delay_of(mono["render"], score, band)
        heard: dict[Version, Heard] = {version: hear(pcm, score, band, delay) for version, pcm in mono.items()}
        for version, figures in found.items():
            figures.onset_f1[name] = heard[version].f1
            moved = heard[version].heard_ms - heard["render"].heard_ms
            if not np.isnan(moved).all():
                figures.offset_ms[name] = float(np.nanmedian(moved))
                figures.offset_size_ms[name] = float(np.nanmedian(np.abs(moved)))
