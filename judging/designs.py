"""Other designs of the codec, side by side: ``python -m judging.designs CORPUS --minutes 8``. Not part of make judge.

Each is trained from nothing for so many minutes on the same clips, in the same order, with blocks of the same width and
without any notes, and then judged on loops of the fixed list and on recordings. What differs: how many values a
latent has, how many latents there are, and whether the decoder ends at magnitudes, whose phases ``phase.py`` finds, or
says magnitudes and phases itself (a complex STFT head, as in Vocos, Siuzdak 2023). Results: docs/training-log.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from judging import codec
from judging.audio import CACHE, made_loops, read
from judging.measure import HITS_MIN
from judging.onsets import BANDS, VELOCITY_MIN, asked_ms, delay_of, hear
from judging.pitch import likeness, pitch_energy
from judging.recordings import excerpts
from judging.spectra import mel_distance_db
from loopmeter_engine.attacks import COLA, overlap_add
from loopmeter_engine.model.autoencoder import (
    LONG_BINS,
    LONG_FFT,
    LONG_HOP,
    SPECTRAL_CHANNELS,
    AutoencoderConfig,
    ConvBlock,
    Encoder,
    left_right,
)
from loopmeter_engine.training.corpus import Corpus
from loopmeter_engine.training.run import Average, Budget, Log, descend, learning_rate
from loopmeter_engine.training.train_autoencoder import LATENT_NOISE, loss_weights

Floats = NDArray[np.float64]
OUT = CACHE / "designs.json"
_WIDTH, _BLOCKS, _KERNEL = 320, 2, 7
_CROP, _EDGE = 24, 4  # Latent frames of 46 ms in a crop, of which so many on each side are not compared.
_EVERY = 4  # Of the drum and the tonal loops.


@dataclass(frozen=True)
class Design:
    name: str
    values: int  # Of a latent.
    frames: int  # Spectral frames of 12 ms in one.
    head: Literal["magnitudes", "complex"] = "magnitudes"


DESIGNS = (
    Design("64 values, 21.5 a second, magnitudes (as shipped)", 64, 4),
    Design("256 values, 21.5 a second", 256, 4),
    Design("128 values, 43 a second", 128, 2),
    Design("64 values, 21.5 a second, complex head", 64, 4, "complex"),
)


class Codec(nn.Module):
    """(B, 4 T, SPECTRAL_CHANNELS) to latents and back, to spectra or, with a complex head, to mid and side."""

    mean: Tensor
    std: Tensor
    window: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design, wide, many = design, _WIDTH, design.frames
        out = SPECTRAL_CHANNELS if design.head == "magnitudes" else 4 * LONG_BINS
        self.inp, self.merge = nn.Linear(SPECTRAL_CHANNELS, wide), nn.Linear(many * wide, wide)
        self.narrow, self.widen = nn.Linear(wide, design.values), nn.Linear(design.values, wide)
        self.split, self.norm, self.head = nn.Linear(wide, many * wide), nn.LayerNorm(wide), nn.Linear(wide, out)
        self.stages = nn.ModuleList(_blocks() for _ in range(4))
        self.register_buffer("mean", torch.zeros(design.values))
        self.register_buffer("std", torch.ones(design.values))
        self.register_buffer("window", torch.hann_window(LONG_FFT), persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        h = self.stages[0](self.inp(spectra))
        h = self.stages[1](self.merge(h.reshape(len(h), -1, self.design.frames * _WIDTH)))
        raw = self.narrow(h).float()
        if self.training:
            mean, std = raw.mean((0, 1)), raw.std((0, 1)) + 1e-4
            self.mean.lerp_(mean.detach(), 0.02)
            self.std.lerp_(std.detach(), 0.02)
            latents = (raw - mean) / std
            latents = latents + LATENT_NOISE * torch.rand_like(latents[:, :1, :1]) * torch.randn_like(latents)
        else:
            latents = (raw - self.mean) / self.std
        h = self.stages[2](self.widen(latents))
        h = self.stages[3](self.split(h).reshape(len(h), -1, _WIDTH))
        found: Tensor = self.head(self.norm(h)).float()
        return found if self.design.head == "magnitudes" else self._sound(found)

    def _sound(self, found: Tensor) -> Tensor:
        """Logarithms of magnitudes and phases -> (B, 2, 512 S)."""
        batch, count, _ = found.shape
        level, angle = found.reshape(batch, count, 2, 2, LONG_BINS).permute(3, 0, 2, 1, 4)
        size = level.clamp(max=7).exp()
        frames = torch.fft.irfft(torch.complex(size * angle.cos(), size * angle.sin()), LONG_FFT) * self.window
        sound = overlap_add(frames.flatten(0, 1), LONG_HOP) / COLA
        begin = (LONG_FFT - LONG_HOP) // 2
        return sound[:, begin : begin + LONG_HOP * count].reshape(batch, 2, -1)


def _blocks() -> nn.Sequential:
    """As long as it was: edges see zeros."""
    side = _KERNEL // 2
    padded = [part for _ in range(_BLOCKS) for part in (_Pad(side), ConvBlock(_WIDTH, _KERNEL, side))]
    return nn.Sequential(*padded)


class _Pad(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, self.side, self.side))


def train(design: Design, corpus: Corpus, minutes: float, batch: int, rate: float) -> tuple[Codec, int]:
    """The same distance for all: of spectra, or of those of the sound."""
    torch.manual_seed(3)
    see, model = Encoder(AutoencoderConfig()), Codec(design)
    optimiser = torch.optim.AdamW(model.parameters(), rate, (0.9, 0.95), weight_decay=0.01)
    average, weights = Average(model, 0.995), loss_weights(torch.device("cpu"))
    inside = slice(4 * _EDGE, -4 * _EDGE)
    budget, log, step = Budget(minutes), Log(50), 0
    while not budget.over:
        with torch.no_grad():
            wanted = see.spectra(corpus.batch(batch, _CROP).pcm)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(rate, step, budget.fraction, 50)
        with torch.autocast("cpu", torch.bfloat16):
            made = model(wanted)
        found = made if design.head == "magnitudes" else see.spectra(left_right(made))
        error = (found - wanted)[:, inside]
        loss = ((error.abs() + 2 * error.square()) * weights).mean()
        descend(loss, optimiser, list(model.parameters()))
        average.update(model)
        log.add(step, budget, loss=loss)
        step += 1
    average.copy_to(model)
    return model.eval(), step


@torch.inference_mode()
def round_trip(model: Codec, pcm: Floats) -> Floats:
    """(channels, frames), played round and round, through a codec; mid alone."""
    around = codec.around(pcm)
    made = model(Encoder(AutoencoderConfig()).spectra(around))
    if model.design.head == "magnitudes":
        return codec.sound_of(made, None, pcm)[:1]
    begin = codec.MARGIN_SAMPLES
    return np.asarray(made[0, :1, begin : begin + pcm.shape[1]].double().numpy())


def judge(model: Codec) -> dict[str, float]:
    """Means over loops and recordings."""
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for kind in ("drums", "tonal"):
        for made in [made for made in made_loops() if made.loop.kind == kind][::_EVERY]:
            truth = read(made.wavs["render"]).mean(0)
            sound = round_trip(model, truth[None])[0]
            add(f"{kind}_db", mel_distance_db(sound, truth))
            if kind == "tonal":
                add("likeness", likeness(pitch_energy(sound), pitch_energy(truth)))
                continue
            for band in BANDS.values():
                if len(asked_ms(made.loop.score, band.drums, VELOCITY_MIN)) >= HITS_MIN:
                    add("hits", hear(sound, made.loop.score, band, delay_of(truth, made.loop.score, band)).f1)
    for _, sound in excerpts():
        truth = sound.mean(0)
        add("recordings_db", mel_distance_db(round_trip(model, truth[None])[0], truth))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--clips", type=int, default=600)
    args = parser.parse_args()
    entries = []
    for design in DESIGNS:
        corpus = Corpus(args.corpus, torch.device("cpu"), seed=5, clips_max=args.clips)
        corpus.refresh()
        model, steps = train(design, corpus, args.minutes, args.batch, args.rate)
        entries.append({"name": design.name, "steps": steps, **judge(model)})
        print(json.dumps(entries[-1]), flush=True)
        OUT.write_text(json.dumps(entries, indent=1))


if __name__ == "__main__":
    main()
