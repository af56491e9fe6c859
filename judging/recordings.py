"""The codec on music that is not ours, beside Opus: ``python -m judging.recordings``. Needs opus-tools.

Ten seconds of each track of ``benchmarks.conform_sounds``, which were never trained on. Nobody knows their score, so
the decoder is not told any notes, as it is for what a user sends.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from benchmarks.conform_sounds import Track, tracks
from numpy.typing import NDArray

from judging import codec
from judging.kept import kept
from judging.spectra import mel_distance_db
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ
from loopmeter_engine.weights_io import WEIGHTS, load_autoencoder

Floats = NDArray[np.float64]
SOUNDS = Path(".cache/conform/tracks")
OPUS_KBIT_S = 32
_BEGIN_S, _SECONDS = 10, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    if shutil.which("opusenc") is None:
        parser.error("expected opusenc and opusdec, found none; install opus-tools")
    began = time.monotonic()
    figures = kept("recordings", args.weights, Path(__file__).read_text(), lambda: measure(args.weights))
    print(f"{len(figures)} recordings through the codec and Opus: {time.monotonic() - began:.0f} s")


def measure(weights: Path) -> list[dict[str, Any]]:
    """One entry a track: ``name``, and the log-mel distance from it of ``codec`` and ``opus``, in dB."""
    autoencoder, found = load_autoencoder(weights / "autoencoder.safetensors"), []
    for track, sound in excerpts():
        coded, opus = codec.round_trip(autoencoder, sound, None), _through_opus(sound)
        found.append(
            {
                "name": f"{track.package}: {track.file}",
                "codec": mel_distance_db(coded.mean(0), sound.mean(0)),
                "opus": mel_distance_db(opus.mean(0), sound.mean(0)),
            }
        )
    return found


def excerpts() -> Iterator[tuple[Track, Floats]]:
    """Ten seconds of each track that is long enough, (channels, frames)."""
    for track, path in tracks(SOUNDS).items():
        rate_hz = soundfile.info(path).samplerate
        wave, _ = soundfile.read(path, always_2d=True, start=_BEGIN_S * rate_hz, frames=_SECONDS * rate_hz)
        if rate_hz == SAMPLE_RATE_HZ and len(wave) == _SECONDS * rate_hz:
            yield track, np.ascontiguousarray(wave.T)


def _through_opus(sound: Floats) -> Floats:
    with tempfile.TemporaryDirectory() as name:
        plain, packed, back = (Path(name, file) for file in ("plain.wav", "packed.opus", "back.wav"))
        soundfile.write(plain, sound.T, SAMPLE_RATE_HZ, subtype="PCM_24")
        subprocess.run(["opusenc", "--quiet", "--bitrate", str(OPUS_KBIT_S), plain, packed], check=True)
        subprocess.run(["opusdec", "--quiet", "--rate", str(SAMPLE_RATE_HZ), packed, back], check=True)
        wave, _ = soundfile.read(back, always_2d=True)
    assert len(wave) == sound.shape[1]
    return np.ascontiguousarray(wave.T)


if __name__ == "__main__":
    main()
