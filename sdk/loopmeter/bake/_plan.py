"""Compare a list of music with a folder, and ask for the price of what is missing or has changed. Holds nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from loopmeter._client import Loopmeter
from loopmeter._exceptions import LoopmeterError
from loopmeter._models import Quote
from loopmeter.bake._exceptions import InvalidMusicFile, PackDamaged
from loopmeter.bake._manifest import Manifest, PackFile
from loopmeter.bake._music import BakeItem, Music
from loopmeter.bake._pack import Pack, stored_bytes

Reason = Literal["new", "changed", "damaged", "asked", "unchanged"]


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One file of the pack-to-be: why it is made, and at which price. ``quote`` is ``None`` if it is ``unchanged``."""

    item: BakeItem
    reason: Reason
    quote: Quote | None = None
    kept: PackFile | None = None

    @property
    def tokens(self) -> int:
        return self.quote.tokens if self.quote is not None else 0


@dataclass(frozen=True, slots=True)
class BakePlan:
    """What a bake will do and what it will cost. Nothing is held or charged yet."""

    music: Music
    folder: Path
    items: tuple[PlannedItem, ...]
    before: Manifest | None

    @property
    def tokens(self) -> int:
        """The price of everything that is to be made: the bill of this bake."""
        return sum(planned.tokens for planned in self.items)

    @property
    def orphans(self) -> tuple[str, ...]:
        """Files of the former pack that the new one has no use for."""
        former = self.before.paths() if self.before is not None else set()
        ending = self.music.pack.format
        wanted = {f"{item.file_stem}.{end}" for item in self.music.items() for end in (ending, "mid")}
        return tuple(sorted(former - wanted))


def plan_bake(client: Loopmeter, music: Music, folder: str | os.PathLike[str], *, fresh: bool = False) -> BakePlan:
    """Compare the list with what lies in ``folder``, and ask for the price of what is missing or has changed.

    ``fresh`` asks for everything, changed or not: to have other weights make the same music, say.

    Raises:
        InvalidMusicFile: the stems of a loop would differ in length.
        InvalidRequest: the gateway refuses a request; its message names the field, its note the file of the pack.
    """
    target = Path(folder)
    try:
        before = Pack(target).manifest
    except PackDamaged:
        before = None
    planned = [_compared(item, music, target, before, fresh) for item in music.items()]
    planned = [one if one.reason == "unchanged" else _priced(client, one) for one in planned]
    _check_lengths(planned, before)
    return BakePlan(music, target, tuple(planned), before)


def _compared(item: BakeItem, music: Music, folder: Path, before: Manifest | None, fresh: bool) -> PlannedItem:
    kept = before.files().get(item.file_stem) if before is not None else None
    if kept is None or before is None:
        return PlannedItem(item, "new")
    if fresh:
        return PlannedItem(item, "asked")
    if kept.request_sha256 != item.request_sha256 or before.audio_format != music.pack.format:
        return PlannedItem(item, "changed")
    try:
        stored_bytes(folder, kept.audio)
        stored_bytes(folder, kept.midi)
    except PackDamaged:
        return PlannedItem(item, "damaged")
    return PlannedItem(item, "unchanged", kept=kept)


def _priced(client: Loopmeter, planned: PlannedItem) -> PlannedItem:
    try:
        return replace(planned, quote=client.quote(planned.item.request))
    except LoopmeterError as error:
        error.add_note(f"This was {planned.item.file_stem!r} of the list")
        raise


def _check_lengths(planned: list[PlannedItem], before: Manifest | None) -> None:
    known = {loop.name: loop.frames for loop in before.loops} if before is not None else {}
    frames: dict[str, int] = {}
    for one in planned:
        name = one.item.name
        length = one.quote.frames if one.quote is not None else known[name]
        if frames.setdefault(name, length) != length:
            raise InvalidMusicFile(
                f"expected stems of equal length in {name!r}, found {frames[name]} and {length} frames; "
                "give the loop a tempo_bpm and bars"
            )
