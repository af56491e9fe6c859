"""The conductor: what changes when. Its clock is the number of frames, so every test is exact."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.sdk.adaptive_sounds import first_on_grid

from loopmeter.adaptive import (
    Arrangement,
    ChangeDropped,
    ChangeLate,
    Conductor,
    Event,
    Grid,
    Layer,
    LayersChanged,
    Manners,
    Quantum,
    Ramp,
    Section,
    SectionStarted,
    Span,
    Stinger,
    StingerDropped,
    StingerStarted,
    Take,
)

RATE_HZ = 1000
EXPLORE = Section("explore", bars=4, layers=(Layer("pad"), Layer("drums", enters=0.5)), leads_to=("battle",))
BATTLE = Section("battle", bars=3, beats_per_bar=3, phrase_bars=2, layers=(Layer("all"),))
INTRO = Section("intro", bars=1, then="explore", repeats=2)
ENDLESS = Section("endless", bars=2, takes=0)
ARRANGEMENT = Arrangement((EXPLORE, BATTLE, INTRO, ENDLESS), (Stinger("hit", duck=0.5), Stinger("bell")))
LENGTHS = {"explore": 8000, "battle": 4001, "intro": 2000, "endless": 3999, "hit": 700, "bell": 30}
MANNERS = Manners(crossfade_s=0.1, attack_s=0.0, layer_fade_s=0.2, duck_s=0.05, layers_at="bar")


def conductor_of(
    start: str = "explore", *, load: tuple[str, ...] = tuple(LENGTHS), intensity: float = 0.0
) -> Conductor:
    arrangement = Arrangement(ARRANGEMENT.sections, ARRANGEMENT.stingers, start)
    conductor = Conductor(arrangement, sample_rate_hz=RATE_HZ, manners=MANNERS, intensity=intensity)
    for name in load:
        conductor.loaded(Take(name), LENGTHS[name])
    return conductor


def started(conductor: Conductor) -> list[tuple[int, str]]:
    return [(event.frame, event.take.name) for event in conductor.drain() if isinstance(event, SectionStarted)]


def of_kind(conductor: Conductor, kind: type[Event]) -> list[Event]:
    return [event for event in conductor.drain() if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("at", "frame"), [("now", 2100), ("beat", 2500), ("bar", 4000), ("phrase", 8000), ("end", 8000)]
)
def test_a_section_enters_on_the_boundary_that_was_asked_for(at: Quantum, frame: int) -> None:
    conductor = conductor_of()
    conductor.advance(2100)
    conductor.go_to("battle", at)
    conductor.advance(10_000)

    assert started(conductor) == [(0, "explore"), (frame, "battle")]


def test_a_change_asked_for_on_its_boundary_comes_at_once() -> None:
    conductor = conductor_of()
    conductor.advance(2000)
    conductor.go_to("battle", "bar")
    conductor.advance(1)

    assert started(conductor)[1:] == [(2000, "battle")]


def test_the_grid_is_that_of_the_section_that_plays() -> None:
    """Battle has 9 beats in 4001 frames: its bars are at 1334 and 2667, not at those of explore."""
    conductor = conductor_of("battle")
    conductor.advance(1335)
    conductor.go_to("explore", "bar")
    conductor.advance(3000)

    assert started(conductor)[1:] == [(2667, "explore")]


def test_a_take_that_is_late_leaves_what_plays_playing_and_enters_on_the_next_boundary() -> None:
    conductor = conductor_of(load=("explore",))
    conductor.go_to("battle", "bar")
    spans = conductor.advance(2500)
    conductor.loaded(Take("battle"), LENGTHS["battle"])
    spans += conductor.advance(3000)
    events = conductor.drain()

    assert [event for event in events if isinstance(event, ChangeLate)] == [ChangeLate(0, Take("battle"))]
    assert SectionStarted(4000, Take("battle"), 0) in events
    assert all(span.voices for span in spans)


def test_a_late_change_now_comes_as_soon_as_it_is_loaded() -> None:
    conductor = conductor_of(load=("explore",))
    conductor.advance(100)
    conductor.go_to("battle", "now")
    conductor.advance(333)
    conductor.loaded(Take("battle"), LENGTHS["battle"])
    conductor.advance(10)

    assert started(conductor)[1:] == [(433, "battle")]


def test_a_take_that_cannot_be_loaded_ends_the_wish_and_not_the_music() -> None:
    conductor = conductor_of(load=("explore",))
    conductor.go_to("battle")
    conductor.failed(Take("battle"), "no tokens")
    spans = conductor.advance(20_000)

    assert of_kind(conductor, ChangeDropped) == [ChangeDropped(0, Take("battle"), "no tokens")]
    assert all(span.voices for span in spans)
    assert conductor.waiting_for is None


def test_the_last_wish_counts_and_asking_for_what_plays_takes_it_back() -> None:
    conductor = conductor_of()
    conductor.advance(10)
    conductor.go_to("battle", "bar")
    conductor.go_to("intro", "bar")
    conductor.advance(1000)
    conductor.go_to("explore")
    conductor.advance(10_000)

    assert started(conductor) == [(0, "explore")]


def test_an_intro_goes_on_by_itself_after_its_rounds() -> None:
    conductor = conductor_of("intro")
    conductor.advance(9000)

    assert started(conductor) == [(0, "intro"), (4000, "explore")]


def test_an_intro_repeats_until_what_follows_is_loaded() -> None:
    conductor = conductor_of("intro", load=("intro",))
    conductor.advance(4100)
    conductor.loaded(Take("explore"), LENGTHS["explore"])
    conductor.advance(3000)

    assert started(conductor) == [(0, "intro"), (6000, "explore")]


def test_a_wish_that_waits_through_a_turn_is_due_on_the_new_grid() -> None:
    conductor = conductor_of("intro", load=("intro", "explore"))
    conductor.advance(3000)
    conductor.go_to("battle", "bar")
    conductor.advance(2000)
    conductor.loaded(Take("battle"), LENGTHS["battle"])
    conductor.advance(2000)

    assert started(conductor) == [(0, "intro"), (4000, "explore"), (6000, "battle")]


def test_endless_takes_follow_each_other_at_the_end_of_the_loop_or_wait_a_round() -> None:
    conductor = conductor_of("endless")
    assert Take("endless", 1) in conductor.wanted()
    conductor.advance(4000)
    conductor.loaded(Take("endless", 1), 4500)
    conductor.advance(5000)

    found = [(event.frame, event.take) for event in conductor.drain() if isinstance(event, SectionStarted)]
    assert found == [(0, Take("endless", 0)), (7998, Take("endless", 1))]
    assert Take("endless", 0) in conductor.unload()
    assert Take("endless", 2) in conductor.wanted()


def test_layers_follow_the_intensity_at_the_next_bar() -> None:
    conductor = conductor_of()
    conductor.advance(100)
    conductor.set_intensity(0.7)
    spans = conductor.advance(3000)

    assert of_kind(conductor, LayersChanged) == [LayersChanged(2000, {"pad": 1.0, "drums": 1.0})]
    assert [gain_of(spans, "drums", frame) for frame in (1999, 2000, 2100, 2200, 3000)] == [0, 0, 0.5, 1, 1]


def test_an_intensity_that_came_back_before_the_bar_changes_nothing() -> None:
    conductor = conductor_of()
    conductor.advance(100)
    conductor.set_intensity(0.7)
    conductor.advance(100)
    conductor.set_intensity(0.0)
    conductor.advance(5000)

    assert of_kind(conductor, LayersChanged) == []


def test_a_fade_that_is_turned_round_starts_where_it_was() -> None:
    conductor = Conductor(ARRANGEMENT, sample_rate_hz=RATE_HZ, manners=Manners(layers_at="now", layer_fade_s=0.2))
    conductor.loaded(Take("explore"), LENGTHS["explore"])
    conductor.advance(10)
    conductor.set_intensity(1.0)
    conductor.advance(100)
    conductor.set_intensity(0.0)
    spans = conductor.advance(200)

    assert [gain_of(spans, "drums", frame) for frame in (110, 210)] == [0.5, 0.25]


def test_a_section_enters_with_the_layers_of_the_intensity() -> None:
    conductor = conductor_of(intensity=0.9)
    spans = conductor.advance(10)

    assert {voice.layer for voice in spans[0].voices} == {"pad", "drums"}


def test_what_leaves_fades_from_the_boundary_on_and_goes_on_playing_meanwhile() -> None:
    conductor = conductor_of()
    conductor.advance(100)
    conductor.go_to("battle", "bar")
    spans = conductor.advance(2500)

    assert [gain_of(spans, "pad", frame) for frame in (1999, 2000, 2050, 2100)] == [1, 1, 0.5, 0]
    assert gain_of(spans, "all", 2000) == 1
    assert offset_of(spans, "pad", 2050) == 2050
    assert offset_of(spans, "all", 2050) == 50


def test_a_stinger_starts_on_its_beat_ducks_the_music_and_lets_it_up_again() -> None:
    conductor = conductor_of()
    conductor.advance(100)
    conductor.sting("hit", "beat")
    spans = conductor.advance(3000)

    assert of_kind(conductor, StingerStarted) == [StingerStarted(500, "hit")]
    assert [gain_of(spans, "pad", frame) for frame in (499, 500, 525, 550, 1199, 1225, 1250)] == [
        1, 1, 0.75, 0.5, 0.5, 0.75, 1,
    ]  # fmt: skip
    assert offset_of(spans, "all", 500) == 0 and offset_of(spans, "all", 1199) == 699


def test_a_stinger_starts_with_the_section_that_it_was_asked_with() -> None:
    conductor = conductor_of()
    conductor.advance(100)
    conductor.go_to("battle", "bar", stinger="bell")
    conductor.advance(3000)
    events = conductor.drain()

    assert SectionStarted(2000, Take("battle"), 100) in events
    assert StingerStarted(2000, "bell") in events


def test_a_stinger_that_is_not_loaded_in_time_does_not_come_later() -> None:
    conductor = conductor_of(load=("explore",))
    conductor.advance(100)
    conductor.sting("hit")
    conductor.advance(1000)
    conductor.loaded(Take("hit"), 700)
    conductor.advance(3000)

    assert of_kind(conductor, StingerDropped) == [StingerDropped(500, "hit")]


def test_before_the_first_section_is_loaded_there_is_silence_and_it_is_wanted_first() -> None:
    conductor = conductor_of(load=())
    conductor.go_to("battle")
    conductor.sting("hit")
    spans = conductor.advance(1000)

    assert [span.voices for span in spans] == [()]
    assert conductor.wanted()[0] == Take("battle") and not conductor.ready
    conductor.loaded(Take("battle"), LENGTHS["battle"])
    assert conductor.ready
    assert conductor.advance(10)[0].voices[0].offset == 0


def test_what_is_neither_heard_nor_likely_is_let_go() -> None:
    conductor = conductor_of()
    conductor.advance(10)

    assert set(conductor.unload()) == {Take("intro"), Take("endless")}
    assert conductor.unload() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Layer("a", enters=0.5, full=0.4),
        lambda: Layer("a", gain=0.0),
        lambda: Section("a", bars=0),
        lambda: Section("a", bars=1, layers=(Layer("x", enters=0.1),)),
        lambda: Section("a", bars=1, layers=(Layer("x", full=0.5),)),
        lambda: Section("a", bars=1, layers=(Layer("x"), Layer("x"))),
        lambda: Stinger("a", duck=0.0),
        lambda: Arrangement(()),
        lambda: Arrangement((EXPLORE, BATTLE, EXPLORE)),
        lambda: Arrangement((EXPLORE,)),
        lambda: Arrangement((BATTLE,), start="none"),
        lambda: Manners(attack_s=-1),
        lambda: conductor_of().set_intensity(1.1),
        lambda: conductor_of().go_to("none"),
        lambda: conductor_of().go_to("battle", stinger="none"),
        lambda: conductor_of().sting("none"),
        lambda: conductor_of().loaded(Take("battle"), 8),
    ],
)
def test_what_cannot_be_played_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="expected"):
        wrong()


@settings(deadline=None)
@given(
    bars=st.integers(1, 9),
    beats_per_bar=st.integers(2, 6),
    phrase_bars=st.integers(1, 5),
    frames=st.integers(60, 10_000),
    entered=st.integers(0, 1000),
    after=st.integers(0, 50_000),
    quantum=st.sampled_from(["beat", "bar", "phrase", "end"]),
)
def test_the_next_boundary_is_the_first_on_the_grid(
    bars: int, beats_per_bar: int, phrase_bars: int, frames: int, entered: int, after: int, quantum: Quantum
) -> None:
    section = Section("x", bars=bars, beats_per_bar=beats_per_bar, phrase_bars=phrase_bars)
    frame = entered + after

    assert Grid(section, entered, frames).next(quantum, frame) == first_on_grid(
        section, entered, frames, quantum, frame
    )


@settings(deadline=None)
@given(
    at=st.sampled_from(["now", "beat", "bar", "phrase", "end"]),
    asked=st.integers(0, 20_000),
    latency=st.integers(0, 20_000),
    blocks=st.lists(st.integers(50, 5000), min_size=1, max_size=8),
)
def test_however_late_a_take_is_it_enters_on_the_first_boundary_that_it_can(
    at: Quantum, asked: int, latency: int, blocks: list[int]
) -> None:
    conductor = conductor_of("battle", load=("battle",))
    section, length = BATTLE, LENGTHS["battle"]
    if asked:
        conductor.advance(asked)
    conductor.go_to("explore", at)
    for block in itertools.cycle(blocks):
        if conductor.frame >= asked + latency:
            break
        conductor.advance(block)
    ready = conductor.frame
    conductor.loaded(Take("explore"), LENGTHS["explore"])
    conductor.advance(2 * length)

    first = ready if at == "now" else first_on_grid(section, 0, length, at, ready)
    assert started(conductor)[1:] == [(first, "explore")]


def gain_of(spans: list[Span], layer: str, frame: int) -> float:
    """The gain of a layer of the music at a frame; 0 if it does not sound."""
    for span in spans:
        if span.start <= frame < span.start + span.frames:
            for voice in span.voices:
                if voice.layer == layer and len(voice.ramps) > 1:
                    return round(_product(voice.ramps, frame), 6)
    return 0.0


def offset_of(spans: list[Span], layer: str, frame: int) -> int:
    (found,) = [
        voice.offset + frame - span.start
        for span in spans
        if span.start <= frame < span.start + span.frames
        for voice in span.voices
        if voice.layer == layer
    ][-1:]
    return found


@dataclass
class _Asked:
    take: Take
    quantum: Quantum
    frame: int


class AnyGame(RuleBasedStateMachine):
    """Any commands in any order, loads that come when they like. What is heard keeps the two promises."""

    @initialize(start=st.sampled_from(["explore", "battle", "intro", "endless"]), intensity=st.floats(0, 1))
    def begin(self, start: str, intensity: float) -> None:
        self.conductor = conductor_of(start, load=(), intensity=intensity)
        self.lengths: dict[Take, int] = {}
        self.loaded_at: dict[Take, int] = {}
        self.grid: Grid | None = None
        self.asked: _Asked | None = None

    @rule(
        section=st.sampled_from(["explore", "battle", "intro", "endless"]),
        at=st.sampled_from(["now", "beat", "bar", "phrase", "end"]),
    )
    def go_to(self, section: str, at: Quantum) -> None:
        self.conductor.go_to(section, at)
        playing = self.conductor.playing
        if playing is not None:
            self.asked = None if playing.name == section else _Asked(Take(section), at, self.conductor.frame)

    @rule(intensity=st.floats(0, 1))
    def set_intensity(self, intensity: float) -> None:
        self.conductor.set_intensity(intensity)

    @rule(name=st.sampled_from(["hit", "bell"]), at=st.sampled_from(["now", "beat", "bar"]))
    def sting(self, name: str, at: Quantum) -> None:
        self.conductor.sting(name, at)

    @precondition(lambda self: any(take not in self.lengths for take in self.conductor.wanted()))
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        take = data.draw(st.sampled_from([take for take in self.conductor.wanted() if take not in self.lengths]))
        self.lengths[take] = LENGTHS[take.name] + take.number
        self.loaded_at[take] = self.conductor.frame
        self.conductor.loaded(take, self.lengths[take])

    @precondition(lambda self: self.asked is not None and self.asked.take not in self.lengths)
    @rule()
    def fail(self) -> None:
        assert self.asked is not None
        self.conductor.failed(self.asked.take, "failed")
        self.asked = None

    @rule()
    def unload(self) -> None:
        for take in self.conductor.unload():
            del self.lengths[take]

    @rule(frames=st.integers(1, 6000))
    def play(self, frames: int) -> None:
        start = self.conductor.frame
        begun = self.conductor.ready
        spans = self.conductor.advance(frames)

        assert [span.start for span in spans] == [start, *(span.start + span.frames for span in spans[:-1])]
        assert self.conductor.frame == start + frames == spans[-1].start + spans[-1].frames
        for span in spans:
            for voice in span.voices:
                assert voice.offset >= 0 and voice.offset + span.frames <= self.lengths[voice.take]
            for frame in (span.start, span.start + span.frames - 1):
                assert not begun or max(_product(voice.ramps, frame) for voice in span.voices) > 0
        for event in self.conductor.drain():
            self._follow(event)

    def _follow(self, event: Event) -> None:
        if isinstance(event, SectionStarted):
            if self.grid is not None:
                assert event.frame == self._due(event)
            if self.asked is not None and self.asked.take.name == event.take.name:
                self.asked = None
            section = self.conductor.arrangement.section(event.take.name)
            self.grid = Grid(section, event.frame, self.lengths[event.take])
        elif isinstance(event, LayersChanged):
            assert self._first("bar", event.frame) == event.frame

    def _due(self, event: SectionStarted) -> int:
        """The first boundary at which the take was both asked for and loaded."""
        loaded_at = self.loaded_at[event.take]
        if event.asked_frame is None:
            return self._first("end", event.frame)
        assert self.asked is not None and self.grid is not None
        assert (self.asked.take, self.asked.frame) == (event.take, event.asked_frame)
        ready = max(self.asked.frame, loaded_at, self.grid.entered)
        return ready if self.asked.quantum == "now" else self._first(self.asked.quantum, ready)

    def _first(self, quantum: Quantum, frame: int) -> int:
        assert self.grid is not None
        return first_on_grid(self.grid.section, self.grid.entered, self.grid.frames, quantum, frame)


def _product(ramps: tuple[Ramp, ...], frame: int) -> float:
    return math.prod(ramp.at(frame) for ramp in ramps)


TestAnyGame = AnyGame.TestCase
TestAnyGame.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
