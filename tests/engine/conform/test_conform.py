"""Sound that drifts becomes exact, and stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from loopmeter._cli._program import program
from loopmeter_engine.conform import CannotConform, conform, conform_one_of
from loopmeter_engine.conform.beats import find_beats
from loopmeter_engine.conform.place import _ends
from loopmeter_engine.conform.splice import Anchor, splice

from .drifting import RATE_HZ, drifting, heard_beats

_LOOPS = [*range(12), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(12, 40))]


@pytest.mark.parametrize("seed", _LOOPS)
def test_a_drifting_loop_comes_out_on_the_grid(seed: int) -> None:
    made = drifting(seed)
    loop, report = conform(made.sound, RATE_HZ, tempo_bpm=made.tempo_bpm, bars=made.bars)

    beats = heard_beats(loop, made)
    grid = np.arange(16) * 60 / made.tempo_bpm * RATE_HZ
    tempo_bpm = 60 * RATE_HZ / np.polyfit(np.arange(16), beats, 1)[0]
    true_bpm = 60 * RATE_HZ * 16 / (made.beats[-1] - made.beats[0])
    assert loop.shape == (1, round(16 * 60 / made.tempo_bpm * RATE_HZ))
    assert np.abs(beats - grid).max() < 0.010 * RATE_HZ
    assert tempo_bpm == pytest.approx(made.tempo_bpm, rel=0.002)
    assert report.conformed_bpm == pytest.approx(made.tempo_bpm, rel=0.002)
    assert report.measured_bpm == pytest.approx(true_bpm, rel=0.003)
    assert report.seam_ratio <= 1.0
    assert report.attacks_kept == 1.0
    assert report.beats_heard == report.beats == 16


def test_the_beats_are_found_where_they_are() -> None:
    made = drifting(3)
    found = find_beats(made.sound[0], RATE_HZ, made.tempo_bpm)
    assert np.abs(found.frames[:17] - made.beats).max() < 0.006 * RATE_HZ


def test_a_loop_that_is_exact_already_is_hardly_touched() -> None:
    made = drifting(5, drift=0.0, jitter_s=0.0)
    frames = round(16 * 60 / made.tempo_bpm * RATE_HZ)
    exact = made.sound[:, round(made.beats[0]) :][:, :frames]
    loop, report = conform(exact, RATE_HZ, tempo_bpm=made.tempo_bpm, bars=4)
    assert loop.shape == exact.shape
    assert abs(report.correction_percent) < 0.1 and not report.audible
    assert report.correction_percent_max < 2.0  # Its hats are not exact, and one may be taken for a beat.


def test_a_hit_that_is_far_behind_its_beat_does_not_carry_the_beat_along() -> None:
    """Of each bar the last kick is 28 ms late, and alone there: the hats around it are on the grid, it is not."""
    beats_s = 0.2 + np.concatenate([[0.0], np.cumsum(0.5 * np.linspace(1.0, 1.03, 16))])
    played_s = beats_s + 0.028 * (np.arange(17) % 4 == 3)
    sixteenths_s = np.interp(np.delete(np.arange(65), np.s_[12::16]) / 4, np.arange(17), beats_s)
    loop, _ = conform(_hits(played_s) + 0.5 * _hits(sixteenths_s), RATE_HZ, tempo_bpm=120.0, bars=4)
    off_s = _hits_in(loop, 16) - 0.5 * np.arange(16)
    assert np.delete(np.abs(off_s), np.s_[3::4]).max() < 0.010
    assert off_s[3::4].min() > 0.015


def _hits(at_s: np.ndarray, until_s: float | None = None) -> np.ndarray:
    """(1, frames): a short decaying tone at each time, and 0.6 s behind the last."""
    wave = np.zeros((1, round(((until_s or at_s[-1]) + 0.6) * RATE_HZ)))
    for second in at_s:
        start = round(second * RATE_HZ)
        wave[0, start : start + len(_HIT)] += _HIT
    return wave


def _hits_in(loop: np.ndarray, beats: int) -> np.ndarray:
    """When the hit nearest to each beat of 0.5 s begins: a matched filter, 60 ms to each side."""
    reach = round(0.06 * RATE_HZ)
    found = []
    for beat in range(beats):
        start = (beat + beats) * RATE_HZ // 2 - reach
        area = np.take(loop[0], np.arange(start, start + 2 * reach + len(_HIT)), mode="wrap")
        found.append((start + int(np.correlate(area, _HIT, "valid").argmax())) / RATE_HZ - beats * 0.5)
    return np.array(found)


_HIT = 0.3 * np.sin(2 * np.pi * 180 * np.arange(4_000) / RATE_HZ) * np.exp(-np.arange(4_000) / 600)


def test_stereo_stays_stereo_and_its_sides_together() -> None:
    made = drifting(7)
    sides = np.concatenate([made.sound, 0.5 * made.sound])
    loop, _ = conform(sides, RATE_HZ, tempo_bpm=made.tempo_bpm, bars=2)
    assert loop.shape[0] == 2
    assert np.allclose(loop[1], 0.5 * loop[0])


def test_pitch_stays_what_it_was() -> None:
    """A steady tone between anchors 3 % apart: its frequency is that of the source."""
    tone = np.sin(2 * np.pi * 330.0 * np.arange(4 * RATE_HZ) / RATE_HZ)[None]
    anchors = [Anchor(round(beat * 0.5 * RATE_HZ), round(beat * 0.515 * RATE_HZ)) for beat in range(8)]
    out = splice(tone, RATE_HZ, anchors, round(3.5 * RATE_HZ))[0]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), 8 * len(out)))
    assert spectrum.argmax() * RATE_HZ / (8 * len(out)) == pytest.approx(330.0, rel=0.003)
    assert np.abs(np.diff(out)).max() < 1.3 * np.abs(np.diff(tone[0])).max()  # And nothing clicks.


def test_a_splice_without_a_move_changes_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=(2, RATE_HZ))
    anchors = [Anchor(at, at) for at in (0, 10_000, 30_000)]
    assert np.array_equal(splice(noise, RATE_HZ, anchors, RATE_HZ), noise)


@pytest.mark.parametrize(
    ("sound", "tempo_bpm", "bars", "said"),
    [
        (np.zeros((1, 200_000)), 120.0, 2, "found none that rises"),
        (np.zeros((1, 0)), 120.0, 2, r"expected \(channels, frames\)"),
        (np.random.default_rng(0).normal(0, 0.1, (1, 400_000)), 120.0, 2, "expected beats that stand out"),
        (drifting(1).sound, drifting(1).tempo_bpm, 64, "ask for fewer bars"),
    ],
    ids=["silence", "nothing", "noise", "too short"],
)
def test_what_has_no_such_beats_is_refused(sound: np.ndarray, tempo_bpm: float, bars: int, said: str) -> None:
    with pytest.raises(CannotConform, match=said):
        conform(sound, RATE_HZ, tempo_bpm=tempo_bpm, bars=bars)


def test_a_texture_that_keeps_its_tempo_is_placed_by_what_its_maker_says() -> None:
    texture = np.random.default_rng(0).normal(0, 0.1, (2, 8 * RATE_HZ))
    with pytest.raises(CannotConform, match=r"a steady tempo all the same, say which \(--played-bpm\)"):
        conform(texture, RATE_HZ, tempo_bpm=120.0, bars=2)

    same, report = conform(texture, RATE_HZ, tempo_bpm=120.0, bars=2, played_bpm=120.0, first_beat_s=1.0)
    inside = np.s_[:, 10_000:170_000]  # The end fades into what was ahead of the start, 2 ms before the first beat.
    assert same.shape == (2, 4 * RATE_HZ)
    assert np.array_equal(same[inside], texture[:, RATE_HZ - round(0.002 * RATE_HZ) :][inside])
    assert (report.correction_percent_max, report.beats) == (0.0, 8)

    slower, report = conform(texture, RATE_HZ, tempo_bpm=115.0, bars=2, played_bpm=120.0)
    assert slower.shape[1] == round(8 * 60 / 115 * RATE_HZ)
    assert report.correction_percent == pytest.approx(100 * (120 / 115 - 1), abs=0.01)
    assert report.conformed_bpm is None  # Nothing in it can be counted.


def test_silence_is_placed_where_its_maker_says() -> None:
    loop, report = conform(np.zeros((1, 5 * RATE_HZ)), RATE_HZ, tempo_bpm=120.0, bars=2, played_bpm=120.0)
    assert loop.shape == (1, 4 * RATE_HZ) and not loop.any()
    assert (report.beats_heard, report.conformed_bpm) == (0, None)


def test_the_loop_begins_with_the_beat_that_is_named() -> None:
    clicks = np.zeros((1, 9 * RATE_HZ))
    at = np.round((0.3 + 0.51 * np.arange(16)) * RATE_HZ).astype(int)
    clicks[0, at] = 0.3 + 0.03 * np.arange(16)  # Each click is known by how loud it is.
    heard, _ = conform(clicks, RATE_HZ, tempo_bpm=120.0, bars=2)
    named, _ = conform(clicks, RATE_HZ, tempo_bpm=120.0, bars=2, first_beat_s=2.4)
    assert heard[0, :2_000].max() == pytest.approx(0.3)
    assert named[0, :2_000].max() == pytest.approx(0.3 + 0.03 * 4)  # The fifth click, at 2.34 s.
    with pytest.raises(CannotConform, match=r"expected a beat near 30\.00 s, found the nearest at 7\.95 s"):
        conform(clicks, RATE_HZ, tempo_bpm=120.0, bars=2, first_beat_s=30.0)


def test_a_loop_does_not_begin_or_end_with_a_hit_far_ahead_of_its_beat() -> None:
    beats, early = np.array([1_000.0, 2_000.0, 3_000.0]), 100.0
    assert _ends(beats, np.array([850.0, 1_850.0, 2_950.0]), early).tolist() == [1_000.0, 2_950.0]
    assert _ends(beats, np.array([910.0, 1_850.0, 2_850.0]), early).tolist() == [910.0, 3_000.0]


def test_another_seed_is_asked_for_while_the_correction_would_be_heard() -> None:
    steady, wild = drifting(1, drift=0.002, jitter_s=0.0), drifting(1, drift=0.09, jitter_s=0.012)
    asked: list[int] = []

    def make(seed: int) -> np.ndarray:
        asked.append(seed)
        return steady.sound if seed == 2 else wild.sound

    found = conform_one_of(make, range(4), RATE_HZ, tempo_bpm=steady.tempo_bpm, bars=4)
    assert (asked, found.seed, found.seeds_tried, found.report.audible) == ([0, 1, 2], 2, 3, False)

    stays = conform_one_of(lambda _: wild.sound, range(2), RATE_HZ, tempo_bpm=wild.tempo_bpm, bars=4)
    assert stays.report.audible and stays.seeds_tried == 2


def test_the_command_conforms_a_file_and_reports(tmp_path: Path) -> None:
    made = drifting(2)
    source = tmp_path / "in.wav"
    soundfile.write(source, made.sound.T, RATE_HZ)
    call = ["conform", str(source), "--bpm", f"{made.tempo_bpm}", "--bars", "4", "--json"]
    result = CliRunner().invoke(program, call)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["wav"] == str(tmp_path / "in-conformed.wav")
    assert soundfile.info(report["wav"]).frames == report["frames"] == round(16 * 60 / made.tempo_bpm * RATE_HZ)
    assert report["measured_bpm"] != report["asked_bpm"]


def test_the_command_takes_the_played_tempo_and_the_first_beat(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.random.default_rng(0).normal(0, 0.1, 4 * RATE_HZ), RATE_HZ)
    call = ["conform", str(tmp_path / "in.wav"), "--bpm", "120", "--bars", "1"]
    refused = CliRunner().invoke(program, call)
    assert refused.exit_code == 1 and "--played-bpm" in refused.stderr
    result = CliRunner().invoke(program, [*call, "--played-bpm", "118", "--first-beat", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == 2 * RATE_HZ
    late = CliRunner().invoke(program, [*call, "--played-bpm", "118", "--first-beat", "9"])
    assert late.exit_code == 1 and "expected a beat near 9.00 s, found no beats" in late.stderr


def test_the_command_says_what_is_no_sound_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    source.write_bytes(b"not a sound")
    result = CliRunner().invoke(program, ["conform", str(source), "--bpm", "92", "--bars", "4"])
    assert result.exit_code == 1
    assert "expected a sound file such as WAV" in result.stderr and "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
