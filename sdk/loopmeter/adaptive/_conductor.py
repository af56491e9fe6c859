"""Decides what sounds when: a state machine whose only clock is the number of frames that it is asked for. Pure.

No audio, no threads, no loading. Whoever drives it says what the game wants (``go_to``, ``set_intensity``,
``sting``), what has been loaded, and how many frames come next; it answers with spans to be mixed, with events, and
with the takes that it would like to have. Two promises, whatever comes in which order:

- Once the first section sounds, something always sounds. A take that is not loaded when it is due leaves what plays
  playing, and is due again at the next boundary.
- A change happens on a boundary of what plays, to the frame, and the same commands at the same frames give the same
  spans, however the time between is cut into blocks.

Reading order: the commands, ``advance``, ``_settle``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from loopmeter.adaptive._arrangement import Arrangement, Quantum, Section, Take
from loopmeter.adaptive._events import (
    ChangeDropped,
    ChangeLate,
    Event,
    LayersChanged,
    SectionStarted,
    Span,
    StingerDropped,
    StingerStarted,
    Voice,
)
from loopmeter.adaptive._grid import Grid, Ramp

_FULL = Ramp.constant(1.0)
_LEAVING_MAX = 8  # Loops that fade out at a time; only a game that changes "now" many times a second has more.
_STINGERS_MAX = 8


@dataclass(frozen=True, slots=True)
class Manners:
    """How changes sound, in seconds. ``layers_at`` is the boundary at which layers follow the intensity.

    A section enters within ``attack_s`` and the one before leaves within ``crossfade_s``; both from the boundary on.
    """

    crossfade_s: float = 0.05
    attack_s: float = 0.002
    layer_fade_s: float = 0.25
    duck_s: float = 0.05
    layers_at: Quantum = "bar"

    def __post_init__(self) -> None:
        if min(self.crossfade_s, self.attack_s, self.layer_fade_s, self.duck_s) < 0:
            raise ValueError(f"expected no negative times, found {self}")


@dataclass(frozen=True, slots=True)
class _Loop:
    """A take that sounds: where it began, the gain of each layer, and its own coming or going."""

    take: Take
    grid: Grid
    gains: dict[str, Ramp]
    fade: Ramp


@dataclass(frozen=True, slots=True)
class _Wish:
    take: Take
    quantum: Quantum
    asked: int
    due: int
    stinger: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class _Sting:
    name: str
    quantum: Quantum
    due: int


@dataclass(frozen=True, slots=True)
class _Sounding:
    name: str
    start: int
    end: int


@dataclass(slots=True)
class _Pending:
    """What waits for a boundary."""

    wish: _Wish | None = None
    turn: int | None = None  # when the section goes on by itself
    layers: int | None = None
    stings: list[_Sting] = field(default_factory=list)


class Conductor:
    """The state machine of one music. Not safe to share between threads; ``AdaptivePlayer`` puts a lock around it.

        conductor = Conductor(arrangement)
        conductor.loaded(Take("explore"), frames=352800)
        conductor.go_to("battle", at="bar")
        spans = conductor.advance(1024)

    Raises:
        ValueError: the intensity is outside 0 to 1.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        *,
        sample_rate_hz: int = 44_100,
        manners: Manners | None = None,
        intensity: float = 0.0,
    ) -> None:
        self.arrangement = arrangement
        self.frame = 0
        self._rate = sample_rate_hz
        self._manners = manners or Manners()
        self._intensity = _unit(intensity)
        self._opening = Take(arrangement.start)
        self._playing: _Loop | None = None
        self._leaving: list[_Loop] = []
        self._sounding: list[_Sounding] = []
        self._duck = _FULL
        self._pending = _Pending()
        self._lengths: dict[Take, int] = {}
        self._events: list[Event] = []

    @property
    def playing(self) -> Take | None:
        """What plays now; ``None`` before the first section has been loaded."""
        return self._playing.take if self._playing is not None else None

    @property
    def ready(self) -> bool:
        """Whether something sounds from the next frame on."""
        return self._playing is not None or self._opening in self._lengths

    @property
    def waiting_for(self) -> Take | None:
        """The change that was asked for and has not come yet."""
        return self._pending.wish.take if self._pending.wish is not None else None

    @property
    def intensity(self) -> float:
        return self._intensity

    def go_to(self, section: str, at: Quantum = "bar", *, stinger: str | None = None) -> None:
        """Change to a section at the next boundary, in place of any change that still waits.

        ``stinger`` starts together with the section. Asking for the section that plays takes back a waiting change.

        Raises:
            ValueError: there is no such section or stinger.
        """
        take = Take(self.arrangement.section(section).name)
        if stinger is not None:
            self.arrangement.stinger(stinger)
        if self._playing is None and self._opening in self._lengths and take not in self._lengths:
            self._enter(self._opening, None)  # What is ready begins, and this is the change that it waits for.
        if self._playing is None:
            self._opening = take
        elif self._playing.take.name == section:
            self._pending.wish = None
        else:
            due = self._playing.grid.next(at, self.frame)
            self._pending.wish = _Wish(take, at, self.frame, due, stinger)

    def set_intensity(self, intensity: float) -> None:
        """Let the layers follow, from the next boundary on that the manners name. May be called at any rate.

        Raises:
            ValueError: outside 0 to 1.
        """
        self._intensity = _unit(intensity)
        if self._playing is not None and self._pending.layers is None and self._moved(self._playing):
            self._pending.layers = self._playing.grid.next(self._manners.layers_at, self.frame)

    def sting(self, name: str, at: Quantum = "beat") -> None:
        """Play a stinger over the music at the next boundary; nothing plays before the music has begun.

        Raises:
            ValueError: there is no such stinger.
        """
        self.arrangement.stinger(name)
        if self._playing is not None and len(self._pending.stings) < _STINGERS_MAX:
            self._pending.stings.append(_Sting(name, at, self._playing.grid.next(at, self.frame)))

    def loaded(self, take: Take, frames: int) -> None:
        """``take`` can sound from now on; all its layers are ``frames`` long.

        Raises:
            ValueError: it is shorter than one frame per beat.
        """
        section = self._section(take)
        beats = section.bars * section.beats_per_bar if section is not None else 1
        if frames < beats:
            raise ValueError(f"expected at least {beats} frames for {take}, found {frames}")
        self._lengths[take] = frames

    def failed(self, take: Take, reason: str) -> None:
        """``take`` cannot be loaded: a change that waits for it is given up, and what plays goes on."""
        if self._pending.wish is not None and self._pending.wish.take == take:
            self._pending.wish = None
            self._events.append(ChangeDropped(self.frame, take, reason))

    def unload(self) -> tuple[Take, ...]:
        """Forget the takes that neither sound nor are wanted, and name them; their sound may be let go."""
        needed = {*self.wanted(), *(loop.take for loop in self._loops()), *(Take(one.name) for one in self._sounding)}
        idle = tuple(take for take in self._lengths if take not in needed)
        for take in idle:
            del self._lengths[take]
        return idle

    def wanted(self) -> tuple[Take, ...]:
        """What should be loaded, the most urgent first; takes that are loaded already are among them."""
        found: list[Take] = []
        if self._playing is None:
            found.append(self._opening)
        if self._pending.wish is not None:
            found.append(self._pending.wish.take)
        current = self._playing.take if self._playing is not None else self._opening
        section = self.arrangement.section(current.name)
        following = section.following(current.number)
        if self._playing is not None:
            found.append(current)
        if following is not None:
            found.append(following)
        found += [Take(one.name) for one in self._pending.stings]
        found += [Take(name) for name in section.leads_to]
        found += [Take(stinger.name) for stinger in self.arrangement.stingers]
        return tuple(dict.fromkeys(found))

    def drain(self) -> tuple[Event, ...]:
        """The events since the last call, in order of their frames."""
        events, self._events = tuple(self._events), []
        return events

    def advance(self, frames: int) -> list[Span]:
        """What sounds in the next ``frames`` frames, as spans without a gap. Time has passed when this returns."""
        spans: list[Span] = []
        end = self.frame + frames
        while self.frame < end:
            self._settle()
            stop = min((stop for stop in self._stops() if stop > self.frame), default=end)
            span = Span(self.frame, min(stop, end) - self.frame, self._voices(min(stop, end)))
            spans.append(span)
            self.frame += span.frames
        return spans

    def _settle(self) -> None:
        """Do everything that is due at this frame."""
        frame = self.frame
        self._leaving = [loop for loop in self._leaving if loop.fade.end > frame]
        if self._playing is None:
            if self._opening in self._lengths:
                self._enter(self._opening, None)
            return
        self._change_if_due(self._playing.grid)
        self._turn_if_due(self._playing.grid)
        self._move_layers_if_due(self._playing)
        self._start_stingers_if_due()
        self._end_stingers()

    def _change_if_due(self, grid: Grid) -> None:
        wish = self._pending.wish
        if wish is None or wish.due > self.frame:
            return
        if wish.take in self._lengths:
            self._enter(wish.take, wish.asked)
            if wish.stinger is not None:
                self._pending.stings.append(_Sting(wish.stinger, "now", self.frame))
            return
        if not wish.late:
            self._events.append(ChangeLate(self.frame, wish.take))
        due = self.frame if wish.quantum == "now" else grid.next(wish.quantum, self.frame + 1)
        self._pending.wish = replace(wish, due=due, late=True)

    def _turn_if_due(self, grid: Grid) -> None:
        """Go on to the next take or section by itself; while it is missing, play another round."""
        if self._pending.turn is None or self._pending.turn > self.frame or self._playing is None:
            return
        following = grid.section.following(self._playing.take.number)
        if following is not None and following in self._lengths:
            self._enter(following, None)
        elif following is not None:
            self._events.append(ChangeLate(self.frame, following))
            self._pending.turn = grid.wrap_after(self.frame)

    def _enter(self, take: Take, asked: int | None) -> None:
        frame, manners = self.frame, self._manners
        section = self.arrangement.section(take.name)
        grid = Grid(section, frame, self._lengths[take])
        if self._playing is not None:
            old = self._playing
            fade = Ramp(frame, self._frames(manners.crossfade_s), old.fade.at(frame), 0.0)
            self._leaving = [*self._leaving, replace(old, fade=fade)][-_LEAVING_MAX:]
        attack = Ramp(frame, self._frames(manners.attack_s), 0.0, 1.0) if self._playing is not None else _FULL
        gains = {layer.name: Ramp.constant(layer.gain_at(self._intensity)) for layer in section.layers}
        self._playing = _Loop(take, grid, gains, attack)
        following = section.following(take.number)
        wish = self._pending.wish
        self._pending.turn = frame + section.repeats * grid.frames if following is not None else None
        self._pending.layers = None
        self._pending.wish = None if asked is not None or wish is None else self._on(grid, wish)
        self._pending.stings = [
            replace(one, due=frame if one.due <= frame else grid.next(one.quantum, frame))
            for one in self._pending.stings
        ]
        self._events.append(SectionStarted(frame, take, asked))

    def _on(self, grid: Grid, wish: _Wish) -> _Wish | None:
        """A wish that still waits, on the grid of the section that came in between; fulfilled if it is that section."""
        if wish.take.name == grid.section.name:
            return None
        return replace(wish, due=grid.next(wish.quantum, self.frame + (wish.quantum != "now")))

    def _move_layers_if_due(self, playing: _Loop) -> None:
        if self._pending.layers is None or self._pending.layers > self.frame:
            return
        self._pending.layers = None
        moved = self._moved(playing)
        if moved:
            fade = self._frames(self._manners.layer_fade_s)
            for name, target in moved.items():
                playing.gains[name] = Ramp(self.frame, fade, playing.gains[name].at(self.frame), target)
            self._events.append(LayersChanged(self.frame, {name: ramp.after for name, ramp in playing.gains.items()}))

    def _moved(self, playing: _Loop) -> dict[str, float]:
        """The layers whose gain is not, and is not going, where the intensity wants it."""
        targets = {layer.name: layer.gain_at(self._intensity) for layer in playing.grid.section.layers}
        return {name: target for name, target in targets.items() if playing.gains[name].after != target}

    def _start_stingers_if_due(self) -> None:
        due = [one for one in self._pending.stings if one.due <= self.frame]
        for one in due:
            self._pending.stings.remove(one)
            length = self._lengths.get(Take(one.name))
            if length is None or len(self._sounding) >= _STINGERS_MAX:
                self._events.append(StingerDropped(self.frame, one.name))
                continue
            self._sounding.append(_Sounding(one.name, self.frame, self.frame + length))
            self._events.append(StingerStarted(self.frame, one.name))
        if due:
            self._duck_to_stingers()

    def _end_stingers(self) -> None:
        left = [one for one in self._sounding if one.end > self.frame]
        if len(left) != len(self._sounding):
            self._sounding = left
            self._duck_to_stingers()

    def _duck_to_stingers(self) -> None:
        target = min((self.arrangement.stinger(one.name).duck for one in self._sounding), default=1.0)
        if target != self._duck.after:
            self._duck = Ramp(self.frame, self._frames(self._manners.duck_s), self._duck.at(self.frame), target)

    def _loops(self) -> Iterator[_Loop]:
        yield from self._leaving
        if self._playing is not None:
            yield self._playing

    def _stops(self) -> Iterator[int]:
        """Every frame at which something may change by itself: a span ends there."""
        pending = self._pending
        yield self._duck.start
        yield self._duck.end
        for loop in self._loops():
            yield loop.grid.wrap_after(self.frame)
            yield loop.fade.end
            yield from (ramp.end for ramp in loop.gains.values())
        yield from (one.end for one in self._sounding)
        yield from (one.due for one in pending.stings)
        if pending.wish is not None:
            yield pending.wish.due
        if pending.turn is not None:
            yield pending.turn
        if pending.layers is not None:
            yield pending.layers

    def _voices(self, stop: int) -> tuple[Voice, ...]:
        voices = [
            Voice(loop.take, layer, loop.grid.offset(self.frame), (gain, loop.fade, self._duck))
            for loop in self._loops()
            for layer, gain in loop.gains.items()
            if all(ramp.at(self.frame) > 0 or ramp.at(stop) > 0 for ramp in (gain, loop.fade))
        ]
        for one in self._sounding:
            gain = Ramp.constant(self.arrangement.stinger(one.name).gain)
            voices.append(Voice(Take(one.name), "all", self.frame - one.start, (gain,)))
        return tuple(voices)

    def _section(self, take: Take) -> Section | None:
        return next((one for one in self.arrangement.sections if one.name == take.name), None)

    def _frames(self, seconds: float) -> int:
        return round(seconds * self._rate)


def _unit(intensity: float) -> float:
    if not 0 <= intensity <= 1:
        raise ValueError(f"expected an intensity of 0 to 1, found {intensity}")
    return float(intensity)
