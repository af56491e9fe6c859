"""``loopmeter adapter fmod PACK -o FOLDER`` and ``loopmeter adapter wwise PACK -o FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from loopmeter import LoopmeterError
from loopmeter.bake import Pack
from loopmeter_integrations.middleware._markers import bar_frames, with_markers
from loopmeter_integrations.middleware._sheets import Placed, fmod_sheet, wwise_sheet
from loopmeter_integrations.osc._files import AtomicFile


class CannotExport(LoopmeterError):
    """The pack cannot be exported as it is. The message says why and what to do."""


def fmod(arguments: Sequence[str]) -> int:
    """Run the command line. An error goes to stderr, and gives 1."""
    return _main("fmod", "FMOD Studio", "import-fmod.md", fmod_sheet, arguments)


def wwise(arguments: Sequence[str]) -> int:
    """Run the command line. An error goes to stderr, and gives 1."""
    return _main("wwise", "Wwise", "import-wwise.txt", wwise_sheet, arguments)


def _main(
    name: str, product: str, sheet_name: str, sheet: Callable[[Sequence[Placed]], str], arguments: Sequence[str]
) -> int:
    parser = argparse.ArgumentParser(
        prog=f"loopmeter adapter {name}",
        description=f"Copy a baked pack for {product}: stems with a marker on every bar, and what to set on import.",
    )
    parser.add_argument("pack", type=Path, help="a folder made by loopmeter bake, in the format wav")
    parser.add_argument("-o", "--output", type=Path, required=True)
    told = parser.parse_args(arguments)
    try:
        placed = _export(Pack(told.pack), told.output.absolute())
        _write(told.output, sheet_name, sheet(placed).encode())
    except LoopmeterError as error:
        print(f"loopmeter: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"loopmeter: expected a folder that can be written, found: {error}", file=sys.stderr)
        return 1
    print(f"{len(placed)} files and {sheet_name} in {told.output}")
    return 0


def _export(pack: Pack, folder: Path) -> list[Placed]:
    if pack.manifest.audio_format != "wav":
        raise CannotExport(
            f'expected a pack in the format wav, found {pack.manifest.audio_format}; set format = "wav" and bake again'
        )
    folder.mkdir(parents=True, exist_ok=True)
    placed: list[Placed] = []
    for loop in pack.manifest.loops:
        bars = loop.bars or 1
        names = [f"bar {number}" for number in range(1, bars + 1)]
        for file in loop.files:
            pack.read(loop.name, file.stem)  # Checks it.
            data = (pack.folder / file.audio.path).read_bytes()
            path = folder / f"{loop.name}.{file.stem}.wav" if file.stem else folder / f"{loop.name}.wav"
            _write(folder, path.name, with_markers(data, bar_frames(loop.frames, bars), names))
            placed.append((loop, file, path))
    return placed


def _write(folder: Path, name: str, data: bytes) -> None:
    with AtomicFile(folder) as file:
        file.write(data)
        file.commit(name)
