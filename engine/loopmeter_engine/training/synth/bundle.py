"""The bundle of recorded instruments: what ``training/make_bundle.py`` writes, and the choice of one for a render.

A bundle is a folder of two files: ``samples.npz``, packed arrays of 16 bit samples by number, and ``manifest.json``,
which says where each came from, under which licence, and how patches and kits are made of them. Reading needs numpy
alone.

Reading order: ``pack``, ``Region``, ``Patch``, ``Kit``, ``Bundle``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopmeter_engine.training.synth.soundfont import Envelope

VERSION = 1


class BundleUnusable(Exception):
    """No bundle is there, or one of another version. The message says what to do."""


def pack(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    """(N,) -> (2, N): differences, low bytes apart from high ones, which deflate to two thirds of what samples do."""
    return np.ascontiguousarray(np.diff(pcm, prepend=np.int16(0)).astype("<i2").view(np.uint8).reshape(-1, 2).T)


def unpack(packed: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The inverse of ``pack``: sums wrap as the differences did."""
    return np.cumsum(np.ascontiguousarray(packed.T).view("<i2").ravel(), dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Recording:
    """``pcm`` (N,) int16, one channel; ``loop`` in frames, to go round while a note is held."""

    pcm: NDArray[np.int16]
    rate_hz: int
    loop: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Region:
    """A recording, the keys (inclusive) that it serves, and how: see ``soundfont.Zone``."""

    recording: Recording
    keys: tuple[int, int]
    root: int
    tuning: float
    scale: float
    gain: float
    pan: float
    envelope: Envelope
    cutoff_hz: float
    resonance_db: float


@dataclass(frozen=True, slots=True)
class Patch:
    """A tonal instrument of a family. ``gain`` makes it as loud as the family's synthesiser."""

    name: str
    gain: float
    regions: tuple[Region, ...]

    def of(self, key: int) -> tuple[Region, ...]:
        """The regions that serve a key; for a key that none serves, those nearest to it."""
        distances = [max(0, region.keys[0] - key, key - region.keys[1]) for region in self.regions]
        nearest = min(distances)
        return tuple(r for r, distance in zip(self.regions, distances, strict=True) if distance == nearest)


@dataclass(frozen=True, slots=True)
class Kit:
    """Drums, or kinds of effects, by name: of each some alternatives to draw from."""

    name: str
    gain: float
    alternatives: dict[str, tuple[tuple[Region, ...], ...]]


class Bundle:
    """Patches and kits by (layer, family), apart for training and held out for testing. Raises BundleUnusable."""

    def __init__(self, folder: Path) -> None:
        path = folder / "manifest.json"
        if not path.exists():
            raise BundleUnusable(f"expected a bundle in {folder}, found no manifest.json; make one with make_bundle")
        manifest = json.loads(path.read_text())
        if manifest.get("version") != VERSION:
            found = manifest.get("version")
            raise BundleUnusable(f"expected version {VERSION} in {path}, found {found}; make it again")
        with np.load(folder / "samples.npz") as arrays:
            recordings = [
                Recording(unpack(arrays[str(number)]), int(entry["rate_hz"]), _pair(entry["loop"]))
                for number, entry in enumerate(manifest["samples"])
            ]
        self.patches: dict[tuple[str, str, bool], list[Patch]] = {}
        for entry in manifest["patches"]:
            regions = tuple(_region(region, recordings) for region in entry["regions"])
            key = (entry["layer"], entry["family"], bool(entry["held_out"]))
            self.patches.setdefault(key, []).append(Patch(entry["name"], entry["gain"], regions))
        self.kits: dict[tuple[str, str, bool], list[Kit]] = {}
        for entry in manifest["kits"]:
            alternatives = {
                name: tuple(tuple(_region(region, recordings) for region in one) for one in found)
                for name, found in entry["alternatives"].items()
            }
            key = (entry["layer"], entry["family"], bool(entry["held_out"]))
            self.kits.setdefault(key, []).append(Kit(entry["name"], entry["gain"], alternatives))


def _region(entry: dict[str, Any], recordings: list[Recording]) -> Region:
    values = dict(entry)
    envelope, keys = Envelope(**values.pop("envelope")), values.pop("keys")
    return Region(recordings[values.pop("sample")], (int(keys[0]), int(keys[1])), envelope=envelope, **values)


def _pair(values: list[int] | None) -> tuple[int, int] | None:
    return (int(values[0]), int(values[1])) if values else None
