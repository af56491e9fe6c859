"""An hour of a game's music, simulated: random commands, random latencies, loads that fail, heard sample by sample.

Every layer has a level of its own and fades take no time, so the level of the sound says at every frame what plays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from tests.sdk.adaptive_sounds import LateExecutor, first_on_grid, steady

from loopmeter.adaptive import (
    AdaptivePlayer,
    Arrangement,
    ChangeDropped,
    ChangeLate,
    Event,
    Grid,
    Layer,
    LayersChanged,
    Manners,
    Quantum,
    RecordingOutput,
    Section,
    SectionStarted,
    Sound,
    Stinger,
    StingerStarted,
    Take,
)

RATE_HZ = 44_100
HOUR_FRAMES = 3600 * RATE_HZ
LENGTHS = {"explore": 352_800, "battle": 151_201, "boss": 123_457, "wander": 99_999, "hit": 30_000, "bell": 5_000}
LEVELS = {"explore": 0.1, "battle": 0.2, "boss": 0.3, "wander": 0.4, "hit": 0.05, "bell": 0.03}
DRUMS = 0.015
ARRANGEMENT = Arrangement(
    (
        Section("explore", bars=4, layers=(Layer("all"), Layer("drums", enters=0.5)), leads_to=("battle",)),
        Section("battle", bars=2, phrase_bars=1, layers=(Layer("all"), Layer("drums", enters=0.2))),
        Section("boss", bars=3, beats_per_bar=3, then="explore", repeats=3),
        Section("wander", bars=2, takes=0),
    ),
    (Stinger("hit"), Stinger("bell")),
)


def level_of(take: Take) -> float:
    return LEVELS[take.name] + 0.001 * (take.number % 7)


class Unreliable:
    """A source that fails one time in eight."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def load(self, take: Take) -> Sound:
        if self._chance.random() < 1 / 8:
            raise ConnectionError("no answer")
        levels = {"all": level_of(take)} | ({"drums": DRUMS} if take.name in ("explore", "battle") else {})
        return steady(LENGTHS[take.name] + take.number % 5, levels, RATE_HZ)


@dataclass
class Ear:
    """Follows the events, says what should be heard, and checks each change against the grid."""

    grid: Grid | None = None
    take: Take | None = None
    drums: bool = False
    intensity: float = 0.0
    stings: list[tuple[int, int, float]] = field(default_factory=list)
    asked: tuple[Take, Quantum, int] | None = None
    counts: dict[type[Event], int] = field(default_factory=dict)
    on_boundary: dict[str, int] = field(default_factory=dict)

    def expected(self, start: int, frames: int, events: tuple[Event, ...]) -> np.ndarray:
        level = np.zeros(frames, np.float64)
        position = start
        for event in events:
            self._fill(level, start, position, event.frame)
            position = max(position, event.frame)
            self._take_in(event)
        self._fill(level, start, position, start + frames)
        for begin, end, height in self.stings:
            level[max(0, begin - start) : max(0, end - start)] += height
        return level

    def _fill(self, level: np.ndarray, start: int, begin: int, end: int) -> None:
        if self.take is not None and end > begin:
            level[begin - start : end - start] = level_of(self.take) + DRUMS * self.drums

    def _take_in(self, event: Event) -> None:
        self.counts[type(event)] = self.counts.get(type(event), 0) + 1
        match event:
            case SectionStarted(frame, take, asked_frame):
                self._check_change(frame, take, asked_frame)
                section = ARRANGEMENT.section(take.name)
                self.grid = Grid(section, frame, LENGTHS[take.name] + take.number % 5)
                self.take = take
                self.drums = any(layer.name == "drums" and layer.enters <= self.intensity for layer in section.layers)
            case LayersChanged(frame, gains):
                assert self._first("bar", frame) == frame
                self.drums = gains.get("drums", 0) > 0
            case StingerStarted(frame, name):
                self.stings.append((frame, frame + LENGTHS[name], LEVELS[name]))

    def drops(self, events: tuple[Event, ...]) -> None:
        """What the loads that just ended said: changes that are given up."""
        for event in events:
            assert isinstance(event, ChangeDropped)
            self.counts[ChangeDropped] = self.counts.get(ChangeDropped, 0) + 1
            self.asked = None

    def _check_change(self, frame: int, take: Take, asked_frame: int | None) -> None:
        if self.grid is None:
            return
        if asked_frame is None:
            assert self._first("end", frame) == frame
            if self.asked is not None and self.asked[0].name == take.name:
                self.asked = None
            return
        assert self.asked is not None and (self.asked[0], self.asked[2]) == (take, asked_frame)
        quantum = self.asked[1]
        if quantum != "now":
            assert self._first(quantum, frame) == frame
        self.on_boundary[quantum] = self.on_boundary.get(quantum, 0) + 1
        self.asked = None

    def _first(self, quantum: Quantum, frame: int) -> int:
        assert self.grid is not None
        return first_on_grid(self.grid.section, self.grid.entered, self.grid.frames, quantum, frame)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 12))])
def test_an_hour_is_never_silent_and_every_change_is_on_its_bar_to_the_frame(seed: int) -> None:
    chance = random.Random(seed)
    loader = LateExecutor(lambda: chance.choice([0.01, 0.5, 3.0, 9.0]))
    output = RecordingOutput(sample_rate_hz=RATE_HZ, channels=1, keep=False)
    player = AdaptivePlayer(
        ARRANGEMENT,
        Unreliable(chance),
        output,
        manners=Manners(crossfade_s=0, attack_s=0, layer_fade_s=0, duck_s=0),
        loader=loader,
        now=lambda: loader.now_s,
    )
    player.start()
    ear = Ear()
    silent_frames = 0
    while player.frame < HOUR_FRAMES:
        loader.now_s = player.frame / RATE_HZ
        loader.run_due()
        ear.drops(player.poll())  # Before the next command, which may ask for the same again.
        command(player, ear, chance)
        start, frames = player.frame, chance.randrange(1, 30_000)
        before = player.playing
        heard = output.advance(frames)[:, 0]
        events = player.poll()
        np.testing.assert_allclose(heard, ear.expected(start, frames, events), atol=1e-6)
        silent_frames += int(np.count_nonzero(heard == 0)) if before is not None else 0

    player.close()
    assert silent_frames == 0
    assert ear.counts[SectionStarted] > 300 and ear.counts[LayersChanged] > 100
    assert ear.counts[ChangeLate] > 30 and ear.counts[ChangeDropped] > 5 and ear.counts[StingerStarted] > 30
    assert min(ear.on_boundary[quantum] for quantum in ("now", "beat", "bar", "phrase", "end")) > 10


def command(player: AdaptivePlayer, ear: Ear, chance: random.Random) -> None:
    """What a game might do between two blocks."""
    if chance.random() < 0.04:
        section = chance.choice(ARRANGEMENT.sections).name
        at = chance.choice(["now", "beat", "bar", "phrase", "end"])
        player.go_to(section, at)
        if player.playing is not None:
            ear.asked = None if player.playing.name == section else (Take(section), at, player.frame)
    if chance.random() < 0.1:
        ear.intensity = chance.random()
        player.intensity = ear.intensity
    if chance.random() < 0.02:
        player.sting(chance.choice(["hit", "bell"]), chance.choice(["now", "beat", "bar"]))
