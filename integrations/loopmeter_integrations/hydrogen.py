"""Loops in Hydrogen: a loop at the song's tempo becomes the song's playback track, under the drum patterns.

Hydrogen has no message that imports sound, but a song file names one; so the file is changed, and a running Hydrogen is
told over OSC to open it again. Tried with Hydrogen 1.2.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from loopmeter import LoopmeterError
from loopmeter_integrations._asking import add_loop_arguments, make_loop
from loopmeter_integrations.osc._codec import encode_message
from loopmeter_integrations.osc._files import AtomicFile, safe_name

DEFAULT_PORT = 9000


class SongError(LoopmeterError):
    """The song cannot be read or written. The message says why and what to do."""


class HydrogenSong:
    """The song file at ``path``, as it was saved last. Nothing is written before ``save``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tree = ET.parse(path)
        except (ET.ParseError, OSError) as error:
            raise SongError(f"{path}: expected a Hydrogen song, found: {error}; save one in Hydrogen first") from error
        if self._tree.getroot().tag != "song" or self._tree.find("bpm") is None:
            raise SongError(f"{path}: expected a song of Hydrogen 1.0 or newer, found another file")

    @property
    def tempo_bpm(self) -> float:
        return float(self._tree.findtext("bpm", "120"))

    def set_playback_track(self, wav: Path) -> None:
        """Play that file under the song, from its start, at full volume."""
        for name, value in (("Filename", str(wav.absolute())), ("Enabled", "true"), ("Volume", "1")):
            element = self._tree.find(f"playbackTrack{name}")
            if element is None:
                element = ET.SubElement(self._tree.getroot(), f"playbackTrack{name}")
            element.text = value

    def save(self) -> None:
        """Write the song whole or not at all. What it was stays beside it, with ``.before-loopmeter`` at the end."""
        backup = self.path.with_name(self.path.name + ".before-loopmeter")
        written = self.path.with_name(self.path.name + ".loopmeter-tmp")
        backup.write_bytes(self.path.read_bytes())
        self._tree.write(written, encoding="UTF-8", xml_declaration=True)
        os.replace(written, self.path)


def main(arguments: Sequence[str]) -> int:
    """Run the command line. An error goes to stderr, and gives 1."""
    parser = argparse.ArgumentParser(
        prog="loopmeter adapter hydrogen",
        description="Make a loop at the tempo of a Hydrogen song, and make it the song's playback track. Save the song "
        "in Hydrogen first: with --reopen it opens the file again, and what was not saved is lost.",
    )
    parser.add_argument("song", type=Path, help="the .h2song file")
    add_loop_arguments(parser, tempo=False)
    parser.add_argument("--reopen", action="store_true", help="tell a running Hydrogen to open the song again")
    parser.add_argument("--osc-port", type=int, default=DEFAULT_PORT)
    told = parser.parse_args(arguments)
    try:
        _run(told)
    except LoopmeterError as error:
        print(f"loopmeter: {error}", file=sys.stderr)
        return 1
    return 0


def _run(told: argparse.Namespace) -> None:
    song = HydrogenSong(told.song)
    loop, midi = make_loop(told, tempo_bpm=song.tempo_bpm)
    name = safe_name(told.song.stem, loop.id)
    try:
        for ending, data in ((".mid", midi), (".wav", loop.wav)):
            with AtomicFile(told.song.absolute().parent) as file:
                file.write(data)
                path = file.commit(name + ending)
        song.set_playback_track(path)
        song.save()
    except OSError as error:
        raise SongError(f"expected to write beside {told.song}, found: {error}; fetch {loop.id} again, free") from error
    if told.reopen:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            message = encode_message("/Hydrogen/OPEN_SONG", "s", [str(told.song.absolute())])
            sender.sendto(message, ("127.0.0.1", told.osc_port))
    print(f"{path.name} is the playback track of {told.song.name}, at {song.tempo_bpm:g} bpm")
