"""The ReaScript in a real Lua 5.3, running the real command line against a real gateway; Reaper is a stand-in."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest
from tests.integrations.hosts.studio import ADDONS, Studio, needs, run_host

pytestmark = needs("lua5.3")
FOLDER = ADDONS / "reaper"
LOOPMETER = str(Path(sys.executable).with_name("loopmeter"))
YES, NO = "6", "7"


def _act(studio: Studio, folder: Path, fields: str, button: str = YES) -> list[str]:
    stand_in = Path(__file__).with_name("reaper.lua")
    script = FOLDER / "loopmeter_make.lua"
    environment = {"LOOPMETER_URL": studio.url, "LOOPMETER_API_KEY": studio.key}
    return run_host("lua5.3", str(stand_in), str(script), LOOPMETER, str(folder), fields, button, **environment)


def test_a_loop_is_priced_made_and_put_on_the_next_bar(studio: Studio, tmp_path: Path) -> None:
    """At 93 bpm in 3/4 a bar takes 1.935 s; the cursor stands at 4 s, so the loop comes at bar 4, 5.806 s."""
    lines = _act(studio, tmp_path, "dusty drums\n2\nAm\n7")
    (wav_path,) = tmp_path.glob("*.wav")
    assert wav_path.name == "loop-dusty-drums-12345.wav"
    with wave.open(str(wav_path)) as wav:
        assert wav.getnframes() == round(2 * 3 * 60 / 93 * 44_100)
    assert wav_path.with_suffix(".mid").is_file()
    assert lines[0].endswith(" tokens. Make it?")
    assert lines[1:] == [
        "cursor 5.806452",
        f"inserted {wav_path}",
        "item D_POSITION 5.806452",
        "item D_LENGTH 3.870968",
        "item B_LOOPSRC 1.000000",
        "item D_FADEINLEN 0.000000",
        "item D_FADEOUTLEN 0.000000",
        "undo Insert a Loopmeter loop",
    ]


def test_no_costs_nothing(studio: Studio, tmp_path: Path) -> None:
    with studio.client() as client:
        before = client.balance()
        lines = _act(studio, tmp_path, "dusty drums\n2\nAm\n7", NO)
        assert client.balance() == before
    assert len(lines) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (" \n2\nAm\n7", "said expected a prompt, found none"),
        ("drums\nfew\nAm\n7", "said expected a whole number of bars from 1 on"),
        ("drums\n2\nAm\n-1", "said expected a seed from 0 on"),
        ("drums\n2\nH\n7", "expected a key such as 'Am'"),
    ],
)
def test_a_mistake_is_said_and_makes_nothing(studio: Studio, tmp_path: Path, fields: str, said: str) -> None:
    (line,) = _act(studio, tmp_path, fields)
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "prompt", ["--help", 'he said "go"', "back\\slash\\", "a; rm -rf x", "tab\tand $HOME `id`", "flat ♭ minor"]
)
def test_a_prompt_is_one_word_of_the_command_whatever_is_in_it(tmp_path: Path, prompt: str) -> None:
    """Split as Windows and Reaper do it: at quotes, with nothing else meaning anything."""
    script = f"""
        local loopmeter = dofile("{FOLDER}/loopmeter.lua")
        local asked = {{ prompt = arg[1], bpm = 93, bars = 2, beats = 4, key = "", seed = 0 }}
        io.write(loopmeter.command("loopmeter", "quote", asked))
    """
    (tmp_path / "command.lua").write_text(script)
    command = subprocess.run(
        ["lua5.3", str(tmp_path / "command.lua"), prompt], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    words = command.removeprefix('"').removesuffix('"').split('" "')
    assert words[-2] == "--"
    assert words[-1] == prompt.replace('"', " ").replace("\t", " ").rstrip("\\")
    assert " ".join(words[:-2]) == "loopmeter quote --json --bpm 93.000000 --bars 2 --beats 4 --seed 0"


def test_the_osc_pattern_names_each_action_once() -> None:
    lines = [line.split() for line in (FOLDER / "Loopmeter.ReaperOSC").read_text().splitlines()]
    patterns = [words for words in lines if words and not words[0].startswith(("#", "DEVICE_"))]
    assert len({words[0] for words in patterns}) == len(patterns)
    assert all(pattern[0] in "nfbtis" and pattern[1] == "/" for words in patterns for pattern in words[1:])
