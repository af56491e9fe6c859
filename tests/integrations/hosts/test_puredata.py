"""The abstractions of integrations/puredata in a real Pure Data, without a window."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import soundfile
from tests.integrations.hosts.studio import ADDONS, Studio, check_conversation, needs, run_host

pytestmark = needs("pd")
FOLDER = ADDONS / "puredata"
PD = ("pd", "-nogui", "-noaudio", "-nomidi", "-stderr", "-noprefs", "-path", str(FOLDER))


def test_pure_data_quotes_makes_cancels_and_hears_its_mistake(studio: Studio, tmp_path: Path) -> None:
    lines = run_host(*PD, "-open", _patch("conversation.pd", tmp_path, PORT=str(studio.port)))
    check_conversation(studio, lines, lambda line: re.sub(r"^heard: ", "", line).replace("\\ ", " "))


def test_the_help_patch_opens_without_a_complaint() -> None:
    assert run_host(*PD, "-open", str(FOLDER / "loopmeter-help.pd"), "-send", "pd quit") == []


def test_the_player_loops_to_the_sample_and_changes_at_the_end_of_a_round(tmp_path: Path) -> None:
    """Pd runs as fast as it can and records itself: three rounds of one loop, then the other one."""
    first, second = _noise(4_410, seed=1), _noise(6_007, seed=2)
    soundfile.write(tmp_path / "first.wav", first, 44_100, subtype="PCM_16")
    soundfile.write(tmp_path / "second.wav", second, 44_100, subtype="PCM_24")
    run_host(*PD[:2], "-batch", *PD[3:], "-r", "44100", "-open", _patch("player.pd", tmp_path, FOLDER=str(tmp_path)))

    heard, _ = soundfile.read(tmp_path / "heard.wav", dtype="float64")
    silence = int(np.flatnonzero(np.abs(heard).sum(axis=1))[0]) - int(np.flatnonzero(first)[0])
    mono = np.column_stack((first, first))
    expected = np.concatenate([mono] * 3 + [second] * 3)
    played = heard[silence : silence + len(expected)]
    np.testing.assert_allclose(played, expected, atol=2**-15)


def _noise(frames: int, seed: int) -> np.ndarray:
    channels = 1 if seed == 1 else 2
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    return noise[:, 0] if channels == 1 else noise


def _patch(name: str, folder: Path, **words: str) -> str:
    """The patch of that name with its words in capitals filled in, as a file in ``folder``."""
    text = Path(__file__).with_name(name).read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    (folder / name).write_text(text)
    return str(folder / name)
