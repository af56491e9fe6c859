"""The mixer, to the frame: no device, no time but what the test says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter_integrations.playback import Event, Gain, Happened, Mixer, Play, Replaced, Scheduled, Sound, Stop
from loopmeter_integrations.playback._mixer import Frames

RATE_HZ = 48_000
BPM = 120.0
BAR = 96_000  # Frames of four beats.
FADE = 240


def loop(name: str = "a", beats: int = 4, cycles: int = 440, level: float = 0.5) -> Sound:
    """A sine of whole cycles, another one in each channel: smooth everywhere, its seam included."""
    phase = 2 * np.pi * np.arange(beats * 24_000) / (beats * 24_000)
    return Sound(name, (level * np.sin(phase[:, None] * [cycles, cycles + 2])).astype(np.float32), beats)


def render(mixer: Mixer, frames: int, block: int = 1024, bpm: float = BPM) -> tuple[Frames, list[Event]]:
    """From the mixer's frame on, with beat 0 at its frame 0."""
    blocks, events = [], []
    while frames:
        count = min(block, frames)
        made, happened = mixer.render(count, mixer.frame * bpm / 60 / RATE_HZ, bpm)
        blocks.append(made)
        events += happened
        frames -= count
    return np.concatenate(blocks), events


def loudest_kink(sound: Frames) -> float:
    """The largest second difference: a click is a kink."""
    return float(np.abs(np.diff(sound, 2, axis=0)).max())


def smooth(*sounds: Sound) -> float:
    """The largest kink of the sounds when two of them fade at once, on half a cosine of ``FADE`` frames."""
    kink = max(loudest_kink(sound.frames) for sound in sounds)
    slope = max(float(np.abs(np.diff(sound.frames, axis=0)).max()) for sound in sounds)
    level = max(float(np.abs(sound.frames).max()) for sound in sounds)
    return 2 * (kink + 2 * slope * (np.pi / 2) / FADE + level * (np.pi**2 / 2) / FADE**2)


def test_a_loop_starts_on_the_frame_of_its_bar_and_is_copied_bit_for_bit() -> None:
    mixer, sound = Mixer(RATE_HZ), loop()
    render(mixer, 5000)
    mixer.apply(Play(0, sound, 4.0))
    made, events = render(mixer, 3 * BAR)
    at = BAR - 5000
    assert [type(event) for event in events] == [Scheduled, Happened]
    assert isinstance(events[1], Happened)
    assert (events[1].beat, events[1].frame) == (4.0, BAR)
    assert np.array_equal(made[at : at + BAR], sound.frames)
    assert np.array_equal(made[at + BAR : at + 2 * BAR], sound.frames)
    assert not made[: at - FADE].any()
    tail = sound.frames[-FADE:]
    assert np.all(np.abs(made[at - FADE : at]) <= np.abs(tail) + 1e-7)


@pytest.mark.parametrize(("quantum", "beat"), [(1.0, 1.0), (4.0, 4.0), (8.0, 8.0), (16.0, 16.0)])
def test_a_change_waits_for_its_beat_bar_or_bars(quantum: float, beat: float) -> None:
    mixer = Mixer(RATE_HZ)
    render(mixer, 100)
    mixer.apply(Play(0, loop(), quantum))
    _, events = render(mixer, 5 * BAR)
    assert [(type(event).__name__, getattr(event, "beat", None)) for event in events] == [
        ("Scheduled", beat),
        ("Happened", beat),
    ]


def test_at_once_is_at_once() -> None:
    mixer, sound = Mixer(RATE_HZ), loop()
    render(mixer, 1234)
    mixer.apply(Play(0, sound, 0.0))
    made, events = render(mixer, 5000)
    assert isinstance(events[-1], Happened)
    assert events[-1].frame == 1234
    assert np.array_equal(made[FADE + 1 :], sound.frames[FADE + 1 : 5000])


@given(blocks=st.lists(st.integers(1, 5000), min_size=1, max_size=30), quantum=st.sampled_from([0.0, 1.0, 4.0]))
@settings(max_examples=40, deadline=None)
def test_any_blocks_give_the_same_frames(blocks: list[int], quantum: float) -> None:
    def made(sizes: list[int]) -> Frames:
        mixer = Mixer(RATE_HZ)
        mixer.apply(Play(0, loop("a"), 0.0, 0.01))
        mixer.apply(Play(1, loop("b", 3, 333), quantum, 0.1))
        out = [render(mixer, count, count)[0] for count in sizes]
        return np.concatenate(out)

    total = sum(blocks)
    assert np.allclose(made(blocks), made([total]), atol=1e-6)


