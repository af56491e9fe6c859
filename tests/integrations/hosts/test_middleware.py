"""Packs for FMOD and Wwise: baked by the command line against a real gateway, exported, and read back."""

from __future__ import annotations

import csv
import os
import struct
import subprocess
from pathlib import Path

import pytest
import soundfile
from tests.e2e.gateway_process import run_program
from tests.integrations.hosts.studio import Studio

from loopmeter import wav_bytes
from loopmeter_integrations.adapters import load_adapter
from loopmeter_integrations.middleware import bar_frames, with_markers

MUSIC = """
[pack]
name = "dungeon"
[defaults]
tempo_bpm = 93
key = "Dm"
bars = 2
beats_per_bar = 3
[[loop]]
name = "battle"
prompt = "fierce drums"
stems = { drums = 0.0, bass = 0.5 }
[[stinger]]
name = "treasure"
prompt = "short flourish"
bars = 1
"""
FRAMES = round(2 * 3 * 60 / 93 * 44_100)


@pytest.fixture(scope="module")
def pack(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bake")
    (folder / "music.toml").write_text(MUSIC)
    environment = os.environ | {"LOOPMETER_URL": studio.url, "LOOPMETER_API_KEY": studio.key}
    run_program("bake", "music.toml", "-o", "pack", "--yes", env=environment, cwd=folder)
    return folder / "pack"


def _chunks(wav: bytes) -> dict[bytes, bytes]:
    found, at = {}, 12
    while at < len(wav):
        size = struct.unpack_from("<I", wav, at + 4)[0]
        found[wav[at : at + 4] + (wav[at + 8 : at + 12] if wav[at : at + 4] == b"LIST" else b"")] = wav[
            at + 8 : at + 8 + size
        ]
        at += 8 + size + size % 2
    assert at == len(wav) == struct.unpack_from("<I", wav, 4)[0] + 8
    return found


def test_stems_keep_their_sound_and_get_a_marker_on_every_bar(pack: Path, tmp_path: Path) -> None:
    assert load_adapter("fmod")([str(pack), "-o", str(tmp_path)]) == 0
    for stem in ("drums", "bass"):
        path = tmp_path / f"battle.{stem}.wav"
        (original,) = [file for file in pack.rglob("*.wav") if "battle" in file.name and stem in file.name]
        sound, rate = soundfile.read(path, dtype="int16")
        assert (len(sound), rate) == (FRAMES, 44_100)
        assert (sound == soundfile.read(original, dtype="int16")[0]).all()
        chunks = _chunks(path.read_bytes())
        assert b"smpl" in chunks
        count, *points = struct.unpack("<I" + "II4sIII" * 2, chunks[b"cue "])
        assert (count, points[1], points[7]) == (2, 0, round(FRAMES / 2))
        assert b"bar 1\0" in chunks[b"LISTadtl"] and b"bar 2\0" in chunks[b"LISTadtl"]


def test_the_sheet_for_fmod_has_tempo_length_and_intensity(pack: Path, tmp_path: Path) -> None:
    load_adapter("fmod")([str(pack), "-o", str(tmp_path)])
    sheet = (tmp_path / "import-fmod.md").read_text()
    assert f"from 0 to {FRAMES / 44_100:.6f} s ({FRAMES} samples)" in sheet
    assert "Tempo marker at 0: 93 bpm, 3/4." in sheet
    assert "| `battle.drums.wav` | always 0 dB |" in sheet
    assert "| `battle.bass.wav` | silent below 0.5, 0 dB from there on |" in sheet
    assert sheet.count("Loop region") == 1  # Not for the stinger.


def test_the_table_for_wwise_names_every_file_once(pack: Path, tmp_path: Path) -> None:
    assert load_adapter("wwise")([str(pack), "-o", str(tmp_path)]) == 0
    with (tmp_path / "import-wwise.txt").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [Path(row["Audio File"]).name for row in rows] == ["battle.drums.wav", "battle.bass.wav", "treasure.wav"]
    assert all(Path(row["Audio File"]).is_file() for row in rows)
    assert rows[0]["Object Path"].endswith("<Music Segment>battle\\<Music Track>battle drums")
    assert (rows[0]["Property:Tempo"], rows[0]["Property:TimeSignatureUpper"]) == ("93", "3")


def test_markers_replace_markers_and_nothing_else() -> None:
    plain = wav_bytes(bytes(3), 44_100, 1, 24)
    once = with_markers(plain, [0], ["a"])
    twice = with_markers(once, [0], ["longer name"])
    assert _chunks(twice).keys() == _chunks(once).keys()
    assert _chunks(once)[b"data"] == bytes(3)
    assert bar_frames(1001, 4) == [0, 250, 500, 751]
    with pytest.raises(ValueError, match="expected a WAV file"):
        with_markers(b"OggS", [], [])


def test_what_is_no_pack_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_adapter("wwise")([str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert "expected a pack at" in capsys.readouterr().err


def test_the_command_line_runs_an_adapter_and_hands_its_exit_code_on(pack: Path, tmp_path: Path) -> None:
    assert "import-fmod.md" in run_program("adapter", "fmod", str(pack), "-o", str(tmp_path))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_program("adapter", "fmod", str(tmp_path / "nothing"), "-o", str(tmp_path))
    assert failed.value.returncode == 1
    assert '"fmod"' in run_program("adapters", "--json")
