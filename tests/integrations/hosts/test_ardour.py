"""The Ardour adapter against a real Ardour, and its session file as Ardour itself saves it."""

from __future__ import annotations

import os
import subprocess
import wave
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.e2e.gateway_process import PROGRAM
from tests.integrations.hosts.ardour import new_session, region_as_opened, rolling_ardour
from tests.integrations.hosts.studio import ADDONS, Studio, needs

from loopmeter import wav_bytes
from loopmeter_integrations.ardour import ArdourControl, ArdourSession, ArdourSilent, SessionError
from loopmeter_integrations.ardour._control import decode
from loopmeter_integrations.ardour._session import Bar
from loopmeter_integrations.osc._codec import encode_message

SUPERCLOCKS_PER_FRAME = 282_240_000 // 44_100
BPM = 93.0
BAR_3_FRAME = round(2 * 4 * 60 / BPM * 44_100)
FRAMES = round(2 * 4 * 60 / BPM * 44_100)


@needs("ardour7-new_session", "ardour7-lua", "jackd")
def test_a_loop_at_ardours_tempo_is_on_bar_3_of_the_session_that_ardour_saves(studio: Studio, tmp_path: Path) -> None:
    file = new_session(tmp_path / "song", tmp_path, tempo_bpm=BPM, track="Loops")
    with rolling_ardour(file, tmp_path) as control:
        assert control.session_name() == "song"
        adapter = _start_adapter(studio, file, control.port)
        assert adapter.stdout is not None
        assert adapter.stdout.readline().startswith("the loop is made; close the session 'song'")
    rest, _ = adapter.communicate(timeout=30)
    assert rest.partition(" is on ")[2] == f"track 'Loops' at bar 3, frame {BAR_3_FRAME}\n"
    assert adapter.returncode == 0
    with rolling_ardour(file, tmp_path) as control:
        control.stop()
        control.locate(BAR_3_FRAME)
        control.send("/add_marker", "bar 3")
        control.save(file)

    session = ET.parse(file).getroot()
    (mark,) = [location for location in session.iter("Location") if location.get("name") == "bar 3"]
    (region,) = session.findall("Playlists/Playlist[@name='Loops']/Region")
    start, frames = f"a{BAR_3_FRAME * SUPERCLOCKS_PER_FRAME}", f"a{FRAMES * SUPERCLOCKS_PER_FRAME}"
    assert (mark.get("start"), region.get("length"), region.get("start")) == (start, f"{frames}@{start}", "a0")
    (source,) = session.findall("Sources/Source")
    assert region.get("source-0") == source.get("id")
    wav_path = ArdourSession(file).audio_folder / source.get("name", "")
    with wave.open(str(wav_path)) as wav:
        assert (wav.getnframes(), wav.getframerate()) == (FRAMES, 44_100)
    assert list((wav_path.parents[1] / "midifiles").glob("*.mid"))


@pytest.mark.timeout(300)  # Ardour and JACK may have to be started several times.
@needs("ardour7-new_session", "ardour7-lua", "jackd", "Xvfb")
def test_the_script_action_brings_the_loop_into_the_open_session(studio: Studio, tmp_path: Path) -> None:
    """In Ardour's own window, on a screen that nobody sees. Ardour saves it, and finds it again."""
    file = new_session(tmp_path / "song", tmp_path, tempo_bpm=BPM, track="Loops")
    action = ADDONS / "ardour" / "loopmeter.lua"
    with rolling_ardour(file, tmp_path, action) as control:
        adapter = _start_adapter(studio, file, control.port, "--action", "script-1")
        said, _ = adapter.communicate(timeout=60)
        assert said.splitlines()[1].partition(" is on ")[2] == f"track 'Loops' at bar 3, frame {BAR_3_FRAME}"
        assert adapter.returncode == 0
        control.save(file)
    assert region_as_opened(file, tmp_path, "Loops") == [f"{BAR_3_FRAME} {FRAMES}"]
    (region,) = ET.parse(file).getroot().findall("Playlists/Playlist[@name='Loops']/Region")
    assert (region.get("fade-in-active"), region.get("fade-out-active")) == ("0", "0")
    assert list(file.parent.glob("loopmeter-*")) == []


@needs("ardour7-new_session", "ardour7-lua")
def test_a_session_at_another_rate_gets_the_loop_at_its_rate(studio: Studio, tmp_path: Path) -> None:
    file = new_session(tmp_path / "song", tmp_path, tempo_bpm=BPM, track="Loops", rate_hz=48_000)
    adapter = _start_adapter(studio, file, 9)
    said, _ = adapter.communicate(timeout=60)
    frames = round(2 * 4 * 60 / BPM * 48_000)
    assert said.partition(" is on ")[2] == f"track 'Loops' at bar 3, frame {frames}\n"
    assert region_as_opened(file, tmp_path, "Loops") == [f"{frames} {frames}"]
    (wav_path,) = ArdourSession(file).audio_folder.glob("*.wav")
    with wave.open(str(wav_path)) as wav:
        assert (wav.getnframes(), wav.getframerate(), wav.getsampwidth()) == (frames, 48_000, 3)


def _start_adapter(studio: Studio, file: Path, port: int, *more: str) -> subprocess.Popen[str]:
    place = ("--at-bar", "3", "--track", "Loops", "--osc-port", str(port), *more)
    return subprocess.Popen(
        [*PROGRAM, "adapter", "ardour", str(file), "dusty drums", "--bars", "2", "--key", "Am", *place],
        env=os.environ | {"LOOPMETER_URL": studio.url, "LOOPMETER_API_KEY": studio.key},
        stdout=subprocess.PIPE,
        text=True,
    )


