"""An Ardour session file: where its bars are, and a loop as a region on a track. No network, no Ardour.

Ardour imports files through its editor window only, neither over OSC nor in its headless form; the session file is the
way that works in both. Times in it are superclocks, of which 282,240,000 make a second: a whole number for every
sample of all usual rates, so positions are exact.
"""

from __future__ import annotations

import os
import wave
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from loopmeter import LoopmeterError

VERSION_MIN = 7000  # Ardour 7 counts in superclocks; older files count samples in other attributes.


class SessionError(LoopmeterError):
    """The session cannot be read, or the loop does not fit into it. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the session: where it begins, and the tempo and metre there."""

    frame: int
    tempo_bpm: float
    beats_per_bar: int


class ArdourSession:
    """The session file at ``path``, or the only one in the folder ``path``, as it was saved last.

    Nothing is written before ``save``. While Ardour has the session open it would write over the change, so close the
    session first.
    """

    def __init__(self, path: Path) -> None:
        self.path = _session_file(path)
        try:
            self._root = ET.parse(self.path).getroot()
        except ET.ParseError as error:
            raise SessionError(f"{self.path}: expected an Ardour session, found: {error}") from error
        version = self._root.get("version", "0")
        if self._root.tag != "Session" or not version.isdigit() or int(version) < VERSION_MIN:
            raise SessionError(
                f"{self.path}: expected a session of Ardour 7 or newer, found version {version}; "
                "open it in Ardour 7 and save it"
            )
        self.name = self._root.get("name", self.path.stem)
        self.sample_rate_hz = int(self._root.get("sample-rate", "0"))
        self._superclocks_per_s = int(self._one("TempoMap").get("superclocks-per-second", "282240000"))

    @property
    def audio_folder(self) -> Path:
        """Where Ardour keeps the sound of this session."""
        return self.path.parent / "interchange" / self.path.parent.name / "audiofiles"

    def tracks(self) -> list[str]:
        """The names of the audio tracks."""
        return [route.get("name", "") for route in self._audio_tracks()]

    def bar(self, number: int) -> Bar:
        """Bar ``number``, counted from 1.

        Raises:
            SessionError: there is no such bar, its metre is not in quarters, or the tempo glides there.
        """
        if number < 1:
            raise SessionError(f"expected a bar from 1 on, found {number}")
        tempo = self._marker("Tempos", number)
        meter = self._marker("Meters", number)
        if tempo.get("type", "").endswith("Ramped") or tempo.get("enpm", tempo.get("npm")) != tempo.get("npm"):
            raise SessionError(f"expected a steady tempo at bar {number}, found one that glides; set it to constant")
        beats, note_value = int(meter.get("divisions-per-bar", "4")), int(meter.get("note-value", "4"))
        if note_value != 4 or not 2 <= beats <= 6:
            raise SessionError(f"expected a metre of 2/4 to 6/4 at bar {number}, found {beats}/{note_value}")
        quarters_per_minute = float(tempo.get("npm", "120")) * 4 / int(tempo.get("note-type", "4"))
        last = max((tempo, meter), key=lambda marker: int(marker.get("sclock", "0")))
        bar, beat, ticks = _bbt(last)
        quarters = (number - bar) * beats - (beat - 1) - ticks / 1920
        seconds = int(last.get("sclock", "0")) / self._superclocks_per_s + quarters * 60 / quarters_per_minute
        return Bar(round(seconds * self.sample_rate_hz), quarters_per_minute, beats)

    def check_track(self, track: str) -> None:
        """Raises ``SessionError`` unless there is an audio track of that name."""
        self._playlist(track)

    def check_rate(self, sample_rate_hz: int) -> None:
        """Raises ``SessionError`` unless sound of that rate plays at its own speed here."""
        if sample_rate_hz != self.sample_rate_hz:
            raise SessionError(
                f"expected a session at {sample_rate_hz} Hz, found {self.sample_rate_hz} Hz, which would play the loop "
                f"at the wrong speed; make a session at {sample_rate_hz} Hz, or import the file in Ardour's own window"
            )

    def insert(self, wav: Path, track: str, frame: int) -> str:
        """Put a WAV file that lies in ``audio_folder`` on a track, at a frame. Gives the region's id.

        Raises:
            SessionError: no such audio track, or the file is elsewhere or at another sample rate.
        """
        if wav.parent.resolve() != self.audio_folder.resolve():
            raise SessionError(f"expected a file in {self.audio_folder}, found {wav}; put it there first")
        with wave.open(str(wav)) as sound:
            rate, channels, frames = sound.getframerate(), sound.getnchannels(), sound.getnframes()
        self.check_rate(rate)
        sources = [self._new_id() for _ in range(channels)]
        for channel, source in enumerate(sources):
            ET.SubElement(
                self._one("Sources"),
                "Source",
                {"name": wav.name, "take-id": "", "type": "audio", "flags": "", "id": source, "channel": str(channel)}
                | {"origin": str(wav), "gain": "1"},
            )
        playlist = self._playlist(track)
        whole = self._region(wav.stem, sources, frames, 0, whole_file=True)
        self._one("Regions").append(whole)
        placed = self._region(wav.stem, sources, frames, frame, whole_file=False)
        playlist.append(placed)
        return placed.attrib["id"]

    def save(self) -> None:
        """Write the session whole or not at all. What it was stays beside it, with ``.before-loopmeter`` at the end."""
        backup = self.path.with_name(self.path.name + ".before-loopmeter")
        written = self.path.with_name(self.path.name + ".loopmeter-tmp")
        backup.write_bytes(self.path.read_bytes())
        ET.indent(self._root)
        ET.ElementTree(self._root).write(written, encoding="UTF-8", xml_declaration=True)
        os.replace(written, self.path)

    def _one(self, tag: str) -> ET.Element:
        found = self._root.find(tag)
        if found is None:
            raise SessionError(f"{self.path}: expected an element {tag}, found none; save the session in Ardour again")
        return found

    def _audio_tracks(self) -> list[ET.Element]:
        return [route for route in self._one("Routes") if route.get("audio-playlist") is not None]

    def _playlist(self, track: str) -> ET.Element:
        ids = [route.get("audio-playlist") for route in self._audio_tracks() if route.get("name") == track]
        for playlist in self._one("Playlists"):
            if playlist.get("id") in ids:
                return playlist
        known = ", ".join(self.tracks()) or "none"
        raise SessionError(f"expected one of the audio tracks ({known}), found {track!r}; add it in Ardour and save")

    def _marker(self, group: str, bar: int) -> ET.Element:
        """The last tempo or metre that holds at the beginning of the bar."""
        markers = self._one("TempoMap").find(group)
        found = [marker for marker in markers if _bbt(marker) <= (bar, 1, 0)] if markers is not None else []
        if not found:
            raise SessionError(f"{self.path}: expected {group.lower()} at bar {bar}, found none")
        return max(found, key=_bbt)

    def _region(self, name: str, sources: list[str], frames: int, position: int, *, whole_file: bool) -> ET.Element:
        region = ET.Element(
            "Region",
            {"name": name, "id": self._new_id(), "type": "audio", "whole-file": str(int(whole_file))}
            | {"muted": "0", "opaque": "1", "locked": "0", "start": "a0", "channels": str(len(sources))}
            | {"length": f"a{self._superclocks(frames)}@a{self._superclocks(position)}"}
            # A loop joins its own end without a click; a fade at its edges would make one.
            | {"default-fade-in": "0", "default-fade-out": "0", "fade-in-active": "0", "fade-out-active": "0"}
            | {"envelope-active": "0", "scale-amplitude": "1", "layering-index": "0", "first-edit": "nothing"},
        )
        for channel, source in enumerate(sources):
            region.set(f"source-{channel}", source)
            region.set(f"master-source-{channel}", source)
        return region

    def _superclocks(self, frame: int) -> int:
        return frame * self._superclocks_per_s // self.sample_rate_hz

    def _new_id(self) -> str:
        number = int(self._root.get("id-counter", "0"))
        self._root.set("id-counter", str(number + 1))
        return str(number)


def _bbt(marker: ET.Element) -> tuple[int, int, int]:
    bar, beat, ticks = (int(part) for part in marker.get("bbt", "1|1|0").split("|"))
    return bar, beat, ticks


def _session_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.ardour"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise SessionError(f"{path}: expected one session file, found {names}; name the file itself")
        return found[0]
    if not path.is_file():
        raise SessionError(f"{path}: expected an Ardour session file or folder, found nothing")
    return path