def test_a_swap_has_no_gap_and_no_click_and_the_new_loop_is_whole_from_its_first_frame() -> None:
    mixer, one, two = Mixer(RATE_HZ), loop("one", 4, 440), loop("two", 4, 550)
    mixer.apply(Play(0, one, 4.0))
    before, _ = render(mixer, BAR + 1000)
    mixer.apply(Play(0, two, 4.0))
    after, events = render(mixer, 2 * BAR - 1000)
    made = np.concatenate([before, after])[BAR:]
    assert isinstance(events[-1], Happened)
    assert events[-1].frame == 2 * BAR
    assert np.array_equal(made[: BAR - FADE], one.frames[: BAR - FADE])
    assert np.array_equal(made[BAR:], two.frames)
    assert loudest_kink(made) < smooth(one, two)
    assert mixer.playing(0) == "two"


def test_a_loop_swapped_for_itself_is_not_to_be_heard() -> None:
    mixer, sound = Mixer(RATE_HZ), loop()
    mixer.apply(Play(0, sound, 4.0))
    render(mixer, BAR)
    mixer.apply(Play(0, sound, 4.0, 0.5))
    made, _ = render(mixer, 2 * BAR)
    assert np.abs(made - np.tile(sound.frames, (2, 1))).max() < 1e-6


def test_a_stop_is_silent_from_its_bar_on() -> None:
    mixer, sound = Mixer(RATE_HZ), loop()
    mixer.apply(Play(0, sound, 4.0))
    before, _ = render(mixer, BAR + 1000)
    mixer.apply(Stop(0, 4.0))
    after, events = render(mixer, 2 * BAR - 1000)
    made = np.concatenate([before, after])[BAR:]
    assert isinstance(events[-1], Happened)
    assert events[-1].frame == 2 * BAR
    assert np.array_equal(made[: BAR - FADE], sound.frames[: BAR - FADE])
    assert not made[BAR:].any()
    assert loudest_kink(made) < smooth(sound)
    assert mixer.playing(0) is None


def test_a_second_change_replaces_one_that_has_not_happened() -> None:
    mixer = Mixer(RATE_HZ)
    render(mixer, 10)
    first, second = Play(0, loop("first"), 4.0), Play(0, loop("second"), 4.0)
    assert mixer.apply(first) == []
    render(mixer, 1000)
    assert mixer.apply(second) == [Replaced(first)]
    render(mixer, BAR)
    assert mixer.playing(0) == "second"


