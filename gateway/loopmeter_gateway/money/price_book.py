"""Prices: a price book is data, a price is a pure function of it. Integers only.

The order, stated once: tokens for the length; the hifi surcharge on that; the peak surcharge on both. Surcharges
multiply as exact fractions, and the result is rounded half up, once, at the end. Reading order: ``load_price_book``,
``price``, ``charge_due``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime, time
from fractions import Fraction
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel

from loopmeter import PeakWindow, PlanInfo, PriceBook, Quality, QuoteLine


@dataclass(frozen=True, slots=True)
class Price:
    """What a loop costs, and why. The tokens of the lines add up to ``tokens``."""

    tokens: int
    lines: tuple[QuoteLine, ...]


def load_price_book(name: str) -> PriceBook:
    """The shipped book called ``name``.

    Raises:
        ValueError: no such book, or it says something that a price book does not have.
    """
    book = files("loopmeter_gateway.money").joinpath("price_books", f"{name}.toml")
    if not name.isidentifier() or not book.is_file():
        raise ValueError(f"expected the name of a shipped price book such as 'standard', found {name!r}")
    return parse_price_book(book.read_text(encoding="utf-8"))


def parse_price_book(text: str) -> PriceBook:
    """A price book from TOML. Raises ``ValueError`` for unknown keys, bad times and unknown time zones."""
    raw = tomllib.loads(text)
    _reject_unknown(raw, PriceBook)
    for peak in raw.get("peaks", ()):
        _reject_unknown(peak, PeakWindow)
    for plan in raw.get("plans", ()):
        _reject_unknown(plan, PlanInfo)
    book = PriceBook.model_validate(raw)
    if min(book.included_s, book.base_tokens, book.extra_tokens_per_s, book.hifi_percent) < 0:
        raise ValueError("expected prices of 0 or more, found a negative one")
    for window in book.peaks:
        if window.percent < 0:
            raise ValueError(f"expected a surcharge of 0 % or more, found {window.percent}")
        time.fromisoformat(window.start), time.fromisoformat(window.end)
    try:
        ZoneInfo(book.time_zone)
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"expected a time zone such as 'Europe/Berlin', found {book.time_zone!r}") from error
    return book


def _reject_unknown(raw: dict[str, Any], model: type[BaseModel]) -> None:
    unknown = sorted(raw.keys() - model.model_fields.keys())
    if unknown:
        raise ValueError(f"expected the keys {sorted(model.model_fields)}, found also {unknown}")


def price(book: PriceBook, *, frames: int, sample_rate_hz: int, quality: Quality, at: datetime) -> Price:
    """The price of a loop of ``frames`` frames that is quoted or held at the moment ``at`` (with a time zone)."""
    extra_s = _extra_s(book, frames, sample_rate_hz)
    exact = Fraction(book.base_tokens)
    steps: list[tuple[str, Fraction]] = [(f"first {book.included_s} s", exact)]
    if extra_s:
        exact += book.extra_tokens_per_s * extra_s
        text = f"{extra_s} started s above {book.included_s} s, {book.extra_tokens_per_s} tokens each"
        steps.append((text, exact))
    if quality == "hifi" and book.hifi_percent:
        exact *= Fraction(100 + book.hifi_percent, 100)
        steps.append((f"hifi, two channels at 24 bit, +{book.hifi_percent} %", exact))
    peak = peak_at(book, at)
    if peak is not None and peak.percent:
        exact *= Fraction(100 + peak.percent, 100)
        steps.append((f"peak hours {peak.start} to {peak.end} {book.time_zone}, +{peak.percent} %", exact))
    return Price(round_half_up(exact), _lines(steps))


def _extra_s(book: PriceBook, frames: int, sample_rate_hz: int) -> int:
    """Started seconds above the included ones, counted in frames: 60 s and one frame are 61."""
    extra_frames = max(0, frames - book.included_s * sample_rate_hz)
    return -(-extra_frames // sample_rate_hz)


def peak_at(book: PriceBook, at: datetime) -> PeakWindow | None:
    """The first peak window around ``at``: start inside, end outside, over midnight where end is before start."""
    local = at.astimezone(ZoneInfo(book.time_zone)).time()
    for window in book.peaks:
        start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
        inside = start <= local < end if start <= end else local >= start or local < end
        if inside:
            return window
    return None


def round_half_up(exact: Fraction) -> int:
    """The nearest integer of a number that is not negative; a half goes up."""
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def _lines(steps: list[tuple[str, Fraction]]) -> tuple[QuoteLine, ...]:
    """Each line is the difference of two rounded running totals, so the lines add up to the price."""
    lines: list[QuoteLine] = []
    before = 0
    for text, exact in steps:
        total = round_half_up(exact)
        lines.append(QuoteLine(text=text, tokens=total - before))
        before = total
    return tuple(lines)


def charge_due(tokens: int, frames_delivered: int, frames: int) -> int:
    """What is due in all once ``frames_delivered`` of ``frames`` are delivered; all of ``tokens`` at the end.

    Chunk k is charged the difference to what was charged before, so the sum is exact without a correction at the end.
    """
    assert 0 <= frames_delivered <= frames and frames > 0
    return tokens * frames_delivered // frames
