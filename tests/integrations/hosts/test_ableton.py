"""The Live remote script over a real bridge and gateway; Live itself is a stand-in (``live_set.py``)."""

from __future__ import annotations

import importlib.util
import io
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mido
import pytest
from tests.integrations.hosts.live_set import Clip, Live, OldClipSlot, Song
from tests.integrations.hosts.studio import ADDONS, Studio

FOLDER = ADDONS / "ableton" / "Loopmeter"
WAIT_S = 20.0


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The folder, loaded as Live loads it: as a package of its own name."""
    spec = importlib.util.spec_from_file_location("Loopmeter", FOLDER / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["Loopmeter"] = module
    spec.loader.exec_module(module)
    for name in ("osc", "midi", "clips", "surface"):
        importlib.import_module(f"Loopmeter.{name}")
    yield module
    for name in [name for name in sys.modules if name.split(".")[0] == "Loopmeter"]:
        del sys.modules[name]


class Controller:
    """Somebody who asks the script for a loop, and turns Live's display clock."""

    def __init__(self, script: Any, live: Live, bridge_port: int) -> None:
        self._osc = script.osc
        self._surface = script.surface.LoopmeterSurface(live, port=0, bridge=("127.0.0.1", bridge_port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)

    def ask(self, *values: str | int) -> tuple[str, list[Any]]:
        datagram = self._osc.encode("/live/loopmeter/make", *values)
        self._socket.sendto(datagram, ("127.0.0.1", self._surface.port))
        for _ in range(int(WAIT_S / 0.05)):
            self._surface.update_display()
            try:
                heard: tuple[str, list[Any]] = self._osc.decode(self._socket.recv(65_535))
            except TimeoutError:
                continue
            return heard
        raise AssertionError("no answer")

    def close(self) -> None:
        self._surface.disconnect()
        self._socket.close()


def _ask(script: Any, song: Song, port: int, *values: str | int) -> tuple[str, list[Any]]:
    controller = Controller(script, Live(song), port)
    try:
        return controller.ask(*values)
    finally:
        controller.close()


def _only_clip(song: Song, track: str) -> Clip:
    (clip,) = [slot.clip for found in song.tracks if found.name == track for slot in found.clip_slots if slot.clip]
    return clip


def test_a_loop_becomes_an_audio_clip_and_a_midi_clip_at_the_sets_tempo(script: ModuleType, studio: Studio) -> None:
    song = Song(tempo=93.0)
    song.signature_numerator = 3
    assert _ask(script, song, studio.port, "dusty drums", 2, "Am", "seed", 7) == (
        "/live/loopmeter/placed",
        ["dusty drums"],
    )
    audio, notes = _only_clip(song, "Loopmeter"), _only_clip(song, "Loopmeter MIDI")
    for clip in (audio, notes):
        assert (clip.name, clip.looping) == ("dusty drums", True)
        assert (clip.loop_start, clip.loop_end, clip.start_marker, clip.end_marker) == (0.0, 6.0, 0.0, 6.0)
    assert audio.warping is True
    path = Path(str(audio.file_path))
    heard = [message for message in mido.MidiFile(path.with_suffix(".mid")) if message.type == "note_on"]
    assert [note[0] for note in notes.notes] == [message.note for message in heard if message.velocity]
    assert {note[1] for note in notes.notes} == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}  # The fake engine's metronome.


def test_a_full_set_gets_another_scene(script: ModuleType, studio: Studio) -> None:
    song = Song(tempo=120.0)
    controller = Controller(script, Live(song), studio.port)
    try:
        for prompt in ("one", "two"):
            assert controller.ask(prompt, 1, "Am")[0] == "/live/loopmeter/placed"
    finally:
        controller.close()
    names = [[slot.clip.name for slot in track.clip_slots if slot.clip] for track in song.tracks]
    assert names == [["one", "two"], ["one", "two"]]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("dusty drums", 2, "H"), "bad_arguments key: expected a key such as"),
        (("dusty drums",), "expected /live/loopmeter/make s:prompt i:bars s:key"),
        (("dusty drums", 2, "Am", "max_tokens", 1), "over_budget "),
    ],
)
def test_a_mistake_comes_back_to_the_one_who_asked(
    script: ModuleType, studio: Studio, values: tuple[str | int, ...], said: str
) -> None:
    song = Song(tempo=93.0)
    address, (message,) = _ask(script, song, studio.port, *values)
    assert (address, message[: len(said)]) == ("/live/loopmeter/error", said)
    assert song.tracks == []


def test_a_live_that_cannot_make_audio_clips_is_told(script: ModuleType, studio: Studio) -> None:
    _, (message,) = _ask(script, Song(93.0, slot=OldClipSlot), studio.port, "dusty drums", 1, "Am")
    assert "expected Live 12.0.5 or newer" in message


def test_a_metre_in_eighths_is_refused(script: ModuleType, studio: Studio) -> None:
    song = Song(93.0)
    song.signature_denominator = 8
    _, (message,) = _ask(script, song, studio.port, "dusty drums", 1, "Am")
    assert message == "expected a time signature of 2/4 to 6/4, found 4/8"


def test_notes_are_read_in_beats_from_every_track(script: Any) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    for pitch, start in ((60, 0), (38, 720)):
        track = file.add_track()
        track.append(mido.MetaMessage("set_tempo", tempo=500_000))
        track.append(mido.Message("program_change", program=4))
        track.append(mido.Message("note_on", note=pitch, velocity=90, time=start))
        track.append(mido.Message("note_on", note=pitch, velocity=0, time=240))
    data = io.BytesIO()
    file.save(file=data)
    assert script.midi.notes_of(data.getvalue()) == [(60, 0.0, 0.5, 90), (38, 1.5, 0.5, 90)]
    with pytest.raises(ValueError, match="Standard MIDI File"):
        script.midi.notes_of(b"RIFF")


def test_other_datagrams_are_ignored(script: Any) -> None:
    for datagram in (b"", b"#bundle\0", b"/a\0\0,h\0\0" + bytes(8), b"/a\0\0,i\0\0\0", b"no address"):
        assert script.osc.decode(datagram) is None
