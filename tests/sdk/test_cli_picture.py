"""What a terminal shows of a loop."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import mido

from loopmeter._cli._picture import drum_grid
from loopmeter.testing import FakeGateway, make_loop

KICK, SNARE, HAT, COWBELL = 36, 38, 42, 56


def score(*hits: tuple[float, int, int], channel: int = 9) -> bytes:
    """A MIDI file with hits of (beat, note, velocity), in order."""
    track, now = mido.MidiTrack(), 0
    for beat, note, velocity in hits:
        tick = round(beat * 480)
        track.append(mido.Message("note_on", channel=channel, note=note, velocity=velocity, time=tick - now))
        now = tick
    out = io.BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=480, tracks=[track]).save(file=out)
    return out.getvalue()


def test_each_drum_is_a_row_of_steps_with_loud_hits_filled() -> None:
    midi = score((0, KICK, 100), (0, HAT, 50), (1, SNARE, 110), (1.52, HAT, 50), (2.5, KICK, 79), (4, KICK, 90))

    assert drum_grid(midi, 4, 80) == [
        "hat    ○·····○·········|················",
        "snare  ····●···········|················",
        "kick   ●·········○·····|●···············",
    ]


def test_bars_that_do_not_fit_are_left_out_and_meters_have_their_own_bars() -> None:
    hits = [(float(beat), KICK, 100) for beat in range(12)]

    assert drum_grid(score(*hits), 3, 33) == ["kick   ●···●···●···|●···●···●···"]


def test_other_channels_and_the_ends_of_notes_are_no_drums() -> None:
    assert drum_grid(score((0, KICK, 100), channel=0), 4, 80) == []
    assert drum_grid(score((0, KICK, 0)), 4, 80) == []
    assert drum_grid(make_loop("drums", bars=1).midi(), 4, 80) == []
    assert drum_grid(score((0, COWBELL, 100)), 4, 80) == ["other  ●···············"]


def test_a_terminal_sees_the_loop(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    with FakeGateway().serve() as url:
        env = {**os.environ, "LOOPMETER_URL": url, "TERM": "xterm", "COLUMNS": "60"}
        command = [sys.executable, "-c", "from loopmeter._cli import main; main()", "loop", "drums", "--bars", "1"]
        process = subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE, env=env, cwd=tmp_path)
        os.close(child)
        _, errors = process.communicate(timeout=60)
    shown = os.read(parent, 65_536).decode()
    os.close(parent)

    assert process.returncode == 0, errors
    assert "▇" * 20 in shown or "█" * 20 in shown
    assert "loop.wav: 2.000 s, 88200 frames, 800 tokens charged" in shown
