"""Make ``data/groove.json`` from the Groove MIDI Dataset (Google LLC / Magenta, CC-BY 4.0).

Run: ``python -m loopmeter_engine.planner.groove_statistics groove_midi.tar.gz``. Read are the beats in 4/4. For each
style, drum class and sixteenth of the bar: how late the hit comes (beats; the player's own mean and the style's swing
taken out, for the planner has its own swing) and how loud it is (as a factor of the player's mean for that drum).
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import mido
import numpy as np

from loopmeter_engine.planner.human import TABLE_PATH

_NAME = re.compile(r"/\d+_([a-z0-9]+)[^_]*_\d+_beat_4-4\.mid$")
_FAMILY = {
    "rock": "rock", "punk": "rock", "country": "rock", "blues": "jazz", "funk": "funk", "neworleans": "funk",
    "jazz": "jazz", "hiphop": "hiphop", "soul": "hiphop", "gospel": "hiphop", "latin": "afrobeat",
    "afrocuban": "afrobeat", "afrobeat": "afrobeat", "highlife": "afrobeat", "middleeastern": "afrobeat",
    "reggae": "reggae", "pop": "pop", "dance": "dance",
}  # fmt: skip
_CLASS = {
    35: "kick", 36: "kick", 37: "snare", 38: "snare", 40: "snare",
    22: "hat", 26: "hat", 42: "hat", 44: "hat", 46: "hat",
    51: "ride", 53: "ride", 59: "ride", 49: "ride", 52: "ride", 55: "ride", 57: "ride",
    41: "tom", 43: "tom", 45: "tom", 47: "tom", 48: "tom", 50: "tom", 58: "tom",
}  # fmt: skip
_CLASSES = ("kick", "snare", "hat", "ride", "tom")
_HITS_MIN = 12  # Cells with fewer hits fall back on the mean of their class.

Hits = dict[str, list[tuple[int, float, float]]]  # class -> (step, delay in beats, velocity relative to the mean)


def statistics(archive: bytes) -> dict[str, dict[str, dict[str, list[float]]]]:
    """style -> drum class -> sixteen values each of ``delay``, ``delay_spread``, ``accent``, ``accent_spread``."""
    styles: dict[str, Hits] = defaultdict(lambda: defaultdict(list))
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            match = _NAME.search(member.name)
            file = tar.extractfile(member) if match else None
            if match is None or file is None or match.group(1) not in _FAMILY:
                continue
            for drum, cells in _performance(file.read()).items():
                styles[_FAMILY[match.group(1)]][drum] += cells
    return {style: {drum: _profile(styles[style], drum) for drum in _CLASSES} for style in sorted(styles)}


def _performance(data: bytes) -> Hits:
    midi = mido.MidiFile(file=io.BytesIO(data))
    found: list[tuple[str, float, int]] = []
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity > 0 and message.note in _CLASS:
                found.append((_CLASS[message.note], tick / midi.ticks_per_beat, message.velocity))
    hits: Hits = defaultdict(list)
    if not found:
        return hits
    shift = float(np.mean([beats - round(beats * 4) / 4 for _, beats, _ in found]))
    loudness = {drum: float(np.mean([v for d, _, v in found if d == drum])) for drum in {d for d, _, _ in found}}
    for drum, beats, velocity in found:
        step = round((beats - shift) * 4)
        hits[drum].append((step % 16, beats - shift - step / 4, velocity / loudness[drum]))
    return hits


def _profile(hits: Hits, drum: str) -> dict[str, list[float]]:
    everything = [cell for cells in hits.values() for cell in cells]
    swing = {parity: float(np.median([d for s, d, _ in everything if s % 4 == parity] or [0.0])) for parity in range(4)}
    own = hits.get(drum) or everything
    profile: dict[str, list[float]] = {"delay": [], "delay_spread": [], "accent": [], "accent_spread": []}
    for step in range(16):
        cells = [cell for cell in own if cell[0] == step]
        if len(cells) < _HITS_MIN:
            cells = [cell for cell in own if cell[0] % 4 == step % 4] or own
        delays = np.array([delay for _, delay, _ in cells]) - (swing[step % 4] if step % 4 else 0.0)
        accents = np.array([accent for _, _, accent in cells])
        # Median and its deviation: triplets that fall into a neighbouring sixteenth must not count as looseness.
        middle = float(np.median(delays))
        profile["delay"].append(round(middle, 4))
        profile["delay_spread"].append(round(1.4826 * float(np.median(np.abs(delays - middle))), 4))
        profile["accent"].append(round(float(accents.mean()), 3))
        profile["accent_spread"].append(round(float(accents.std()), 3))
    return profile


def main(path: str) -> None:
    table = {
        "source": "Groove MIDI Dataset, Google LLC / Magenta, CC-BY 4.0; statistics only, see README.md",
        "styles": statistics(Path(path).read_bytes()),
    }
    lines = json.dumps(table, separators=(",", ":")).replace('"},"', '"},\n"').replace("]},", "]},\n")
    TABLE_PATH.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
