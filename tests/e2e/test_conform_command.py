"""``loopmeter conform``: what it says of a recording, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from loopmeter._cli._program import program

RATE_HZ = 44_100


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clicks at 117.6 bpm, and noise that swells."""
    monkeypatch.chdir(tmp_path)
    clicks = np.zeros(5 * RATE_HZ)
    clicks[4_410::22_500] = 0.9
    soundfile.write("clicks.wav", clicks, RATE_HZ)
    texture = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ)
    soundfile.write("texture.wav", texture, RATE_HZ)


def conform(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["conform", *arguments, "--bpm", "120", "--bars", "2"])


def test_it_says_what_was_heard_and_what_came_of_it() -> None:
    result = conform("clicks.wav")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("clicks-conformed.wav: 176400 frames; heard 117.60 bpm, asked 120, now 120.0")
    assert soundfile.info("clicks-conformed.wav").frames == 176_400


def test_a_texture_has_no_tempo_of_its_own_to_be_told() -> None:
    told = ["--played-bpm", "118"]
    result = conform("texture.wav", *told)

    assert result.exit_code == 0, result.output
    assert "told 118.00 bpm, asked 120, without beats to hear;" in result.stdout
    assert json.loads(conform("texture.wav", *told, "--json").stdout)["conformed_bpm"] is None


def test_what_has_no_beats_is_refused_with_the_way_out() -> None:
    result = conform("texture.wav")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "--played-bpm" in result.stderr
