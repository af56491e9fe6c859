"""The reader of soundfonts: a small file written here, and Debian's if they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.engine.training.soundfont_file import FRAMES, HZ, LOOP, START, write_soundfont

from loopmeter_engine.score import Timbre
from loopmeter_engine.training.make_bundle import Making, pick_zones, region
from loopmeter_engine.training.synth import SAMPLE_RATE_HZ
from loopmeter_engine.training.synth.bundle import Bundle
from loopmeter_engine.training.synth.instrument import Tone
from loopmeter_engine.training.synth.sampled import ring
from loopmeter_engine.training.synth.soundfont import Envelope, NotASoundFont, SoundFont

Floats = NDArray[np.float64]
INSTALLED = [
    path
    for path in (Path("/usr/share/sounds/sf2/TimGM6mb.sf2"), Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    if path.exists()
]
NEUTRAL = 14 / 25  # The brightness at which recordings keep their colour.


def played(font: SoundFont, program: int, key: int, duration_s: float, folder: Path) -> Floats:
    """A note at full velocity, through the bundle as in training: (frames,) of the middle."""
    making = Making()
    regions = [region(making, font, zone) for zone in pick_zones(font.zones(0, program), key, key)]
    making.manifest["patches"].append(
        {"layer": "lead", "family": "saw", "name": "", "gain": 1.0, "held_out": False, "regions": regions}
    )
    making.write(folder)
    (patch,) = Bundle(folder).patches["lead", "saw", False]
    hz = 440.0 * 2.0 ** ((key - 69) / 12)
    tone = Tone(
        hz, 1.0, round(duration_s * SAMPLE_RATE_HZ), Timbre("saw", brightness=NEUTRAL), np.random.default_rng(0)
    )
    return ring(patch, tone)[0].astype(np.float64)


def hz_of(sound: Floats, near_hz: float | None = None) -> float:
    """The strongest frequency; with ``near_hz`` within a semitone of it, since two partials may be as strong."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
    if near_hz is not None:
        hz = np.arange(len(spectrum)) * SAMPLE_RATE_HZ / (1 << 18)
        spectrum = np.where(np.abs(hz / near_hz - 1) < 0.06, spectrum, 1e-12)
    peak = int(np.argmax(spectrum))
    a, b, c = np.log(spectrum[peak - 1 : peak + 2])
    return float((peak + 0.5 * (a - c) / (a - 2 * b + c)) * SAMPLE_RATE_HZ / (1 << 18))


def peaks_near(sound: Floats, near_hz: float) -> list[tuple[float, float]]:
    """(Hz, dB under the strongest) of what sounds within a semitone of a frequency, from 20 dB under it on."""
    size = 1 << 20
    level = np.abs(np.fft.rfft(sound[4410:] * np.hanning(len(sound) - 4410), size))
    level[np.abs(np.arange(len(level)) * SAMPLE_RATE_HZ / size / near_hz - 1) >= 0.06] = 1e-12
    inner = level[1:-1]
    tops = 1 + np.flatnonzero((inner > level[:-2]) & (inner >= level[2:]) & (inner > 0.1 * level.max()))
    return [(float(top * SAMPLE_RATE_HZ / size), float(20 * np.log10(level[top] / level.max()))) for top in tops]


def level_db(sound: Floats) -> float:
    return float(10 * np.log10(np.mean(sound**2) + 1e-20))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SoundFont:
    return SoundFont(write_soundfont(tmp_path_factory.mktemp("sf2") / "tiny.sf2"))


def test_presets_and_zones_are_those_of_the_file(tiny: SoundFont) -> None:
    assert tiny.names == {(0, 0): "Sine", (0, 1): "Shifted"}
    low, high = tiny.zones(0, 0)
    assert (low.keys, high.keys) == ((0, 59), (60, 127))
    assert (low.start, low.end) == (START, START + FRAMES)
    assert low.loop == high.loop == (START + LOOP[0], START + LOOP[1]), "the global zone says that both loop"
    assert (low.root, low.tuning, high.tuning) == (69, 0.0, 12.0)
    assert low.gain == pytest.approx(10 ** (-0.4 * 25 / 20)) and high.gain == 1.0
    assert (low.pan, high.pan, low.exclusive, high.exclusive) == (-0.5, 0.0, 0, 3)
    assert high.envelope.decay_s == 1.0 and high.envelope.sustain_db == 20.0


def test_a_preset_adds_to_its_instrument_and_narrows_its_keys(tiny: SoundFont) -> None:
    low, high = tiny.zones(0, 1)
    assert (low.keys, high.keys) == ((40, 59), (60, 80))
    assert (low.tuning, high.tuning) == (7.0, 19.0)


@pytest.mark.parametrize(("program", "key", "semitones"), [(0, 57, -12), (0, 50, -19), (0, 69, 12), (1, 50, -12)])
def test_a_note_sounds_at_its_pitch(tiny: SoundFont, tmp_path: Path, program: int, key: int, semitones: int) -> None:
    sound = played(tiny, program, key, 2.0, tmp_path)
    assert 1200 * np.log2(hz_of(sound[4410:]) / (HZ * 2 ** (semitones / 12))) == pytest.approx(0, abs=0.5)