def test_a_change_that_comes_while_another_fades_up_to_its_bar_takes_the_bar_behind() -> None:
    mixer = Mixer(RATE_HZ)
    render(mixer, 10)
    mixer.apply(Play(0, loop("first"), 4.0))
    render(mixer, BAR - 10 - FADE // 2)
    mixer.apply(Play(0, loop("second"), 4.0))
    _, events = render(mixer, 2 * BAR)
    assert isinstance(events[-1], Happened)
    assert (events[-1].beat, events[-1].frame) == (8.0, 2 * BAR)


def test_a_late_loop_starts_at_the_next_bar_while_the_old_one_goes_on() -> None:
    mixer, old, new = Mixer(RATE_HZ), loop("old"), loop("new", 4, 550)
    mixer.apply(Play(0, old, 4.0))
    render(mixer, BAR + 1)
    mixer.apply(Play(0, new, 4.0))  # One frame too late for bar 1.
    made, events = render(mixer, 2 * BAR)
    assert isinstance(events[-1], Happened)
    assert events[-1].beat == 8.0
    assert np.array_equal(made[: BAR - 1 - FADE], old.frames[1 : BAR - FADE])


def test_decks_play_side_by_side_each_at_its_gain() -> None:
    mixer, one, two = Mixer(RATE_HZ), loop("one"), loop("two", 8, 330)
    mixer.apply(Play(0, one, 4.0))
    mixer.apply(Play(3, two, 4.0))
    mixer.apply(Gain(3, 0.25, 0.0))
    made, _ = render(mixer, 2 * BAR)
    expected = np.tile(one.frames, (2, 1)) + 0.25 * two.frames
    assert np.abs(made[FADE:] - expected[FADE:]).max() < 1e-6


def test_a_gain_ramps_without_a_click_and_arrives() -> None:
    mixer, sound = Mixer(RATE_HZ), loop()
    mixer.apply(Play(0, sound, 4.0))
    render(mixer, BAR)
    mixer.apply(Gain(0, 0.0, 0.1))
    made, _ = render(mixer, BAR)
    assert not made[4801:].any()
    assert made[:4700].any()
    assert loudest_kink(made) < 1.5 * loudest_kink(sound.frames)


@pytest.mark.parametrize("bpm", [96.0, 120.5, 140.0, 60.0])
def test_a_loop_follows_the_clocks_tempo_and_stays_on_its_beats(bpm: float) -> None:
    mixer, sound = Mixer(RATE_HZ), loop(cycles=40)
    mixer.apply(Play(0, sound, 4.0))
    made, _ = render(mixer, 8 * BAR, bpm=bpm)
    beats = np.arange(len(made)) * bpm / 60 / RATE_HZ
    phase = 2 * np.pi * beats / 4
    expected = 0.5 * np.sin(phase[:, None] * [40, 42])
    assert np.abs(made - expected)[FADE:].max() < 0.5 * 42 * 2 * np.pi * bpm / 240 * 0.0005  # Half a millisecond.


@pytest.mark.parametrize("drift", [100e-6, -100e-6, 1e-6])
def test_a_device_whose_seconds_differ_keeps_within_half_a_millisecond(drift: float) -> None:
    mixer, sound = Mixer(RATE_HZ), loop(cycles=40)
    mixer.apply(Play(0, sound, 4.0))
    worst = 0.0
    for _ in range(0, 60 * RATE_HZ, 2048):
        beat = mixer.frame * (1 + drift) * 2 / RATE_HZ
        made, _ = mixer.render(2048, beat, BPM * (1 + drift))
        if mixer.frame > RATE_HZ:
            expected = 0.5 * np.sin(2 * np.pi * 40 * beat / 4)
            worst = max(worst, abs(float(made[0, 0]) - expected))
    assert worst < 0.5 * 40 * 2 * np.pi / 2 * 0.0005


def test_a_clock_that_stands_still_is_silence_and_goes_on_where_it_is() -> None:
    mixer, sound = Mixer(RATE_HZ), loop(cycles=40)
    mixer.apply(Play(0, sound, 0.0))
    playing, _ = mixer.render(9600, 0.0, BPM)
    stopping, _ = mixer.render(4800, 0.4, 0.0)
    still, _ = mixer.render(4800, 0.4, 0.0)
    mixer.render(2400, 2.0, BPM)  # Somebody moved the transport.
    again, _ = mixer.render(2400, 2.1, BPM)
    assert loudest_kink(np.concatenate([playing, stopping])) < 2e-3
    assert not still.any()
    assert np.abs(again - sound.frames[50_400:52_800]).max() < 1e-6


def test_a_clock_that_jumps_takes_the_loop_along_without_a_click() -> None:
    mixer, sound = Mixer(RATE_HZ), loop(cycles=40)
    mixer.apply(Play(0, sound, 0.0))
    before, _ = mixer.render(9600, 0.0, BPM)
    after, _ = mixer.render(9600, 1.7, BPM)
    assert np.array_equal(after[FADE:], sound.frames[40_800 + FADE : 50_400])
    assert loudest_kink(np.concatenate([before, after])) < smooth(sound)


def test_a_boundary_that_jumps_away_is_scheduled_anew() -> None:
    mixer = Mixer(RATE_HZ)
    mixer.render(1000, 0.5, BPM)
    mixer.apply(Play(0, loop(), 4.0))
    _, first = mixer.render(1000, 1.0, BPM)
    _, second = mixer.render(1000, 9.0, BPM)
    assert [event.beat for event in first + second if isinstance(event, Scheduled)] == [4.0, 12.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([0.0, 1.0, 4.0]), st.integers(1, 20_000)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=30, deadline=None)
def test_whatever_is_asked_for_nothing_clicks(asked: list[tuple[int, int, float, int]]) -> None:
    mixer, sounds = Mixer(RATE_HZ), [loop(str(n), 4, 40 + 10 * n, 0.2) for n in range(4)]
    parts = [render(mixer, 3)[0]]
    for deck, what, quantum, frames in asked:
        mixer.apply(Play(deck, sounds[what], quantum) if what < 4 else Stop(deck, quantum))
        parts.append(render(mixer, frames)[0])
    assert loudest_kink(np.concatenate(parts)) < 4 * smooth(*sounds)


def test_half_a_simulated_hour_of_swaps_is_on_its_bars_and_never_silent() -> None:
    mixer, sounds = Mixer(RATE_HZ, 1), [loop(str(n), 4, 40 + 10 * n) for n in range(3)]
    happened: list[int] = []
    quietest = 1.0
    mixer.apply(Play(0, sounds[0], 0.0))
    render(mixer, 4096)
    for number in range(450):  # Each swap is two bars, four seconds.
        mixer.apply(Play(0, sounds[number % 3], 8.0))
        made, events = render(mixer, 2 * BAR, 8192)
        happened += [event.frame for event in events if isinstance(event, Happened)]
        quietest = min(quietest, float(np.abs(made[:, 0]).reshape(-1, 6000).max(axis=1).min()))
    assert {later - earlier for earlier, later in pairwise(happened)} == {2 * BAR}
    assert happened[0] == 2 * BAR
    assert quietest > 0.4
