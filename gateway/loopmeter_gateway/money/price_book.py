"""Prices: a price book is data, a price is a pure function of it. Integers only.

The order, stated once: tokens for the length, then for the work; the hifi surcharge on that; the peak surcharge on
all before; the plan's discount on all before. Surcharges and discount multiply as exact fractions, and the result is
rounded half up, once, at the end. Reading order: ``load_price_book``, ``price``, ``charge_due``.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime, time
from fractions import Fraction
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ValidationError

from loopmeter import PeakWindow, PlanInfo, PriceBook, Quality, QuoteLine

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[0-9a-z][0-9a-z.]{0,19}")
_TERA, _GIB = 10**12, 1 << 30


@dataclass(frozen=True, slots=True)
class Price:
    """What a loop costs, and why. The tokens of the lines add up to ``tokens``."""

    tokens: int
    lines: tuple[QuoteLine, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What a plan says that making a request takes, as far as a price may depend on it."""

    flops: int = 0
    peak_memory_bytes: int = 0


def book_id(book: PriceBook) -> str:
    """The name under which a version of a book is stored, and written on every quote and job."""
    return f"{book.name}-{book.version}"


def shipped_books() -> list[str]:
    """The names of the books that come with the gateway."""
    folder = files("loopmeter_gateway.money").joinpath("price_books")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def shipped_toml(name: str) -> str:
    """The text of the shipped book called ``name``. Raises ``ValueError``: no such book."""
    if name not in shipped_books():
        raise ValueError(f"expected the name of a shipped price book ({', '.join(shipped_books())}), found {name!r}")
    return files("loopmeter_gateway.money").joinpath("price_books", f"{name}.toml").read_text(encoding="utf-8")


def load_price_book(name: str) -> PriceBook:
    """The shipped book called ``name``.

    Raises:
        ValueError: no such book, or it says something that a price book does not have.
    """
    return parse_price_book(shipped_toml(name))


def parse_price_book(text: str) -> PriceBook:
    """A price book from TOML.

    Raises:
        ValueError: not TOML, unknown or missing keys, amounts out of range, bad times, unknown time zones.
    """
    raw = tomllib.loads(text)
    _reject_unknown(raw, PriceBook)
    for peak in raw.get("peaks", ()):
        _reject_unknown(peak, PeakWindow)
    for plan in raw.get("plans", ()):
        _reject_unknown(plan, PlanInfo)
    try:
        # Strict: 1.5 tokens or "800" in a price are mistakes, not something to make fit.
        book = PriceBook.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{field}: {first['msg']}, found {first['input']!r}") from error
    _check_amounts(book)
    _check_times(book)
    _check_plans(book)
    return book


def _reject_unknown(raw: Any, model: type[BaseModel]) -> None:
    if not isinstance(raw, dict):
        raise ValueError(f"expected a table with the keys {sorted(model.model_fields)}, found {raw!r}")
    unknown = sorted(raw.keys() - model.model_fields.keys())
    if unknown:
        raise ValueError(f"expected the keys {sorted(model.model_fields)}, found also {unknown}")


def _check_amounts(book: PriceBook) -> None:
    for key, pattern in (("name", _NAME), ("version", _VERSION)):
        if pattern.fullmatch(getattr(book, key)) is None:
            raise ValueError(f"{key}: expected {pattern.pattern}, found {getattr(book, key)!r}")
    amounts = (
        *("included_s", "base_tokens", "extra_tokens_per_s", "hifi_percent"),
        *("millitokens_per_tflop", "millitokens_per_gib_s"),
    )
    for key in amounts:
        if not 0 <= getattr(book, key) <= 10**9:
            raise ValueError(f"{key}: expected 0 to 1000000000, found {getattr(book, key)}")
    if not 1 <= book.step_ms <= 60_000:
        raise ValueError(f"step_ms: expected 1 to 60000, found {book.step_ms}")


def _check_times(book: PriceBook) -> None:
    for window in book.peaks:
        if window.percent < 0:
            raise ValueError(f"expected a surcharge of 0 % or more, found {window.percent}")
        if time.fromisoformat(window.start) == time.fromisoformat(window.end):
            raise ValueError(f"expected a peak with a length, found one from {window.start} to {window.end}")
    try:
        ZoneInfo(book.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"expected a time zone such as 'Europe/Berlin', found {book.time_zone!r}") from error


