"""The versions of every loop, made once and kept: ``python -m judging.audio``.

``render``: the ground truth, the score played by the synthesisers that made the training data. ``again``: the same with
other noise, which tells how far a measure moves when nothing is wrong. ``phases``: the render's own spectra with the
phases found anew, as the codec does. ``codec``: the render through the autoencoder. ``generated``: what the engine
delivers. A file's name holds a hash of all that it was made from, so that work goes on where it was stopped, and new
weights or code make new files.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import loopmeter_engine
from judging import codec
from judging.asked import asked_loops
from judging.loops import VERSIONS, Loop, Version, loops
from loopmeter_engine.contract import LEASE_CHUNKS_MAX
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ, Autoencoder
from loopmeter_engine.training.synth import render_stems
from loopmeter_engine.weights_io import DECODER_DIFFERENCE, STUDENT_DIFFERENCE, TIMBRES, WEIGHTS, load_autoencoder

CACHE = Path(".cache/judge")
INDEX = CACHE / "index.json"
_ENGINE = Path(loopmeter_engine.__file__).parent
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


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
    """What the last ``python -m judging.audio`` made, in the order of ``every_loop()``."""
    index = json.loads(INDEX.read_text())
    return [
        Made(loop, {version: CACHE / name for version, name in index[loop.name]["wavs"].items()})
        for loop in every_loop()
        if loop.name in index
    ]


def every_loop() -> list[Loop]:
    return [*loops(), *asked_loops()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=VERSIONS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights to judge")
    parser.add_argument("--every", type=int, default=1, help="every n-th loop only, for a quick look")
    args = parser.parse_args()
    if "render" not in args.versions:
        parser.error("expected render among --versions: all others are measured against it")
    CACHE.mkdir(parents=True, exist_ok=True)
    every = every_loop()[:: args.every]
    files = {loop.name: _files(loop, args.versions, args.weights) for loop in every}
    for version in args.versions:
        left = [
            (loop, version, files[loop.name], args.weights)
            for loop in every
            if version in files[loop.name] and not files[loop.name][version].exists()
        ]
        began = time.monotonic()
        with multiprocessing.get_context("spawn").Pool(2, _one_thread) as pool:
            pool.starmap(_make, left, chunksize=2)
        print(f"{version}: {len(left)} files, {time.monotonic() - began:.0f} s")
    index = {
        loop.name: {
            "judges": _judges(loop),
            "notes": _notes(loop),
            "chords": _chords(loop) if loop.kind == "chords" else [],
            "wavs": {version: path.name for version, path in files[loop.name].items()},
        }
        for loop in every
    }
    INDEX.write_text(json.dumps(index, indent=1))
    for path in (path for versions in files.values() for path in versions.values()):
        _forget_older(path)


def _files(loop: Loop, versions: list[Version], weights: Path) -> dict[Version, Path]:
    render = [repr(loop.score), loop.request.quality, _sources("training/synth")]
    vocoder = [_source_of(name) for name in ("phase.py", "attacks.py", "model/autoencoder.py")]
    phases = [*render, *vocoder, Path(codec.__file__).read_text()]
    made_from: dict[Version, list[str]] = {
        "render": render,
        "again": [*render, "again"],
        "phases": phases,
        "codec": [*phases, *_codec_parts(weights)],
        "generated": [repr(loop.score), loop.request.model_dump_json(), *engine_parts(weights)],
    }
    return {
        version: CACHE / f"{loop.name}.{version}.{_short_hash(made_from[version])}.wav"
        for version in loop.versions
        if version in versions
    }


def _codec_parts(weights: Path) -> list[str]:
    networks = [_digest_of(weights / name) for name in ("autoencoder.safetensors", DECODER_DIFFERENCE, TIMBRES)]
    return [_source_of("conditioning.py"), *networks, _sources("model")]


def engine_parts(weights: Path) -> list[str]:
    """All that decides how the engine sounds, as texts and digests."""
    names = ("engine.py", "sampling.py", "blocks.py", "streaming.py", "conditioning.py", "phase.py", "attacks.py")
    networks = [_digest_of(weights / name) for name in ("transformer.safetensors", STUDENT_DIFFERENCE)]
    return [*_codec_parts(weights), *networks, *(_source_of(name) for name in names)]


def _one_thread() -> None:
    """Two processes of one thread each do not wait for one another, two threads on busy cores do."""
    torch.set_num_threads(1)


def _make(loop: Loop, version: Version, files: dict[Version, Path], weights: Path) -> None:
    if version in ("render", "again"):
        stems = render_stems(loop.score, loop.request.seed + (50_000 if version == "again" else 0))
        stereo: NDArray[np.floating] = np.sum(list(stems.values()), 0)
        pcm = stereo if loop.request.quality == "hifi" else stereo.mean(0, keepdims=True)
    elif version == "phases":
        pcm = codec.through_phases(read(files["render"]))
    elif version == "codec":
        pcm = codec.round_trip(_autoencoder(weights), read(files["render"]), loop.score)
    else:
        pcm = generate(_engine(weights), loop)
    _write(files[version], pcm)


@functools.cache
def _autoencoder(weights: Path) -> Autoencoder:
    return load_autoencoder(weights / "autoencoder.safetensors")


@functools.cache
def _engine(weights: Path) -> LoopmeterEngine:
    return LoopmeterEngine(weights, device="cpu")


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


def _judges(loop: Loop) -> list[str]:
    """What others are asked about a loop, besides its loudness."""
    if loop.kind in ("drums", "tonal", "chords"):
        return {"drums": ["tempo"], "tonal": ["notes"], "chords": ["chords"]}[loop.kind]
    return ["notes"] if loop.kind == "midi" and "drums" not in loop.score.timbres else []


def _chords(loop: Loop) -> list[tuple[float, float, str]]:
    """(onset, end, name as mir_eval writes it) in seconds. Every chord that is asked is major or minor at heart."""
    beat_s = 60 / loop.score.tempo_bpm
    return [
        (
            span.onset_beats * beat_s,
            (span.onset_beats + span.duration_beats) * beat_s,
            f"{_SHARPS[span.root]}:{'min' if (span.root + 3) % 12 in span.pitch_classes else 'maj'}",
        )
        for span in loop.score.chords
    ]


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


def _forget_older(path: Path) -> None:
    """Remove what other weights or code made of the same version of the same loop."""
    loop, version, _ = path.name.split(".", 2)
    for other in path.parent.glob(f"{loop}.{version}.*.wav"):
        if other != path:
            other.unlink()


def _sources(folder: str) -> str:
    return _short_hash([path.read_text() for path in sorted((_ENGINE / folder).glob("*.py"))])


def _source_of(name: str) -> str:
    return (_ENGINE / name).read_text()


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _short_hash(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


if __name__ == "__main__":
    main()
