"""Reads SoundFont 2 files: presets as zones of samples with tuning, loops, envelopes, filters. numpy alone.

After the SoundFont technical specification 2.04 (clauses in brackets). Left out: modulators, LFOs, samples in
ROM, the low bytes of 24 bit samples, and compressed files (SF3).

Deviations: attenuations count 0.4 times, as the hardware did for which banks were made, and as fluidsynth has it. A
filter does not move: it stays where the modulation envelope opens it to.

Reading order: ``Envelope``, ``Zone``, ``SoundFont``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Generators = dict[int, int]
_RECORDS = {"phdr": 38, "pbag": 4, "pgen": 4, "inst": 22, "ibag": 4, "igen": 4, "shdr": 46}  # Bytes each [7].
_ATTENUATION = 0.4
# Generators [8.1.2] by number.
_START, _END, _LOOP_START, _LOOP_END = (0, 4), (1, 12), (2, 45), (3, 50)  # Fine, and coarse in steps of 32,768.
_CUTOFF, _RESONANCE, _OPENING, _PAN = 8, 9, 11, 17
_DELAY, _ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE, _KEY_HOLD, _KEY_DECAY = range(33, 41)
_INSTRUMENT, _KEYS, _VELOCITIES, _QUIETER, _COARSE, _FINE, _SAMPLE = 41, 43, 44, 48, 51, 52, 53
_LOOPED, _SCALE, _EXCLUSIVE, _ROOT = 54, 56, 57, 58
_DEFAULTS = {
    _CUTOFF: 13_500, _SCALE: 100, _ROOT: -1, **dict.fromkeys((_DELAY, _ATTACK, _HOLD, _DECAY, _RELEASE), -12_000)
}  # fmt: skip
_NOT_IN_PRESETS = {0, 1, 2, 3, 4, 12, 45, 46, 47, 50, 54, 57, 58}  # Only an instrument may set these [8.5].
_ROM = 0x8000


class NotASoundFont(Exception):
    """The file is no SoundFont 2, is cut short, or holds compressed samples. The message says what was found."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Volume over time [8.1.2]: after ``delay_s`` a straight rise, a hold, then a fall in equal ratios.

    ``decay_s`` would be the time to fall by 100 dB; the fall stops at ``sustain_db`` (0 or above) under the peak.
    ``hold_per_key`` and ``decay_per_key`` are cents by which these times shrink for each key above 60.
    """

    delay_s: float = 0.001
    attack_s: float = 0.001
    hold_s: float = 0.001
    decay_s: float = 0.001
    sustain_db: float = 0.0
    release_s: float = 0.001
    hold_per_key: float = 0.0
    decay_per_key: float = 0.0

    def gains(self, frames: int, rate_hz: int, key: int) -> NDArray[np.float32]:
        """(frames,) while the key is held."""
        hold_s = self.hold_s * 2.0 ** (self.hold_per_key * (60 - key) / 1200.0)
        decay_s = self.decay_s * 2.0 ** (self.decay_per_key * (60 - key) / 1200.0)
        time = np.arange(frames, dtype=np.float32) / np.float32(rate_hz) - np.float32(self.delay_s)
        rise = np.clip(time / np.float32(max(self.attack_s, 1e-4)), 0.0, 1.0)
        falling = np.maximum(time - np.float32(self.attack_s + hold_s), 0.0)
        fall_db = np.minimum(falling * np.float32(100.0 / max(decay_s, 1e-3)), np.float32(self.sustain_db))
        return np.asarray(rise * 10.0 ** (fall_db / np.float32(-20.0)), np.float32)


@dataclass(frozen=True, slots=True)
class Zone:
    """One sample, and for which keys and velocities (both inclusive) and how it sounds.

    It is played ``2 ** (((key - root) * scale + tuning) / 12)`` times as fast as it was recorded. ``start``, ``end``
    and ``loop`` are frames of the whole file's sample data. ``gain`` is a factor, ``pan`` -1 (left) to 1.
    """

    sample: int
    keys: tuple[int, int]
    velocities: tuple[int, int]
    root: int
    tuning: float
    scale: float
    start: int
    end: int
    loop: tuple[int, int] | None
    gain: float
    pan: float
    envelope: Envelope
    cutoff_hz: float
    resonance_db: float
    exclusive: int

    def sounds(self, key: int, velocity: int) -> bool:
        return self.keys[0] <= key <= self.keys[1] and self.velocities[0] <= velocity <= self.velocities[1]


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    start: int
    end: int
    loop_start: int
    loop_end: int
    rate_hz: int
    root: int
    correction: int
    link: int
    kind: int


class SoundFont:
    """An open file: ``presets`` by (bank, program), drum kits in bank 128; ``pcm`` (N,) int16 of all samples.

    Raises NotASoundFont.
    """

    def __init__(self, path: Path) -> None:
        self._data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        if self._bytes(0, 4) != b"RIFF" or self._bytes(8, 12) != b"sfbk":
            raise NotASoundFont(f"expected a SoundFont 2 file (RIFF sfbk), found {self._bytes(0, 12)!r} in {path}")
        tables: dict[str, bytes] = {}
        version, samples = 2, None
        for name, start, size in self._lists(path):
            if name == "smpl":
                samples = (start, size)
            elif name == "ifil":
                version = struct.unpack("<H", self._bytes(start, start + 2))[0]
            elif name in _RECORDS:
                tables[name] = self._bytes(start, start + size)
        absent = [name for name in _RECORDS if name not in tables]
        if version != 2 or absent or samples is None:
            lacks = f", without {', '.join(absent) or 'samples'}" if version == 2 else ""
            raise NotASoundFont(
                f"expected SoundFont version 2 with all its tables in {path}, found version {version}{lacks}"
            )
        self.pcm = self._data[samples[0] : samples[0] + samples[1] // 2 * 2].view("<i2")
        self._tables = tables
        self.samples = [Sample(_text(r[0]), *r[1:]) for r in self._records("shdr", "<20s5IBbHH")]
        presets = self._records("phdr", "<20sHHHIII")
        self.presets = {(row[2], row[1]): index for index, row in enumerate(presets[:-1])}
        self.names = {(row[2], row[1]): _text(row[0]) for row in presets[:-1]}

    def zones(self, bank: int, program: int) -> tuple[Zone, ...]:
        """The zones of a preset; ``KeyError`` if the file has no such."""
        index = self.presets[bank, program]
        bags, instruments = self._bags("phdr", 24, "pbag", "pgen", index, _INSTRUMENT), []
        for above in bags:
            for below in self._bags("inst", 20, "ibag", "igen", above[_INSTRUMENT], _SAMPLE):
                zone = self._zone(above, below)
                if zone is not None:
                    instruments.append(zone)
        return tuple(instruments)

    def _zone(self, above: _Generators, below: _Generators) -> Zone | None:
        """The sum of a preset's zone and an instrument's [9.4]; None where they share no key or velocity."""
        sample = self.samples[below[_SAMPLE]]
        keys, velocities = (_shared(above.get(part), below.get(part)) for part in (_KEYS, _VELOCITIES))
        if keys is None or velocities is None or sample.kind & _ROM:
            return None

        def value(part: int) -> int:
            shift = 0 if part in _NOT_IN_PRESETS else above.get(part, 0)
            return below.get(part, _DEFAULTS.get(part, 0)) + shift

        def at(parts: tuple[int, int], origin: int) -> int:
            return origin + value(parts[0]) + 32_768 * value(parts[1])

        start, end = at(_START, sample.start), at(_END, sample.end)
        loop = at(_LOOP_START, sample.loop_start), at(_LOOP_END, sample.loop_end)
        looped = value(_LOOPED) & 1 and start <= loop[0] < loop[1] <= end
        delay_s, attack_s, hold_s, decay_s, release_s = (
            _seconds(value(part)) for part in (_DELAY, _ATTACK, _HOLD, _DECAY, _RELEASE)
        )
        sustain_db = min(144.0, max(0.0, value(_SUSTAIN) / 10))
        envelope = Envelope(
            delay_s, attack_s, hold_s, decay_s, sustain_db, release_s, value(_KEY_HOLD), value(_KEY_DECAY)
        )
        return Zone(
            sample=below[_SAMPLE], keys=keys, velocities=velocities,
            root=value(_ROOT) if value(_ROOT) >= 0 else min(sample.root, 127),
            tuning=value(_COARSE) + (value(_FINE) + sample.correction) / 100, scale=value(_SCALE) / 100,
            start=start, end=min(end, len(self.pcm)), loop=loop if looped else None,
            gain=float(10.0 ** (-_ATTENUATION * max(0, value(_QUIETER)) / 200)),
            pan=min(1.0, max(-1.0, value(_PAN) / 500)), envelope=envelope,
            cutoff_hz=8.176 * 2.0 ** ((value(_CUTOFF) + max(0, value(_OPENING))) / 1200),
            resonance_db=max(0, value(_RESONANCE)) / 10, exclusive=value(_EXCLUSIVE),
        )  # fmt: skip

    def _bags(
        self, heads: str, field: int, bags: str, generators: str, index: int, ends_with: int
    ) -> Iterator[_Generators]:
        """The generators of each zone of a preset or instrument, over those of a global first zone [7.3]."""
        size = _RECORDS[heads]
        first, last = (
            struct.unpack_from("<H", self._tables[heads], size * row + field)[0] for row in (index, index + 1)
        )
        common: _Generators = {}
        for bag in range(first, last):
            begin, end = (struct.unpack_from("<H", self._tables[bags], 4 * row)[0] for row in (bag, bag + 1))
            found = dict(struct.unpack_from("<Hh", self._tables[generators], 4 * row) for row in range(begin, end))
            if ends_with in found:
                yield {**common, **found}
            elif bag == first:
                common = found

    def _records(self, name: str, form: str) -> list[tuple[Any, ...]]:
        table, size = self._tables[name], _RECORDS[name]
        return list(struct.iter_unpack(form, table[: len(table) // size * size]))

    def _lists(self, path: Path) -> Iterator[tuple[str, int, int]]:
        """Name, first byte and size of every chunk inside the file's lists."""
        for kind, start, size in self._chunks(12, len(self._data), path):
            if kind == "LIST":
                yield from self._chunks(start + 4, start + size, path)

    def _chunks(self, start: int, end: int, path: Path) -> Iterator[tuple[str, int, int]]:
        while start + 8 <= end:
            name, size = struct.unpack("<4sI", self._bytes(start, start + 8))
            if start + 8 + size > len(self._data):
                raise NotASoundFont(f"expected {size} bytes of {name!r} at {start + 8} in {path}, found its end")
            yield name.decode("latin-1"), start + 8, size
            start += 8 + size + size % 2

    def _bytes(self, start: int, end: int) -> bytes:
        return bytes(self._data[start:end])


def _seconds(timecents: int) -> float:
    return float(2.0 ** (max(-12_000, min(8000, timecents)) / 1200))


def _shared(a: int | None, b: int | None) -> tuple[int, int] | None:
    """Where two ranges, each a low and a high byte in one word, overlap."""
    pairs = [(value & 0xFF, value >> 8 & 0xFF) for value in (a, b) if value is not None]
    low, high = max([0, *(pair[0] for pair in pairs)]), min([127, *(pair[1] for pair in pairs)])
    return (low, high) if low <= high else None


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1")