SESSION = """<?xml version="1.0" encoding="UTF-8"?>
<Session version="7002" name="song" sample-rate="44100" id-counter="300">
  <Sources/><Regions/>
  <Routes><Route name="Master"/><Route name="Loops" audio-playlist="277"/></Routes>
  <Playlists><Playlist id="277" name="Loops"/></Playlists>
  <TempoMap superclocks-per-second="282240000">
    <Tempos>
      <Tempo npm="120" enpm="120" note-type="4" type="Tempo::Constant" sclock="0" bbt="1|1|0"/>
      <Tempo npm="60" enpm="60" note-type="4" type="Tempo::Constant" sclock="846720000" bbt="2|3|0"/>
      <Tempo npm="60" enpm="90" note-type="4" type="Tempo::Ramped" sclock="2257920000" bbt="4|1|0"/>
    </Tempos>
    <Meters>
      <Meter note-value="4" divisions-per-bar="4" sclock="0" bbt="1|1|0"/>
      <Meter note-value="4" divisions-per-bar="3" sclock="1411200000" bbt="3|1|0"/>
      <Meter note-value="8" divisions-per-bar="6" sclock="5644800000" bbt="9|1|0"/>
    </Meters>
  </TempoMap>
</Session>
"""


@pytest.fixture
def song(tmp_path: Path) -> ArdourSession:
    (tmp_path / "song.ardour").write_text(SESSION)
    (tmp_path / "interchange" / tmp_path.name / "audiofiles").mkdir(parents=True)
    return ArdourSession(tmp_path)


def test_bars_follow_changes_of_tempo_and_metre(song: ArdourSession) -> None:
    """Bar 2 ends with two beats at 60: 2 s + 1 s + 2 s."""
    assert [song.bar(number) for number in (1, 2, 3)] == [
        Bar(0, 120.0, 4),
        Bar(88_200, 120.0, 4),
        Bar(220_500, 60.0, 3),
    ]


@pytest.mark.parametrize(
    ("bar", "said"),
    [(0, "a bar from 1 on, found 0"), (4, "steady tempo at bar 4"), (9, "steady tempo")],
)
def test_a_bar_that_cannot_take_a_loop_is_refused(song: ArdourSession, bar: int, said: str) -> None:
    with pytest.raises(SessionError, match=said):
        song.bar(bar)


def test_a_stereo_loop_has_a_source_for_each_channel(song: ArdourSession) -> None:
    wav = song.audio_folder / "wide.wav"
    wav.write_bytes(wav_bytes(bytes(6 * 1000), 44_100, 2, 24))
    before = song.path.read_bytes()
    region = song.insert(wav, "Loops", 220_500)
    song.save()
    root = ET.parse(song.path).getroot()
    sources = root.findall("Sources/Source")
    assert [source.get("channel") for source in sources] == ["0", "1"]
    (placed,) = root.findall("Playlists/Playlist/Region")
    assert (placed.get("id"), placed.get("channels")) == (region, "2")
    assert [placed.get("source-0"), placed.get("source-1")] == [source.get("id") for source in sources]
    ids = [element.get("id") for element in root.iter() if element.get("id") and element.tag != "Playlist"]
    assert len(set(ids)) == len(ids)
    assert int(root.get("id-counter", "0")) > max(int(id_ or 0) for id_ in ids)
    assert song.path.with_name("song.ardour.before-loopmeter").read_bytes() == before


def test_what_does_not_fit_a_session_is_refused_in_words(song: ArdourSession, tmp_path: Path) -> None:
    wav = song.audio_folder / "fast.wav"
    wav.write_bytes(wav_bytes(bytes(2000), 48_000, 1, 16))
    with pytest.raises(SessionError, match="a session at 48000 Hz, found 44100 Hz"):
        song.insert(wav, "Loops", 0)
    with pytest.raises(SessionError, match=r"one of the audio tracks \(Loops\), found 'Drums'"):
        song.check_track("Drums")
    with pytest.raises(SessionError, match="expected a file in"):
        song.insert(tmp_path / "elsewhere.wav", "Loops", 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [("<Session version='3002'/>", "Ardour 7 or newer, found version 3002"), ("no xml", "an Ardour session, found")],
)
def test_what_is_no_session_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "old.ardour").write_text(text)
    with pytest.raises(SessionError, match=said):
        ArdourSession(tmp_path)


def test_an_ardour_that_is_not_there_is_told() -> None:
    with ArdourControl(port=9, answer_s_max=0.3) as control:
        assert not control.is_there()
        with pytest.raises(ArdourSilent, match="switch OSC on"):
            control.session_name()


def test_ardours_own_kinds_of_answers_are_read() -> None:
    assert decode(b"#reply\0\0,shhi\0\0\0end_route_list\0\0" + bytes(7) + b"\5" + bytes(8) + bytes(3) + b"\2") == (
        "#reply",
        ("end_route_list", 5, 0, 2),
    )
    assert decode(encode_message("/heartbeat", "f", [1.0])) == ("/heartbeat", (1.0,))
    assert decode(b"/cut\0\0\0\0,h\0\0\0\0") is None
    assert decode(b"") is None
