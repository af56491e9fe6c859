"""What a game wants to hear: ``music.toml``, read and checked. Pure but for ``load_music``.

    [pack]
    name = "dungeon"
    max_tokens = 20000          # the budget of one bake; --max-tokens wins

    [defaults]                  # any field of a request, for every loop below
    tempo_bpm = 96
    key = "Dm"
    bars = 8

    [[loop]]
    name = "explore"
    prompt = "calm dungeon, soft mallets, far drums"

    [[loop]]
    name = "battle"
    prompt = "fierce dungeon battle, driving drums"
    stems = { drums = 0.0, bass = 0.0, lead = 0.6 }   # one file each; the number is the intensity at which it enters

    [[stinger]]
    name = "treasure"
    prompt = "short bright flourish"
    bars = 1

Stems of one loop are one plan with fewer layers each, so they fit together. Three fields are paths from the TOML
file on: ``midi`` replaces the plan's notes, ``source`` is what a ``task`` works on, ``reference`` lends its timbre.
What the files hold is part of the request, so a file that changed is a loop that changed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from loopmeter._cache import request_sha256
from loopmeter._exceptions import InvalidRequest
from loopmeter._material import midi_base64, sound_base64
from loopmeter._models import LAYERS, Layer, LoopRequest
from loopmeter.bake._exceptions import InvalidMusicFile

ITEMS_MAX = 1000
PackFormat = Literal["wav", "ogg"]
Kind = Literal["loop", "stinger"]
_Model = TypeVar("_Model", bound=BaseModel)
_Read = Callable[[Path], str]
_FILES: Mapping[str, tuple[str, _Read]] = {
    "midi": ("midi_base64", midi_base64),
    "source": ("source_audio_base64", partial(sound_base64, field="source")),
    "reference": ("reference_audio_base64", partial(sound_base64, field="reference")),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackOptions(_Strict):
    """The table ``[pack]``. ``live`` says that the game also makes music while it is played, for the disclosure."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    format: PackFormat = "wav"
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    live: bool = False


class MusicLoop(_Strict):
    """One ``[[loop]]`` or ``[[stinger]]``. ``stems`` maps each stem to the intensity (0 to 1) at which it enters."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    kind: Kind
    request: LoopRequest
    stems: dict[Layer, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    phrase_bars: Annotated[int, Field(ge=1, le=64)] = 4

    @field_validator("stems", mode="before")
    @classmethod
    def _a_list_enters_at_once(cls, value: Any) -> Any:
        return dict.fromkeys(value, 0.0) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_stem_always_sounds(self) -> MusicLoop:
        if self.stems and min(self.stems.values()) > 0:
            raise ValueError(f"expected a stem that enters at 0, found {self.stems}; else intensity 0 is silence")
        if self.stems and self.request.layers is not None:
            raise ValueError("expected stems or layers, found both; stems are the layers, one file each")
        return self

    def items(self) -> tuple[BakeItem, ...]:
        """The files of this loop: one per stem, or one for the whole."""
        if not self.stems:
            return (BakeItem(self.name, None, self.request),)
        ordered = [layer for layer in LAYERS if layer in self.stems]
        return tuple(BakeItem(self.name, stem, self.request.model_copy(update={"layers": (stem,)})) for stem in ordered)


@dataclass(frozen=True, slots=True)
class BakeItem:
    """One file to be made: a loop's name, its stem (``None``: all layers), and the request that makes it."""

    name: str
    stem: Layer | None
    request: LoopRequest

    @property
    def file_stem(self) -> str:
        """The name of its files without their endings."""
        return self.name if self.stem is None else f"{self.name}.{self.stem}"

    @property
    def request_sha256(self) -> str:
        return request_sha256(self.request)


class Music(_Strict):
    """A whole list: the options of the pack, and its loops and stingers in order."""

    pack: PackOptions
    loops: Annotated[tuple[MusicLoop, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Music:
        names = [loop.name for loop in self.loops]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected each name once, found {twice[0]!r} twice")
        if len(self.items()) > ITEMS_MAX:
            raise ValueError(f"expected at most {ITEMS_MAX} files in one pack, found {len(self.items())}; split it")
        return self

    def items(self) -> tuple[BakeItem, ...]:
        """Every file of the pack, in order."""
        return tuple(item for loop in self.loops for item in loop.items())


def load_music(path: str | os.PathLike[str]) -> Music:
    """The list of music in a TOML file.

    Raises:
        InvalidMusicFile: the file, or one that it names, cannot be read or sent, or a field is wrong.
    """
    source = Path(path)
    try:
        tables = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        found = f"{error.strerror or error} at {source}"
        raise InvalidMusicFile(f"expected a readable file, found {found}; pass the path of a music.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidMusicFile(f"{source}: expected TOML, found {error}") from error
    try:
        return parse_music(tables, source.parent)
    except InvalidMusicFile as error:
        raise InvalidMusicFile(f"{source}: {error.message}") from error


def parse_music(tables: Mapping[str, Any], folder: Path) -> Music:
    """The list of music in parsed TOML. ``folder`` is where its paths start. Raises as ``load_music``."""
    unknown = sorted(tables.keys() - {"pack", "defaults", "loop", "stinger"})
    if unknown:
        raise InvalidMusicFile(f"expected the tables pack, defaults, loop and stinger, found {unknown[0]!r}")
    defaults = tables.get("defaults", {})
    if not isinstance(defaults, Mapping):
        raise InvalidMusicFile(f"defaults: expected a table, found {defaults!r}")
    loops = [
        _loop(kind, index, entry, defaults, folder)
        for kind in ("loop", "stinger")
        for index, entry in enumerate(_entries(tables, kind))
    ]
    pack = _validated("pack", PackOptions, tables.get("pack", {}))
    return _validated("music", Music, {"pack": pack, "loops": loops})


def _entries(tables: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    entries = tables.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InvalidMusicFile(f"{kind}: expected tables under [[{kind}]], found {entries!r}")
    return entries


def _loop(kind: str, index: int, entry: Mapping[str, Any], defaults: Mapping[str, Any], folder: Path) -> MusicLoop:
    where = f"[[{kind}]] {entry.get('name', f'number {index + 1}')!r}"
    own = {key: entry[key] for key in ("name", "stems", "phrase_bars") if key in entry}
    fields = {**defaults, **{key: value for key, value in entry.items() if key not in own}}
    for name in _FILES.keys() & fields.keys():
        field, read = _FILES[name]
        if field in fields:
            raise InvalidMusicFile(f"{where}: expected {name} or {field}, found both")
        fields[field] = _contents(f"{where}: {name}", read, folder, fields.pop(name))
    request = _validated(where, LoopRequest, fields)
    return _validated(where, MusicLoop, {**own, "kind": kind, "request": request})


def _contents(where: str, read: _Read, folder: Path, path: object) -> str:
    if not isinstance(path, str):
        raise InvalidMusicFile(f"{where}: expected the path of a file, found {path!r}")
    try:
        return read(folder / path)
    except InvalidRequest as error:
        wrong = error.errors[0]
        raise InvalidMusicFile(f"{where}: expected {wrong.expected}, found {path!r}: {wrong.found}") from error


def _validated(where: str, model: type[_Model], fields: object) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] in ("missing", "value_error") else f", found {first['input']!r}"
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidMusicFile(f"{where}: {field + ': ' if field else ''}{message}{found}") from error