def _check_plans(book: PriceBook) -> None:
    names = [plan.name for plan in book.plans]
    if len(set(names)) != len(names):
        raise ValueError(f"expected each plan once, found {names}")
    for plan in book.plans:
        if not 0 <= plan.discount_percent <= 100:
            raise ValueError(f"plan {plan.name}: expected a discount of 0 to 100 %, found {plan.discount_percent}")
        limits = (
            *(plan.monthly_tokens, plan.rollover_tokens_max, plan.priority),
            *(plan.requests_per_minute, plan.live_streams_max),
        )
        if min(limits) < 0 or plan.duration_s_max < 1:
            raise ValueError(f"plan {plan.name}: expected limits of 0 or more and a longest piece, found {plan}")


def find_plan(book: PriceBook, name: str) -> PlanInfo:
    """What a plan grants; one that the book does not know grants nothing special."""
    return next((plan for plan in book.plans if plan.name == name), PlanInfo(name=name))


def price(
    book: PriceBook,
    *,
    frames: int,
    sample_rate_hz: int,
    quality: Quality,
    at: datetime,
    plan: PlanInfo | None = None,
    work: Work = Work(),  # A frozen value.
) -> Price:
    """The price of a loop of ``frames`` frames that is quoted or held at the moment ``at`` (with a time zone)."""
    steps = _length_steps(book, frames, sample_rate_hz) + _work_steps(book, frames, sample_rate_hz, work)
    steps += _factor_steps(book, quality, at, plan)
    exact = Fraction(0)
    totals: list[tuple[str, Fraction]] = []
    for text, amount, factor in steps:
        exact = (exact + amount) * factor
        totals.append((text, exact))
    return Price(round_half_up(exact), _lines(totals))


_Step = tuple[str, Fraction, Fraction]  # what for, what is added, what the sum is then multiplied by


def _length_steps(book: PriceBook, frames: int, sample_rate_hz: int) -> list[_Step]:
    first = f"first {book.included_s} s" if book.included_s else "each loop"
    steps: list[_Step] = [(first, Fraction(book.base_tokens), Fraction(1))]
    count = _extra_steps(book, frames, sample_rate_hz)
    if count and book.extra_tokens_per_s:
        each = Fraction(book.extra_tokens_per_s * book.step_ms, 1000)
        step = "s" if book.step_ms == 1000 else f"steps of {book.step_ms / 1000:g} s"
        above = f" above {book.included_s} s" if book.included_s else ""
        steps.append((f"{count} started {step}{above}, {float(each):g} tokens each", count * each, Fraction(1)))
    return steps


def _extra_steps(book: PriceBook, frames: int, sample_rate_hz: int) -> int:
    """Started steps above the included seconds, counted in frames: 60 s and one frame are 61 s."""
    extra_frames = max(0, frames - book.included_s * sample_rate_hz)
    return -(-extra_frames * 1000 // (sample_rate_hz * book.step_ms))


def _work_steps(book: PriceBook, frames: int, sample_rate_hz: int, work: Work) -> list[_Step]:
    steps: list[_Step] = []
    if book.millitokens_per_tflop:
        amount = Fraction(work.flops * book.millitokens_per_tflop, _TERA * 1000)
        each = f"{book.millitokens_per_tflop / 1000:g} tokens per 10^12"
        steps.append((f"{work.flops / 1e9:.1f} * 10^9 operations, {each}", amount, Fraction(1)))
    if book.millitokens_per_gib_s:
        gib_s = Fraction(work.peak_memory_bytes * frames, _GIB * sample_rate_hz)
        each_gib = Fraction(book.millitokens_per_gib_s, 1000)
        steps.append(
            (f"{float(gib_s):.2f} GiB s of memory, {float(each_gib):g} tokens each", gib_s * each_gib, Fraction(1))
        )
    return steps


def _factor_steps(book: PriceBook, quality: Quality, at: datetime, plan: PlanInfo | None) -> list[_Step]:
    steps: list[_Step] = []
    none = Fraction(0)
    if quality == "hifi" and book.hifi_percent:
        factor = Fraction(100 + book.hifi_percent, 100)
        steps.append((f"hifi, two channels at 24 bit, +{book.hifi_percent} %", none, factor))
    peak = peak_at(book, at)
    if peak is not None and peak.percent:
        text = f"peak hours {peak.start} to {peak.end} {book.time_zone}, +{peak.percent} %"
        steps.append((text, none, Fraction(100 + peak.percent, 100)))
    if plan is not None and plan.discount_percent:
        factor = Fraction(100 - plan.discount_percent, 100)
        steps.append((f"plan {plan.name}, -{plan.discount_percent} %", none, factor))
    return steps


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
