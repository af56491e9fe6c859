"""Five loops to look at, generated beside their ground truth: ``python -m judging.pictures`` fills docs/img."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from judging.audio import Made, made_loops, read
from judging.loops import Version
from judging.spectra import circular_stft
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.score import Score

Floats = NDArray[np.float64]

PICTURED = ("drums-06", "tonal-36", "any-02", "tonal-35", "tonal-02")  # Drums, bass and chords, full mix, pad, lead.
OUT = Path("docs/img")
_BARS = 2
_LOW_HZ, _HIGH_HZ, _ROWS = 40.0, 12_000.0, 320
_RANGE_DB = 70.0
_FFT, _HOP = 4096, 256
_COLOURS = 64  # Enough for a map of colours, and keeps a picture below 200 kB.


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    by_name = {made.loop.name: made for made in made_loops()}
    for number, name in enumerate(PICTURED, 1):
        path = OUT / f"loop-{number}.png"
        draw(by_name[name], path)
        print(f"{path}: {name}, {path.stat().st_size / 1000:.0f} kB")


def draw(made: Made, path: Path) -> None:
    """Waveform and spectrogram of the first bars, with lines on beats (thin) and bars (thick)."""
    score, request = made.loop.score, made.loop.request
    columns: dict[Version, str] = {"render": "ground truth: the score, played by synthesisers"}
    if "generated" in made.wavs:
        columns["generated"] = "generated"
    size = (6.6 * len(columns), 5.0)
    figure, axes = plt.subplots(
        2, len(columns), figsize=size, height_ratios=(1, 3), sharex=True, sharey="row", squeeze=False
    )
    end = min(score.duration_s, _BARS * score.beats_per_bar * 60 / score.tempo_bpm)
    sounds = {version: read(made.wavs[version]).mean(0) for version in columns}
    top = max(_spectrogram(sound).max() for sound in sounds.values())
    for column, (version, title) in zip(axes.T, columns.items(), strict=True):
        _waveform(column[0], sounds[version], end)
        _image(column[1], _spectrogram(sounds[version]), top, end)
        for axis in column:
            _grid(axis, score, end)
        column[0].set_title(title, fontsize=10)
        column[1].set_xlabel("seconds")
    axes[1, 0].set_ylabel("Hz")
    figure.suptitle(
        f"“{request.prompt}”, {score.tempo_bpm:g} bpm{f', {request.key}' if request.key else ''}", fontsize=11
    )
    figure.tight_layout()
    save(figure, path)
    plt.close(figure)


def _waveform(axis: Any, sound: Floats, end: float) -> None:
    times = np.arange(len(sound)) / SAMPLE_RATE_HZ
    shown = times < end
    axis.plot(times[shown], sound[shown], linewidth=0.4, color="#205080")


def _spectrogram(sound: Floats) -> Floats:
    """(N,) -> (_ROWS, times) in dB, rows evenly spaced in octaves from _LOW_HZ to _HIGH_HZ."""
    level = np.abs(circular_stft(sound, _FFT, _HOP)).T
    at = np.geomspace(_LOW_HZ, _HIGH_HZ, _ROWS) * _FFT / SAMPLE_RATE_HZ
    below = at.astype(int)
    part = (at - below)[:, None]
    between: Floats = level[below] * (1 - part) + level[below + 1] * part
    return 20 * np.log10(between + 1e-6)


def _image(axis: Any, decibels: Floats, top: float, end: float) -> None:
    shown = decibels[:, : round(end * SAMPLE_RATE_HZ / _HOP)]
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _ROWS + 1)
    times = np.linspace(0, end, shown.shape[1] + 1)
    axis.pcolormesh(times, edges, shown, vmin=top - _RANGE_DB, vmax=top, cmap="magma", rasterized=True)
    axis.set_yscale("log")
    axis.set_yticks([50, 100, 200, 500, 1000, 2000, 5000, 10_000], ["50", "100", "200", "500", "1k", "2k", "5k", "10k"])
    axis.minorticks_off()


def _grid(axis: Any, score: Score, end: float) -> None:
    beat_s = 60 / score.tempo_bpm
    for beat in range(int(end / beat_s + 1e-6) + 1):
        on_bar = beat % score.beats_per_bar == 0
        axis.axvline(beat * beat_s, color="#40c0a0", linewidth=1.2 if on_bar else 0.5, alpha=0.9 if on_bar else 0.6)
    axis.set_xlim(0, end)


def save(figure: Any, path: Path) -> None:
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=100)
    Image.open(held).convert("RGB").quantize(_COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
