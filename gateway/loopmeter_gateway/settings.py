"""Every setting of the gateway, with its default, once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """How a gateway runs. Times are in seconds of the injected clock, but for ``sweep_every_s``: real seconds.

    ``grace_s``: how long a streamed job waits, without making anything, for its reader to come back.
    ``hold_ttl_s``: a hold that has not moved for so long expires. ``lease_chunks``: how far the engine may run
    ahead of the reader. ``cache_bytes_max``: encoded files kept under ``data``, oldest dropped first.
    ``chunks``: the store of delivered sound (see ``open_chunk_store``), which is kept for ``chunk_days``.
    ``ageing_s``: how much waiting is worth one level of priority. ``queue_jobs_max``: more waiting jobs are refused.
    ``usage_target``: the billing system that is sent the outbox every ``usage_every_s`` (see ``parse_target``).
    ``live_pause_s``: how long a live session may be paused. ``price_book``: a shipped one, or one that is in force.
    """

    db: str = "sqlite:///loopmeter.db"
    data: Path = Path("loopmeter-data")
    price_book: str = "standard"
    quote_ttl_s: int = 300
    grace_s: float = 30.0
    hold_ttl_s: int = 3600
    lease_chunks: int = 4
    keep_alive_s: float = 10.0
    sweep_every_s: float = 1.0
    body_bytes_max: int = 7_000_000
    cache_bytes_max: int = 1 << 30
    live_pause_s: float = 1800.0
    ageing_s: float = 4.0
    queue_jobs_max: int = 1000
    chunks: str = ""
    chunk_days: int = 30
    usage_target: str = ""
    usage_token: str = field(default="", repr=False)
    usage_every_s: float = 30.0


def with_numbers(settings: Settings, changes: Iterable[str]) -> Settings:
    """Settings with other numbers, each written as ``chunk_days=90``.

    Raises:
        ValueError: there is no such number, or its value is none above 0.
    """
    kinds = {known.name: type(known.default) for known in fields(Settings) if isinstance(known.default, int | float)}
    found: dict[str, Any] = {}
    for change in changes:
        name, equals, said = change.partition("=")
        if name not in kinds or not equals:
            raise ValueError(f"expected NAME=NUMBER with one of {', '.join(sorted(kinds))}, found {change!r}")
        try:
            found[name] = kinds[name](said)
        except ValueError:
            found[name] = 0
        if not (found[name] > 0 and math.isfinite(found[name])):
            number = "whole number" if kinds[name] is int else "number"
            raise ValueError(f"{name}: expected a {number} above 0, found {said!r}")
    return replace(settings, **found)
