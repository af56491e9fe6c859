"""Measure how loud each family is on a reference phrase, and print the table that ``levels.FAMILY_GAIN`` holds.

python -m loopmeter_engine.training.synth.calibrate
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from loopmeter import Layer
from loopmeter_engine.score import FAMILIES, FxEvent, Hit, Note, Score, Timbre
from loopmeter_engine.training.synth.levels import FAMILY_LOUDNESS
from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ, Floats
from loopmeter_engine.training.synth.render import play_layer
from loopmeter_engine.training.synth.sampled import Choice

_CHORD = (57, 60, 64, 67)


def loudness(sound: Floats) -> float:
    """Loudness of (channels, frames) in dB: K-weighted power of the 50 ms windows within 12 dB of the loudest."""
    shelf = [
        [1.53512486, -2.69169619, 1.19839281, 1.0, -1.69065929, 0.73248077]
    ]  # ITU-R BS.1770, near enough at 44.1 kHz
    low_cut = scipy.signal.butter(2, 38.0, "highpass", fs=SAMPLE_RATE_HZ, output="sos")
    weighted = scipy.signal.sosfilt(np.concatenate((shelf, low_cut)), sound, axis=-1)
    window = SAMPLE_RATE_HZ // 20
    count = weighted.shape[-1] // window
    power = (weighted[..., : count * window] ** 2).sum(0).reshape(count, window).mean(1) + 1e-12
    return float(10.0 * np.log10(power[power > power.max() / 16.0].mean()))


def reference(layer: Layer, family: str) -> Score:
    """Two bars of what a layer usually plays."""
    notes: list[Note] = []
    if layer == "bass":
        notes = [Note(layer, step * 0.5, 0.45, 33 + 12 * (step % 4 == 3), 0.8) for step in range(16)]
    elif layer == "lead":
        notes = [Note(layer, step * 0.75, 0.7, 69 + (0, 3, 7, 10)[step % 4], 0.8) for step in range(10)]
    elif layer == "chords":
        notes = [Note(layer, onset, 0.9, pitch, 0.75) for onset in (0.0, 1.5, 3.0, 4.0, 5.5, 7.0) for pitch in _CHORD]
    elif layer == "pad":
        notes = [Note(layer, onset, 4.0, pitch, 0.75) for onset in (0.0, 4.0) for pitch in _CHORD]
    hits = [Hit("kick", float(beat), 0.9) for beat in range(8)]
    hits += [Hit("snare", float(beat), 0.85) for beat in range(1, 8, 2)]
    hits += [Hit("closed_hat", step * 0.5, 0.7) for step in range(16)]
    fx = (FxEvent("riser", 4.0, 4.0, 0.8), FxEvent("impact", 0.0, 2.0, 0.8))
    timbre = Timbre(family, softness=0.1, drive=0.0, space=0.0)
    return Score(110.0, 4, 2, 9, "minor", "pop", "warm", 0.0, (), tuple(notes), tuple(hits), fx, {layer: timbre})


def loudness_of(score: Score, layer: Layer, choice: Choice | None = None) -> float:
    """Loudness in dB of a layer as it is before gain and effects, at medium width."""
    dry = play_layer(score, layer, 0, choice)
    return loudness(np.stack((dry[0] + 0.64 * dry[1], dry[0] - 0.64 * dry[1])))


def gains() -> dict[tuple[Layer, str], float]:
    """For each family the factor that brings its reference phrase to ``FAMILY_LOUDNESS``."""
    table: dict[tuple[Layer, str], float] = {}
    for layer, families in FAMILIES.items():
        for family in families:
            level = loudness_of(reference(layer, family), layer)
            table[layer, family] = round(10.0 ** ((FAMILY_LOUDNESS[layer] - level) / 20.0), 4)
    return table


if __name__ == "__main__":
    for (layer, family), gain in gains().items():
        print(f'    ("{layer}", "{family}"): {gain},')
