"""What a game's music can do: its sections, their layers, its stingers. Frozen values, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from loopmeter.bake import Pack

Quantum = Literal["now", "beat", "bar", "phrase", "end"]
QUANTA: tuple[Quantum, ...] = ("now", "beat", "bar", "phrase", "end")


class Take(NamedTuple):
    """One loop that can sound: of a section its first loop (``number`` 0) or another one; of a stinger the only one."""

    name: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One stem of a section: silent below the intensity ``enters``, at its ``gain`` from ``full`` on, linear between.

    ``full`` defaults to ``enters``: the stem comes in as a whole.

    Raises:
        ValueError: an intensity is outside 0 to 1, ``full`` is below ``enters``, or ``gain`` is not above 0.
    """

    name: str
    enters: float = 0.0
    full: float | None = None
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.enters <= (self.full if self.full is not None else self.enters) <= 1 or not self.gain > 0:
            raise ValueError(f"expected 0 <= enters <= full <= 1 and gain > 0, found {self}")

    def gain_at(self, intensity: float) -> float:
        """The gain of this layer at an intensity of 0 to 1."""
        if intensity < self.enters:
            return 0.0
        if self.full is None or intensity >= self.full:
            return self.gain
        return self.gain * (intensity - self.enters) / (self.full - self.enters)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the music that repeats until it is left: one loop, in layers that sound together.

    After ``repeats`` rounds it goes on to the section ``then``, or, with several ``takes``, to its next take (0: there
    are endlessly many). ``leads_to`` names sections that are likely to follow, so that they are loaded ahead.

    Raises:
        ValueError: a number is out of range, a layer's name comes twice, or intensity 0 would be silence.
    """

    name: str
    bars: int
    layers: tuple[Layer, ...] = (Layer("all"),)
    beats_per_bar: int = 4
    phrase_bars: int = 4
    repeats: int = 1
    takes: int = 1
    then: str | None = None
    leads_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.bars, self.beats_per_bar, self.phrase_bars, self.repeats) < 1 or self.takes < 0:
            raise ValueError(f"expected bars, beats_per_bar, phrase_bars, repeats >= 1 and takes >= 0, found {self}")
        if len({layer.name for layer in self.layers}) != len(self.layers):
            raise ValueError(f"expected each layer of {self.name!r} once, found {self.layers}")
        if not any(layer.gain_at(0.0) > 0 for layer in self.layers):
            raise ValueError(f"expected a layer of {self.name!r} that sounds at intensity 0, found {self.layers}")

    def following(self, number: int) -> Take | None:
        """What comes by itself after take ``number``; ``None`` if the take just repeats."""
        if self.then is not None:
            return Take(self.then)
        if self.takes == 1:
            return None
        return Take(self.name, number + 1 if self.takes == 0 else (number + 1) % self.takes)


@dataclass(frozen=True, slots=True)
class Stinger:
    """A short piece that sounds once, over the music; ``duck`` is the music's gain under it.

    Raises:
        ValueError: ``duck`` is not above 0 and at most 1.
    """

    name: str
    duck: float = 1.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.duck <= 1 or not self.gain > 0:
            raise ValueError(f"expected 0 < duck <= 1 and gain > 0, found {self}")


@dataclass(frozen=True, slots=True)
class Arrangement:
    """All sections and stingers of one music. It starts with the first section unless ``start`` names another.

        Arrangement((Section("explore", bars=8, leads_to=("battle",)), Section("battle", bars=4)), (Stinger("hit"),))

    Raises:
        ValueError: there is no section, a name comes twice, or a section leads to one that does not exist.
    """

    sections: tuple[Section, ...]
    stingers: tuple[Stinger, ...] = ()
    start: str = ""

    def __post_init__(self) -> None:
        names = [section.name for section in self.sections] + [stinger.name for stinger in self.stingers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not self.sections or twice:
            raise ValueError(f"expected at least one section and each name once, found {names}")
        if not self.start:
            object.__setattr__(self, "start", self.sections[0].name)
        for name in (
            self.start,
            *(name for part in self.sections for name in (*part.leads_to, part.then or part.name)),
        ):
            self.section(name)

    def section(self, name: str) -> Section:
        """Raises ``ValueError`` if there is none of this name."""
        return _named(name, self.sections, "section")

    def stinger(self, name: str) -> Stinger:
        """Raises ``ValueError`` if there is none of this name."""
        return _named(name, self.stingers, "stinger")

    @classmethod
    def from_pack(cls, pack: Pack, *, start: str = "") -> Arrangement:
        """Every loop of a pack as a section that may follow every other, every stinger as a stinger."""
        loops = [loop for loop in pack.manifest.loops if loop.kind == "loop"]
        sections = tuple(
            Section(
                loop.name,
                bars=loop.bars or 1,
                layers=tuple(Layer(file.stem or "all", enters=file.enters) for file in loop.files),
                beats_per_bar=loop.beats_per_bar,
                phrase_bars=loop.phrase_bars,
                leads_to=tuple(other.name for other in loops if other is not loop),
            )
            for loop in loops
        )
        stingers = tuple(Stinger(loop.name) for loop in pack.manifest.loops if loop.kind == "stinger")
        return cls(sections, stingers, start)


_Part = TypeVar("_Part", Section, Stinger)


def _named(name: str, parts: tuple[_Part, ...], kind: str) -> _Part:
    for part in parts:
        if part.name == name:
            return part
    known = ", ".join(part.name for part in parts) or "none at all"
    raise ValueError(f"expected a {kind} among {known}, found {name!r}")