def test_a_loop_goes_on_as_long_as_the_note_and_without_a_click(tiny: SoundFont, tmp_path: Path) -> None:
    sound = played(tiny, 0, 57, 6.0, tmp_path)  # The recording itself lasts one second at this pitch.
    levels = [level_db(part) for part in np.array_split(sound[4410:], 10)]
    assert max(levels) - min(levels) < 0.05
    step = np.abs(np.diff(sound[4410:], 2))
    assert step.max() < 1.1 * np.percentile(step, 99)


def test_an_envelope_falls_in_equal_ratios_to_where_it_stays() -> None:
    envelope = Envelope(delay_s=0.01, attack_s=0.02, hold_s=0.05, decay_s=1.0, sustain_db=20.0)
    gains = envelope.gains(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, 60)
    at = {
        time_s: 20 * np.log10(gains[round(time_s * SAMPLE_RATE_HZ)] + 1e-9) for time_s in (0.005, 0.02, 0.06, 0.18, 0.9)
    }
    assert at[0.005] < -170 and at[0.02] == pytest.approx(-6.02, abs=0.1)
    assert at[0.06] == pytest.approx(0.0, abs=0.01)
    assert at[0.18] == pytest.approx(-10.0, abs=0.1), "100 dB a second, since 80 ms"
    assert at[0.9] == pytest.approx(-20.0, abs=0.01)


def test_high_keys_may_decay_faster() -> None:
    envelope = Envelope(decay_s=2.0, sustain_db=100.0, decay_per_key=100.0)
    low, high = (envelope.gains(22_050, SAMPLE_RATE_HZ, key)[-1] for key in (60, 72))
    assert 20 * np.log10(high) == pytest.approx(2 * 20 * np.log10(low), rel=0.02)


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"", "found b''"), (b"RIFF\x04\0\0\0WAVE", "WAVE"), (b"RIFF\x0c\0\0\0sfbkLIST\xff\0\0\0", "found its end")],
    ids=["empty", "wave", "cut short"],
)
def test_what_is_no_soundfont_is_named(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "wrong.sf2"
    path.write_bytes(data)
    with pytest.raises(NotASoundFont, match="expected") as error:
        SoundFont(path)
    assert found in str(error.value) and "wrong.sf2" in str(error.value)


def test_compressed_soundfonts_are_refused_by_version(tmp_path: Path) -> None:
    with pytest.raises(NotASoundFont, match=r"version 2 .* found version 3"):
        SoundFont(write_soundfont(tmp_path / "new.sf3", version=3))


@pytest.mark.skipif(not INSTALLED, reason="Debian: apt-get install timgm6mb-soundfont")
def test_every_zone_of_an_installed_soundfont_lies_inside_its_samples() -> None:
    for path in INSTALLED:
        font = SoundFont(path)
        zones = [zone for preset in font.presets for zone in font.zones(*preset)]
        assert len(font.presets) > 100 and len(zones) > 500
        for zone in zones:
            assert 0 <= zone.start < zone.end <= len(font.pcm)
            assert zone.loop is None or zone.start <= zone.loop[0] < zone.loop[1] <= zone.end
            assert 0 <= zone.root <= 127 and abs(zone.tuning) < 120


@pytest.mark.skipif(
    not INSTALLED or shutil.which("fluidsynth") is None,
    reason="Debian: apt-get install timgm6mb-soundfont fluidsynth",
)
@pytest.mark.parametrize(
    ("program", "key"), [(33, 33), (81, 69), (16, 60), (24, 52)], ids=["bass", "saw", "organ", "guitar"]
)
def test_notes_equal_those_of_fluidsynth(tmp_path: Path, program: int, key: int) -> None:
    """Pitch within half a cent, and the same rise and fall; the level is ours to choose."""
    path = INSTALLED[-1]
    midi, track = mido.MidiFile(), mido.MidiTrack()
    midi.tracks.append(track)
    track += [
        mido.Message("program_change", program=program),
        mido.Message("note_on", note=key, velocity=100),
        mido.Message("note_off", note=key, time=2880),
    ]
    midi.save(str(tmp_path / "note.mid"))
    dry = ["-niq", "-R0", "-C0", "-g1", "-r44100"]
    command = ["fluidsynth", *dry, "-F", tmp_path / "note.wav", path, tmp_path / "note.mid"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    theirs = soundfile.read(tmp_path / "note.wav")[0].mean(1)
    ours = played(SoundFont(path), program, key, 2.5, tmp_path)
    theirs = theirs[int(np.argmax(np.abs(theirs) > 1e-4)) :][: len(ours)]
    asked_hz = 440 * 2 ** ((key - 69) / 12)
    heard_hz, known_hz = (hz_of(sound[4410:], asked_hz) for sound in (ours, theirs))
    assert 1200 * np.log2(heard_hz / known_hz) == pytest.approx(0, abs=0.5)
    layers = [zone for zone in SoundFont(path).zones(0, program) if zone.keys[0] <= key <= zone.keys[1]]
    if len(layers) > 1:  # They are detuned and beat, and when hangs on a sampler's first samples: each by itself, then.
        for mine, known in zip(peaks_near(ours, asked_hz), peaks_near(theirs, asked_hz), strict=True):
            assert 1200 * np.log2(mine[0] / known[0]) == pytest.approx(0, abs=0.5)
            assert mine[1] == pytest.approx(known[1], abs=0.5)
        return
    gap = np.array(
        [level_db(a) - level_db(b) for a, b in zip(*(np.array_split(s, 25) for s in (ours, theirs)), strict=True)]
    )
    assert np.abs(gap - np.median(gap)).max() < 1.5
