"""The versions of every loop, made once and kept: ``python -m judging.audio``.

``render``: the ground truth, the score played by the synthesisers that made the training data. ``again``: the same with
other noise, which tells how far a measure moves when nothing is wrong. ``codec``: the render through the autoencoder.
``generated``: what the engine delivers. A file's name holds a hash of all that it was made from, so that work goes on
where it was stopped, and new weights or code make new files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import loopmeter_engine
from judging.loops import Loop, loops
from loopmeter_engine.contract import LEASE_CHUNKS_MAX
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ, Autoencoder
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.weights_io import WEIGHTS, load_autoencoder

Version = Literal["render", "again", "codec", "generated"]
VERSIONS: tuple[Version, ...] = get_args(Version)
CACHE = Path(".cache/judge")
INDEX = CACHE / "index.json"
_ENGINE = Path(loopmeter_engine.__file__).parent
_MARGIN_FRAMES = 32  # Latent frames of the loop on both sides of it, so that the codec meets no edge.


@dataclass(frozen=True)
class Made:
    """A loop and the files of its versions."""

    loop: Loop
    wavs: dict[Version, Path]


def read(path: Path) -> NDArray[np.float64]:
    """(channels, frames) in [-1, 1] at 44.1 kHz."""
    pcm, rate_hz = soundfile.read(path, always_2d=True)
    assert rate_hz == SAMPLE_RATE_HZ
    return np.ascontiguousarray(pcm.T)


def made_loops() -> list[Made]:
    """What the last ``python -m judging.audio`` made, in the order of ``loops()``."""
    index = json.loads(INDEX.read_text())
    return [
        Made(loop, {version: CACHE / name for version, name in index[loop.name]["wavs"].items()})
        for loop in loops()
        if loop.name in index
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=VERSIONS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights to judge")
    args = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    every = loops()
    files = {loop.name: _files(loop, args.versions, args.weights) for loop in every}
    renders = [
        (loop, version, files[loop.name][version])
        for loop in every
        for version in args.versions
        if version in ("render", "again")
    ]
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_render, renders, chunksize=4)
    print(f"ground truth: {len(renders)} files, {time.monotonic() - began:.0f} s")
    if "codec" in args.versions:
        _round_trips([(files[loop.name]["render"], files[loop.name]["codec"], loop) for loop in every], args.weights)
    if "generated" in args.versions:
        _generations([(loop, files[loop.name]["generated"]) for loop in every], args.weights)
    index = {
        loop.name: {
            "kind": loop.kind,
            "notes": _notes(loop),
            "wavs": {version: path.name for version, path in files[loop.name].items()},
        }
        for loop in every
    }
    INDEX.write_text(json.dumps(index, indent=1))
    _forget_others({path.name for versions in files.values() for path in versions.values()})


def _files(loop: Loop, versions: list[Version], weights: Path) -> dict[Version, Path]:
    render = [repr(loop.score), loop.request.quality, _sources("training/synth")]
    model = [_digest_of(weights / "autoencoder.safetensors"), _sources("model")]
    engine = [*model, _digest_of(weights / "transformer.safetensors")]
    engine += [(_ENGINE / name).read_text() for name in ("engine.py", "streaming.py", "conditioning.py")]
    made_from: dict[Version, list[str]] = {
        "render": render,
        "again": [*render, "again"],
        "codec": [*render, *model, "codec"],
        "generated": [repr(loop.score), loop.request.model_dump_json(), *engine],
    }
    return {
        version: CACHE / f"{loop.name}.{version}.{_short_hash(made_from[version])}.wav"
        for version in VERSIONS
        if version in versions or (version == "render" and "codec" in versions)
    }


def _render(loop: Loop, version: Version, path: Path) -> None:
    if path.exists():
        return
    stems = render_stems(loop.score, loop.request.seed + (50_000 if version == "again" else 0))
    stereo = np.sum(list(stems.values()), 0)
    _write(path, stereo if loop.request.quality == "hifi" else stereo.mean(0, keepdims=True))


def _round_trips(work: list[tuple[Path, Path, Loop]], weights: Path) -> None:
    left = [part for part in work if not part[1].exists()]
    began = time.monotonic()
    autoencoder = load_autoencoder(weights / "autoencoder.safetensors") if left else None
    for source, path, _ in left:
        assert autoencoder is not None
        _write(path, round_trip(autoencoder, read(source)))
    print(f"codec: {len(left)} files, {time.monotonic() - began:.0f} s")


@torch.inference_mode()
def round_trip(autoencoder: Autoencoder, pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels, frames) -> the same shape, through latents; the loop goes round on both sides of it."""
    margin, frames = _MARGIN_FRAMES * FRAME_SAMPLES, pcm.shape[1]
    latent_frames = -(-frames // FRAME_SAMPLES) + 2 * _MARGIN_FRAMES
    at = np.arange(-margin, latent_frames * FRAME_SAMPLES - margin) % frames
    stereo = torch.from_numpy(pcm[:, at]).float().expand(2, -1)[None]
    latents = autoencoder.encode(stereo)
    noise = autoencoder.noise(latents.shape[1], torch.Generator().manual_seed(0))
    mid_side = autoencoder.decode(latents, noise, channels=len(pcm))[0, :, margin : margin + frames]
    if len(pcm) == 1:
        return mid_side.double().numpy()
    return torch.stack([mid_side[0] + mid_side[1], mid_side[0] - mid_side[1]]).double().numpy()


def _generations(work: list[tuple[Loop, Path]], weights: Path) -> None:
    left = [part for part in work if not part[1].exists()]
    began, seconds = time.monotonic(), 0.0
    engine = LoopmeterEngine(weights, device="cpu") if left else None
    for loop, path in left:
        assert engine is not None
        pcm = generate(engine, loop)
        _write(path, pcm)
        seconds += pcm.shape[1] / SAMPLE_RATE_HZ
    spent = time.monotonic() - began
    print(f"generated: {len(left)} files, {spent:.0f} s, {seconds / max(spent, 1e-9):.1f} x real time")


def generate(engine: LoopmeterEngine, loop: Loop) -> NDArray[np.float64]:
    """(channels, frames): lease after lease, as a gateway asks for them."""
    plan = engine.plan(loop.request)
    chunks, state, pcm = len(plan.chunk_frames), None, b""
    for first in range(0, chunks, LEASE_CHUNKS_MAX):
        for chunk in engine.lease(plan.request, first, min(LEASE_CHUNKS_MAX, chunks - first), state):
            pcm += chunk.pcm
            state = chunk.state_after
    return samples_of(pcm, plan.channels, plan.bits)


def samples_of(pcm: bytes, channels: int, bits: int) -> NDArray[np.float64]:
    """Interleaved little-endian integers to (channels, frames) in [-1, 1)."""
    octets = np.frombuffer(pcm, np.uint8).reshape(-1, channels, bits // 8)
    # Into the upper bytes of 32 bit, so that the sign needs no care.
    wide = np.zeros((*octets.shape[:2], 4), np.uint8)
    wide[:, :, 4 - bits // 8 :] = octets
    samples: NDArray[np.float64] = wide.view("<i4")[:, :, 0].T / 2.0**31
    return samples


def _notes(loop: Loop) -> list[tuple[float, float, int]]:
    """(onset, end, MIDI pitch) in seconds, of the notes that sound."""
    beat_s = 60 / loop.score.tempo_bpm
    return [
        (note.onset_beats * beat_s, (note.onset_beats + note.duration_beats) * beat_s, note.pitch)
        for note in loop.score.notes
        if note.layer in loop.score.timbres
    ]


def _write(path: Path, pcm: NDArray[np.floating]) -> None:
    partial = path.with_suffix(".part")
    soundfile.write(partial, pcm.T, SAMPLE_RATE_HZ, subtype="PCM_24", format="WAV")
    partial.replace(path)


def _forget_others(keep: set[str]) -> None:
    for path in CACHE.glob("*.wav"):
        if path.name not in keep:
            path.unlink()


def _sources(folder: str) -> str:
    return _short_hash([path.read_text() for path in sorted((_ENGINE / folder).glob("*.py"))])


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _short_hash(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


if __name__ == "__main__":
    main()
