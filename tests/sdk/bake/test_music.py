"""``music.toml``: what is read from it, and how wrong ones are refused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from loopmeter import wav_bytes
from loopmeter.bake import InvalidMusicFile, load_music

FIRST, SECOND = (wav_bytes(byte * 8, 44_100, 1, 16) for byte in (b"\1", b"\2"))

DUNGEON = """
[pack]
name = "dungeon"
max_tokens = 6000

[defaults]
tempo_bpm = 96
key = "Dm"
bars = 4

[[loop]]
name = "explore"
prompt = "calm dungeon"

[[loop]]
name = "battle"
prompt = "fierce battle"
tempo_bpm = 140
stems = { lead = 0.6, drums = 0.0, bass = 0.0 }
phrase_bars = 2

[[stinger]]
name = "treasure"
prompt = "short bright flourish"
bars = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "music.toml"
    path.write_text(text)
    return path


def test_defaults_hold_where_a_loop_says_nothing(tmp_path: Path) -> None:
    music = load_music(written(tmp_path, DUNGEON))

    assert [(loop.name, loop.kind, loop.request.tempo_bpm, loop.request.bars) for loop in music.loops] == [
        ("explore", "loop", 96, 4),
        ("battle", "loop", 140, 4),
        ("treasure", "stinger", 96, 1),
    ]
    assert {loop.request.key for loop in music.loops} == {"Dm"}
    assert (music.pack.name, music.pack.format, music.pack.max_tokens) == ("dungeon", "wav", 6000)


def test_each_stem_is_one_request_of_the_same_plan_with_one_layer(tmp_path: Path) -> None:
    music = load_music(written(tmp_path, DUNGEON))
    battle = music.loops[1]
    items = {item.file_stem: item.request for item in battle.items()}

    assert list(items) == ["battle.drums", "battle.bass", "battle.lead"]
    assert [request.layers for request in items.values()] == [("drums",), ("bass",), ("lead",)]
    assert {request.model_copy(update={"layers": None}) for request in items.values()} == {battle.request}


def test_stems_as_a_list_all_enter_at_once(tmp_path: Path) -> None:
    text = DUNGEON.replace("{ lead = 0.6, drums = 0.0, bass = 0.0 }", '["drums", "pad"]')

    assert load_music(written(tmp_path, text)).loops[1].stems == {"drums": 0.0, "pad": 0.0}


def test_a_midi_file_beside_the_list_becomes_the_notes_of_the_loop(tmp_path: Path) -> None:
    (tmp_path / "theme.mid").write_bytes(b"MThd notes")
    music = load_music(written(tmp_path, DUNGEON.replace("bars = 1", 'bars = 1\nmidi = "theme.mid"')))

    assert music.loops[2].request.midi_base64 == base64.b64encode(b"MThd notes").decode()


def test_sounds_beside_the_list_are_part_of_the_request_and_of_its_key(tmp_path: Path) -> None:
    text = DUNGEON.replace("bars = 1", 'bars = 1\ntask = "continue"\nsource = "a.wav"\nreference = "deep/b.wav"')
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.wav").write_bytes(FIRST)
    (tmp_path / "deep" / "b.wav").write_bytes(SECOND)
    before = load_music(written(tmp_path, text)).items()[-1]
    (tmp_path / "deep" / "b.wav").write_bytes(FIRST)
    after = load_music(written(tmp_path, text)).items()[-1]

    assert before.request.source_audio_base64 == base64.b64encode(FIRST).decode()
    assert before.request.reference_audio_base64 == base64.b64encode(SECOND).decode()
    assert before.request_sha256 != after.request_sha256
    assert after == load_music(written(tmp_path, text)).items()[-1]


def test_a_sound_in_the_defaults_is_that_of_every_loop(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(FIRST)
    music = load_music(written(tmp_path, DUNGEON.replace("bars = 4", 'bars = 4\nreference = "a.wav"')))

    assert {loop.request.reference_audio_base64 for loop in music.loops} == {base64.b64encode(FIRST).decode()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DUNGEON.replace("bars = 1", "bars = 0"),
            "'treasure': bars: Input should be greater than or equal to 1",
        ),
        (DUNGEON.replace("bars = 1", "tempo = 1"), "'treasure': tempo: Extra inputs are not permitted, found 1"),
        (DUNGEON.replace('"treasure"', '"../x"'), "name: String should match pattern"),
        (DUNGEON.replace('"treasure"', '"battle"'), "expected each name once, found 'battle' twice"),
        (DUNGEON.replace("drums = 0.0, bass = 0.0", "drums = 0.1"), "expected a stem that enters at 0"),
        (DUNGEON.replace("lead = 0.6", "flute = 0.6"), "stems.flute"),
        (DUNGEON.replace("phrase_bars = 2", 'layers = ["drums"]'), "expected stems or layers, found both"),
        (DUNGEON.replace('prompt = "calm dungeon"', ""), "'explore': prompt: Field required"),
        (DUNGEON.replace("[[stinger]]", "[[stingers]]"), "found 'stingers'"),
        (DUNGEON.replace("[[stinger]]", "[stinger]"), "expected tables under [[stinger]]"),
        (DUNGEON.replace("[defaults]", "defaults = 1\n[other]"), "expected the tables"),
        (DUNGEON.replace("bars = 1", 'midi = "none.mid"'), "midi: expected a file that can be read, found 'none.mid'"),
        (DUNGEON.replace("bars = 1", 'midi = "music.toml"'), "midi: expected a Standard MIDI File, found 'music.toml'"),
        (DUNGEON.replace("bars = 1", 'source = "none.wav"'), "'treasure': source: expected a file that can be read"),
        (DUNGEON.replace("bars = 1", 'reference = "music.toml"'), "reference: expected a WAV, FLAC or Ogg file, found"),
        (DUNGEON.replace("bars = 1", "source = 3"), "source: expected the path of a file, found 3"),
        (DUNGEON.replace("bars = 1", 'midi = "a"\nmidi_base64 = "b"'), "expected midi or midi_base64, found both"),
        ('[pack]\nname = "empty"', "loops: Tuple should have at least 1 item"),
        ("[pack\n", "expected TOML"),
    ],
    ids=[
        "field out of range",
        "unknown field",
        "name that leaves the folder",
        "name twice",
        "silence at intensity 0",
        "unknown stem",
        "stems and layers",
        "no prompt",
        "unknown table",
        "one table instead of several",
        "defaults that are none",
        "missing midi",
        "midi that is none",
        "missing source",
        "reference that is no sound",
        "source that is no path",
        "notes twice",
        "no loops",
        "not toml",
    ],
)
def test_a_wrong_list_is_refused_with_the_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidMusicFile) as caught:
        load_music(written(tmp_path, text))

    assert message in str(caught.value)
    assert str(tmp_path / "music.toml") in str(caught.value)


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidMusicFile, match=r"expected a readable file.*pass the path of a music\.toml"):
        load_music(tmp_path / "none.toml")
