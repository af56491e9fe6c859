"""What to set when importing a pack: a page to read for FMOD Studio, a table that Wwise imports itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from loopmeter.bake import PackFile, PackLoop

Placed = tuple[PackLoop, PackFile, PurePath]


def fmod_sheet(placed: Sequence[Placed]) -> str:
    """Markdown: for every loop the timeline, and for every stem the curve of the parameter ``intensity``."""
    lines = ["# Import into FMOD Studio", ""]
    for loop in _loops(placed):
        seconds = loop.frames / loop.sample_rate_hz
        lines += [f"## {loop.name}", ""]
        lines.append("1. New 2D timeline event; drag all files below onto tracks of their own, each at 0:00.000.")
        if loop.kind == "loop":
            lines.append(f"2. Loop region on a logic track from 0 to {seconds:.6f} s ({loop.frames} samples).")
        if loop.tempo_bpm is not None:
            lines.append(f"3. Tempo marker at 0: {loop.tempo_bpm:g} bpm, {loop.beats_per_bar}/4.")
            lines.append(f"4. Transitions away from it: quantisation in bars, {loop.phrase_bars}.")
        lines += ["5. Encoding: loading mode Decompress or Compressed, not Streaming, for a loop of a few seconds.", ""]
        lines += ["| file | volume over the event parameter `intensity`, 0 to 1 |", "| --- | --- |"]
        for owner, file, path in placed:
            if owner is loop:
                curve = "always 0 dB" if file.enters <= 0 else f"silent below {file.enters:g}, 0 dB from there on"
                lines.append(f"| `{path.name}` | {curve} |")
        lines.append("")
    return "\n".join(lines)


def wwise_sheet(placed: Sequence[Placed], work_unit: str = "Default Work Unit") -> str:
    """A tab-delimited import file: a segment for every loop, at its tempo, a track for every stem."""
    rows = [["Audio File", "Object Path", "Property:OverrideClockSettings", "Property:Tempo"]]
    rows[0] += ["Property:TimeSignatureUpper", "Property:TimeSignatureLower", "Notes"]
    for loop, file, path in placed:
        stem = file.stem or "loop"
        object_path = (
            f"\\Interactive Music Hierarchy\\{work_unit}\\<Music Segment>{loop.name}\\<Music Track>{loop.name} {stem}"
        )
        enters = "always" if file.enters <= 0 else f"from intensity {file.enters:g}"
        note = f"exit cue at {loop.frames / loop.sample_rate_hz:.6f} s; {enters}"
        rows.append([str(path), object_path, "True", f"{loop.tempo_bpm or 120:g}", str(loop.beats_per_bar), "4", note])
    return "".join("\t".join(row) + "\r\n" for row in rows)


def _loops(placed: Sequence[Placed]) -> list[PackLoop]:
    return list({loop.name: loop for loop, _, _ in placed}.values())
