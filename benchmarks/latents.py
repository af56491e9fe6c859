"""What working in latents saves against working on samples: ``python -m benchmarks.latents``.

The article behind this project says: 5 times faster and 90 % less memory. Here the same network makes the same length
of stereo sound both ways, with the engine's number of passes, weights random: as latents, 21.5 frames of 64 values a
second, which the decoder and the search for phases then turn into sound; and as samples, 64 values a frame as well,
which takes 64 times as many frames and no decoder. Memory is that of a pass over the whole at once, as in training.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import torch
from benchmarks import table
from benchmarks.attention import frames_of, linear_pass, peak_of
from torch import Tensor

from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ, Autoencoder, expand
from loopmeter_engine.model.flow import passes
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer
from loopmeter_engine.phase import AHEAD, Vocoder
from loopmeter_engine.sampling import Sampling

LENGTH_S = 4
CHANNELS = 2


class Row(NamedTuple):
    """One figure with both, and what the article says of it."""

    what: str
    latents: str
    samples: str
    article: str


def measure(length_s: float = LENGTH_S, rounds: int = 3) -> list[Row]:
    """Both ways in turn; four seconds of sound take about 10 s as samples."""
    torch.manual_seed(0)
    took: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        network, autoencoder = Transformer().eval(), Autoencoder().eval()
        for _ in range(rounds):
            for found, run in zip(took, (_as_latents, _as_samples), strict=True):
                began = time.perf_counter()
                run(network, autoencoder, length_s)
                found.append(time.perf_counter() - began)
    latents_s, samples_s = (statistics.median(found) for found in took)
    latent_values = frames_of(length_s) * network.config.latent
    sample_values = sample_frames(length_s, network.config.latent) * network.config.latent
    memory = {way: _peak_bytes(way, length_s) for way in ("latents", "samples")}
    share = 1 - memory["latents"] / max(1, memory["samples"])
    return [
        Row(
            f"{length_s:g} s of sound, {_passes()} passes, decoded",
            f"{latents_s * 1000:.0f} ms",
            f"{samples_s / latents_s:.1f} x as long",
            "5 x",
        ),
        Row("values for it", f"{latent_values:,}", f"{sample_values / latent_values:.0f} x as many", "170 x"),
        Row(
            "activations of a pass over it at once",
            f"{memory['latents'] / 1e6:.0f} MB",
            f"{memory['samples'] / 1e6:.0f} MB; latents {share:.0%} less",
            "90 % less",
        ),
    ]


def sample_frames(length_s: float, values: int) -> int:
    """How many frames of ``values`` samples a length of stereo sound has, whole blocks."""
    return round(length_s * SAMPLE_RATE_HZ * CHANNELS / values / BLOCK_FRAMES) * BLOCK_FRAMES


def _passes() -> int:
    sampling = Sampling()
    return passes(sampling.solver, sampling.steps)


def _as_latents(network: Transformer, autoencoder: Autoencoder, length_s: float) -> Tensor:
    frames = frames_of(length_s)
    x = torch.randn(1, frames, network.config.latent)
    score = torch.randn(1, frames, network.config.width)
    for _ in range(_passes()):
        x = linear_pass(network, x, score)
    ahead = torch.zeros(1, autoencoder.config.lookahead + BLOCK_FRAMES, network.config.latent)
    long, short = expand(autoencoder.decoder.decode(torch.cat([x, ahead], 1)))
    vocoder = Vocoder()
    magnitudes = long[0, :, :CHANNELS].transpose(0, 1)
    segment = frames * FRAME_SAMPLES // (FRAME_SAMPLES // 4)
    assert magnitudes.shape[1] >= segment + AHEAD
    state = vocoder.init_state(CHANNELS)
    return vocoder.step(magnitudes, short[0], None, state, segment, torch.Generator().manual_seed(0))[0]


def _as_samples(network: Transformer, autoencoder: Autoencoder, length_s: float) -> Tensor:
    frames = sample_frames(length_s, network.config.latent)
    x = torch.randn(1, frames, network.config.latent)
    score = torch.randn(1, frames, network.config.width)
    for _ in range(_passes()):
        x = linear_pass(network, x, score)
    return x


def _peak_bytes(way: str, length_s: float) -> int:
    """How much a pass adds to the peak of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.latents", way, str(length_s)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_peak(way: str, length_s: float) -> None:
    with torch.inference_mode():
        network = Transformer().eval()
        latent, width = network.config.latent, network.config.width
        frames = frames_of(length_s) if way == "latents" else sample_frames(length_s, latent)

        def run(count: int) -> None:
            x, known = torch.randn(1, count, latent), torch.zeros(1, network.config.condition)
            network(x, x, torch.ones(1, count // BLOCK_FRAMES), torch.randn(1, count, width), known)

        print(peak_of(lambda: run(BLOCK_FRAMES), lambda: run(frames)))


def main() -> None:
    print(table.plain(Row._fields, measure()))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _print_peak(sys.argv[1], float(sys.argv[2]))
    else:
        main()
