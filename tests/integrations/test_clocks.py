"""Clocks, on times that the test makes; MIDI clock and transport also through a real JACK server."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integrations.jack_server import RATE_HZ, jack_server, needs_jack
from tests.integrations.osc_peer import asynchronous

from loopmeter import wav_header
from loopmeter_integrations.clocks import ClockError, JackTransportClock, MidiClock, OwnClock, Timeline
from loopmeter_integrations.clocks._clock import next_boundary
from loopmeter_integrations.clocks._jack import TransportPosition
from loopmeter_integrations.playback import FrameTimes, JackOutput, OutputError, UnreadableSound, read_sound

PULSE, START, CONTINUE, STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"


@given(tempo=st.floats(20, 999), beat=st.floats(-1e4, 1e4))
def test_a_timeline_is_the_same_both_ways(tempo: float, beat: float) -> None:
    line = Timeline(100.0, 3.0, tempo)
    assert line.beat_at(line.time_at(beat)) == pytest.approx(beat, abs=1e-6)


def test_our_own_clock_keeps_its_beat_when_its_tempo_changes() -> None:
    clock = OwnClock(120, 10.0)
    clock.set_tempo(60, 11.0)
    assert clock.timeline(0).beat_at(11.0) == 2.0
    assert clock.timeline(0).beat_at(12.0) == 3.0
    with pytest.raises(ClockError, match="expected 20 to 999, found 5"):
        clock.set_tempo(5, 12.0)
    assert clock.timeline(0).tempo_bpm == 60


@given(beat=st.floats(0, 1e5), quantum=st.sampled_from([1.0, 3.0, 4.0, 16.0]))
def test_the_next_boundary_is_a_multiple_and_not_behind(beat: float, quantum: float) -> None:
    boundary = next_boundary(beat, quantum)
    assert boundary % quantum == 0
    assert beat - 1e-5 <= boundary < beat + quantum


def pulses(clock: MidiClock, bpm: float, count: int, begin_s: float, jitter_s: float = 0.0) -> float:
    """Send pulses; the time at which the next one would come."""
    step_s = 60 / bpm / 24
    noise = random.Random(1)
    for number in range(count):
        clock.receive(PULSE, begin_s + number * step_s + noise.uniform(0, jitter_s))
    return begin_s + count * step_s


@pytest.mark.parametrize("bpm", [60.0, 96.0, 174.5])
def test_midi_clock_gives_tempo_and_beat_through_jitter(bpm: float) -> None:
    clock = MidiClock()
    clock.receive(START, 1.0)
    end_s = pulses(clock, bpm, 97, 1.0, jitter_s=0.001)
    line = clock.timeline(end_s)
    assert line.tempo_bpm == pytest.approx(bpm, rel=0.005)
    # Pulses are late by half a millisecond in the mean, and so is what is told.
    assert line.beat_at(end_s) == pytest.approx(97 / 24, abs=0.001 * bpm / 60)


def test_midi_clock_follows_a_new_tempo_within_a_beat() -> None:
    clock = MidiClock()
    clock.receive(START, 0.0)
    middle_s = pulses(clock, 96, 48, 0.0)
    end_s = pulses(clock, 140, 24, middle_s)
    assert clock.timeline(end_s).tempo_bpm == pytest.approx(140, rel=0.001)
    assert clock.timeline(end_s).beat_at(end_s) == pytest.approx(3.0, abs=0.01)


def test_midi_clock_stops_goes_on_and_is_positioned() -> None:
    clock = MidiClock()
    pulses(clock, 120, 24, 0.0)
    assert clock.timeline(0.5).tempo_bpm == 0, "pulses before a start only keep time"
    clock.receive(START, 1.0)
    end_s = pulses(clock, 120, 24, 1.0)
    clock.receive(STOP, end_s)
    assert (clock.timeline(9).tempo_bpm, clock.timeline(9).beat_at(9)) == (0, 1.0)
    clock.receive(bytes([0xF2, 8, 1]), 10.0)  # 136 sixteenths.
    clock.receive(CONTINUE, 10.0)
    end_s = pulses(clock, 120, 25, 10.0)
    assert clock.timeline(end_s).beat_at(end_s) == pytest.approx(34 + 25 / 24)
    assert clock.timeline(end_s + 1).tempo_bpm == 0, "a cable that was pulled"
    with pytest.raises(ClockError, match="set it at the sender"):
        clock.set_tempo(100, 0)


@given(st.lists(st.tuples(st.binary(max_size=4), st.floats(0, 100)), max_size=60))
def test_no_midi_breaks_the_clock(messages: list[tuple[bytes, float]]) -> None:
    clock = MidiClock()
    clock.receive(START, 0.0)
    for message, at_s in messages:
        clock.receive(message, at_s)
    assert clock.timeline(100).tempo_bpm >= 0


def test_jack_transport_follows_its_master_and_counts_frames_without_one() -> None:
    clock = JackTransportClock(120)
    clock.receive(TransportPosition(True, 48_000, 48_000), 5.0)
    assert clock.timeline(0).beat_at(5.5) == 3.0
    clock.set_tempo(60, 0)
    clock.receive(TransportPosition(True, 48_000, 48_000, beat=8.0, tempo_bpm=90.0), 6.0)
    assert clock.timeline(0).beat_at(8.0) == 11.0
    with pytest.raises(ClockError, match="timebase master"):
        clock.set_tempo(100, 0)
    clock.receive(TransportPosition(False, 0, 48_000, beat=0.0, tempo_bpm=90.0), 7.0)
    assert clock.timeline(0).beat_at(100.0) == 0.0


@given(st.lists(st.floats(0, 0.015), min_size=60, max_size=60))
def test_frame_times_are_even_however_late_the_blocks_are_asked_for(late_s: list[float]) -> None:
    times = FrameTimes(48_000)
    times.asked(0, 100.0)
    for number, late in enumerate(late_s, 1):
        at_s = 100.0 + number * 1024 / 48_000
        assert times.asked(number * 1024, at_s + late) == pytest.approx(at_s, abs=0.0005)


def test_frame_times_follow_a_device_that_is_slower_than_its_name() -> None:
    times = FrameTimes(48_000)
    for number in range(10_000):
        at_s = number * 1024 / 48_000 * 1.0001
        estimate = times.asked(number * 1024, at_s)
    assert estimate == pytest.approx(at_s, abs=0.0001)


@pytest.mark.parametrize(("bits", "channels"), [(16, 1), (16, 2), (24, 1), (24, 2)])
def test_a_wav_is_read_at_the_rate_of_the_output_and_its_seam_stays(tmp_path: Path, bits: int, channels: int) -> None:
    count = 88_200
    sine = 0.5 * np.sin(2 * np.pi * 880 * np.arange(count) / count)
    pcm = np.round(np.repeat(sine[:, None], channels, 1) * (2**31 - 1)).astype("<i4").view(np.uint8).reshape(-1, 4)
    path = tmp_path / "loop.wav"
    path.write_bytes(wav_header(count, 44_100, channels, bits) + pcm[:, 4 - bits // 8 :].tobytes())
    sound = read_sound(path, 4, 48_000)
    expected = 0.5 * np.sin(2 * np.pi * 880 * np.arange(96_000) / 96_000)
    assert sound.frames.shape == (96_000, 2)
    assert np.abs(sound.frames - expected[:, None]).max() < 1e-4
    assert np.abs(read_sound(path, 4, 44_100).frames - sine[:, None]).max() < 1e-4


@pytest.mark.parametrize("content", [b"", b"RIFF", wav_header(10, 44_100, 2, 16)[:30], struct.pack("<44x")])
def test_what_is_no_wav_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(UnreadableSound, match=r"expected .*x\.wav"):
        read_sound(tmp_path / "x.wav", 4, 48_000)


async def _until(true: object, what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.02)


@needs_jack
@asynchronous
async def test_midi_clock_and_transport_are_heard_through_a_real_jack_server() -> None:
    import jack

    with jack_server() as name:
        midi, transport = MidiClock(), JackTransportClock(100)
        output = JackOutput(server=name, midi=midi, transport=transport, connect=False)
        output.start(lambda count, _: np.zeros((count, 2), np.float32))
        master = jack.Client("master", servername=name, no_start_server=True)
        port = master.midi_outports.register("out")
        step = RATE_HZ * 60 / 132 / 24
        sent = 0
        begin: int | None = None

        def send(count: int) -> None:
            nonlocal sent, begin
            port.clear_buffer()
            first = master.last_frame_time
            if begin is None:
                begin = first
                port.write_midi_event(0, START)
            while (offset := round(begin + sent * step) - first) < count:
                if offset >= 0:
                    port.write_midi_event(offset, PULSE)
                sent += 1

        @master.set_timebase_callback
        def tell(state: int, blocksize: int, pos: object, new_pos: bool) -> None:
            beats = pos.frame / RATE_HZ * 90 / 60  # type: ignore[attr-defined]
            pos.valid = jack._lib.JackPositionBBT  # type: ignore[attr-defined]
            pos.beats_per_bar, pos.beat_type, pos.ticks_per_beat = 4.0, 4.0, 1920.0  # type: ignore[attr-defined]
            pos.beats_per_minute, pos.bar_start_tick = 90.0, 0.0  # type: ignore[attr-defined]
            pos.bar, pos.beat = int(beats // 4) + 1, int(beats % 4) + 1  # type: ignore[attr-defined]
            pos.tick = int(beats % 1 * 1920)  # type: ignore[attr-defined]

        master.set_process_callback(send)
        master.activate()
        try:
            assert transport.timeline(0).tempo_bpm == 0
            master.connect(port, "loopmeter:midi_clock")
            master.transport_start()
            await _until(lambda: transport.timeline(0).tempo_bpm == 90, "the transport does not roll")
            line = transport.timeline(0)
            frame = master.transport_frame
            assert abs(line.beat_at(time.monotonic()) - frame / RATE_HZ * 1.5) < 0.2
            master.transport_stop()
            await _until(lambda: transport.timeline(0).tempo_bpm == 0, "the transport does not stop")
            # Connected after its start: the song is started again.
            begin, sent = None, 0
            await _until(lambda: sent > 60, "the master sends no pulses")
            assert midi.timeline(time.monotonic()).tempo_bpm == pytest.approx(132, rel=0.002)
        finally:
            master.deactivate()
            master.close()
            output.close()


def test_a_missing_jack_server_says_how_to_start_one() -> None:
    with pytest.raises(OutputError, match="start one"):
        JackOutput(server=f"nobody-{os.getpid()}")
