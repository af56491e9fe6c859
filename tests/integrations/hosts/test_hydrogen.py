"""The Hydrogen adapter against a real Hydrogen without a window, and the song as Hydrogen itself saves it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import wave
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.e2e.gateway_process import run_program
from tests.integrations.hosts.jack import dummy_jack, end_process
from tests.integrations.hosts.studio import Studio, needs

from loopmeter_integrations.hydrogen import HydrogenSong, SongError, main
from loopmeter_integrations.osc._codec import encode_message

DATA = Path("/usr/share/hydrogen/data")
WAIT_S = 15.0
STARTS_MAX = 4


@needs("hydrogen", "jackd")
def test_a_loop_at_the_songs_tempo_is_the_playback_track_that_hydrogen_saves(studio: Studio, tmp_path: Path) -> None:
    song, saved = tmp_path / "song.h2song", tmp_path / "saved.h2song"
    _song_at(93, song)
    before = song.read_bytes()

    environment = os.environ | {"LOOPMETER_URL": studio.url, "LOOPMETER_API_KEY": studio.key}
    words = ("dusty drums", "--bars", "2", "--key", "Am")
    said = run_program("adapter", "hydrogen", str(song), *words, env=environment)
    _save_again_in_hydrogen(song, saved, tmp_path)

    copy = ET.parse(saved)
    wav_path = Path(copy.findtext("playbackTrackFilename", ""))
    assert said == f"{wav_path.name} is the playback track of song.h2song, at 93 bpm\n"
    assert (copy.findtext("playbackTrackEnabled"), copy.findtext("bpm")) == ("true", "93")
    assert (
        len(copy.findall("instrumentList/instrument")) == len(ET.parse(song).findall("instrumentList/instrument")) > 0
    )
    with wave.open(str(wav_path)) as wav:
        assert wav.getnframes() == round(2 * 4 * 60 / 93 * 44_100)
    assert wav_path.with_suffix(".mid").is_file()
    assert song.with_name("song.h2song.before-loopmeter").read_bytes() == before


def test_a_running_hydrogen_is_told_to_open_the_song_again(studio: Studio, tmp_path: Path) -> None:
    song = tmp_path / "song.h2song"
    song.write_text("<song><bpm>93</bpm></song>")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hydrogen:
        hydrogen.bind(("127.0.0.1", 0))
        hydrogen.settimeout(20)
        environment = os.environ | {"LOOPMETER_URL": studio.url, "LOOPMETER_API_KEY": studio.key}
        words = ("drums", "--bars", "1", "--reopen", "--osc-port", str(hydrogen.getsockname()[1]))
        run_program("adapter", "hydrogen", str(song), *words, env=environment)
        assert hydrogen.recv(1000) == encode_message("/Hydrogen/OPEN_SONG", "s", [str(song)])


def _song_at(tempo_bpm: int, path: Path) -> None:
    """One of Hydrogen's own songs, at another tempo."""
    song = ET.parse(DATA / "demo_songs" / "GM_kit_demo1.h2song")
    for element in song.iter("bpm"):
        element.text = str(tempo_bpm)
    song.write(path, encoding="UTF-8", xml_declaration=True)


def _save_again_in_hydrogen(song: Path, saved: Path, home: Path) -> None:
    """Have Hydrogen open a song and save it elsewhere.

    Hydrogen 1.2 crashes on a message that comes before it is up, and cannot be asked whether it is: a start that ends
    so is followed by one that is left alone for longer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    home.chmod(0o700)
    (home / ".hydrogen").mkdir()
    config = ET.parse(DATA / "hydrogen.default.conf")
    for name, value in (("oscServerPort", str(port)), ("oscEnabled", "true")):
        for element in config.iter(name):
            element.text = value
    config.write(home / ".hydrogen" / "hydrogen.conf", encoding="UTF-8", xml_declaration=True)
    for attempt in range(1, STARTS_MAX + 1):
        with dummy_jack(home) as environment:
            hydrogen = subprocess.Popen(
                ["hydrogen", "-d", "jack", "-n", "-s", str(song)],
                env=environment | {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(home)},
                start_new_session=True,  # It ends its whole process group when it crashes.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                time.sleep(2 * attempt)
                _save_until_it_is_there(hydrogen, port, saved)
            finally:
                end_process(hydrogen)
        if saved.exists():
            return
    raise AssertionError("Hydrogen did not save the song")


def _save_until_it_is_there(hydrogen: subprocess.Popen[bytes], port: int, saved: Path) -> None:
    until = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not saved.exists() and hydrogen.poll() is None and time.monotonic() < until:
            sender.sendto(encode_message("/Hydrogen/SAVE_SONG_AS", "s", [str(saved)]), ("127.0.0.1", port))
            time.sleep(0.5)
    time.sleep(0.5)  # The file is there before it is whole.


def test_what_is_no_song_is_refused_before_anything_is_paid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.h2song"
    other.write_text("<drumkit/>")
    with pytest.raises(SongError, match="expected a song of Hydrogen"):
        HydrogenSong(other)
    assert main([str(tmp_path / "missing.h2song"), "drums"]) == 1
    assert "save one in Hydrogen first" in capsys.readouterr().err
