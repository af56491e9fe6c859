"""Prices: the standard book's table, its edges, and what holds for every input."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import LoopRequest, Quality
from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.money.price_book import (
    charge_due,
    load_price_book,
    parse_price_book,
    peak_at,
    price,
    round_half_up,
)
from loopmeter_gateway.money.quotes import Offer, make_offer

RATE = 44_100
STANDARD = load_price_book("standard")
OFF_PEAK = datetime(2026, 1, 5, 12, tzinfo=UTC)
PEAK = datetime(2026, 1, 5, 8, tzinfo=UTC)
BERLIN = parse_price_book(
    'name = "b"\nversion = "1"\nincluded_s = 60\nbase_tokens = 800\nextra_tokens_per_s = 10\nhifi_percent = 30\n'
    'time_zone = "Europe/Berlin"\npeaks = [{start = "22:30", end = "01:15", percent = 7}]\n'
)


@pytest.mark.parametrize(
    ("frames", "quality", "at", "tokens"),
    [
        (1, "standard", OFF_PEAK, 800),
        (60 * RATE, "standard", OFF_PEAK, 800),
        (60 * RATE + 1, "standard", OFF_PEAK, 810),
        (round(60.01 * RATE), "standard", OFF_PEAK, 810),
        (61 * RATE, "standard", OFF_PEAK, 810),
        (61 * RATE + 1, "standard", OFF_PEAK, 820),
        (300 * RATE, "standard", OFF_PEAK, 3200),
        (60 * RATE, "hifi", OFF_PEAK, 1040),
        (300 * RATE, "hifi", OFF_PEAK, 4160),
        (60 * RATE, "standard", PEAK, 960),
        (60 * RATE, "hifi", PEAK, 1248),
        (61 * RATE, "hifi", PEAK, 1264),  # 810 * 1.3 * 1.2 = 1263.6
    ],
)
def test_standard_book_charges_its_table(frames: int, quality: Quality, at: datetime, tokens: int) -> None:
    found = price(STANDARD, frames=frames, sample_rate_hz=RATE, quality=quality, at=at)

    assert found.tokens == tokens


def test_lines_say_in_words_what_is_paid_for() -> None:
    found = price(STANDARD, frames=61 * RATE, sample_rate_hz=RATE, quality="hifi", at=PEAK)

    assert [(line.text, line.tokens) for line in found.lines] == [
        ("first 60 s", 800),
        ("1 started s above 60 s, 10 tokens each", 10),
        ("hifi, two channels at 24 bit, +30 %", 243),
        ("peak hours 08:00 to 10:00 UTC, +20 %", 211),
    ]


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [(Fraction(1, 2), 1), (Fraction(3, 2), 2), (Fraction(5, 2), 3), (Fraction(7, 5), 1), (Fraction(0), 0)],
)
def test_a_half_rounds_up(exact: Fraction, rounded: int) -> None:
    assert round_half_up(exact) == rounded


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-01-05T07:59:59.999999", False),
        ("2026-01-05T08:00:00", True),
        ("2026-01-05T09:59:59.999999", True),
        ("2026-01-05T10:00:00", False),
        ("2026-01-05T19:00:00", True),
        ("2026-01-05T22:00:00", False),
    ],
)
def test_a_peak_begins_with_its_start_and_ends_before_its_end(moment: str, inside: bool) -> None:
    assert (peak_at(STANDARD, datetime.fromisoformat(moment).replace(tzinfo=UTC)) is not None) == inside


@pytest.mark.parametrize(
    ("utc", "inside"),
    [
        ("2026-01-05T21:29:59", False),  # winter: 22:29:59 in Berlin
        ("2026-01-05T21:30:00", True),
        ("2026-01-06T00:14:59", True),  # past midnight
        ("2026-01-06T00:15:00", False),
        ("2026-07-05T20:30:00", True),  # summer: 22:30 in Berlin
        ("2026-07-05T23:15:00", False),
    ],
)
def test_a_peak_over_midnight_follows_its_time_zone(utc: str, inside: bool) -> None:
    assert (peak_at(BERLIN, datetime.fromisoformat(utc).replace(tzinfo=UTC)) is not None) == inside


@given(
    frames=st.integers(1, 300 * RATE),
    quality=st.sampled_from(("standard", "hifi")),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    book=st.sampled_from((STANDARD, BERLIN)),
)
def test_price_is_the_exact_product_rounded_once(frames: int, quality: Quality, at: datetime, book: object) -> None:
    assert book is STANDARD or book is BERLIN
    known = STANDARD if book is STANDARD else BERLIN
    peak = peak_at(known, at)
    exact = Fraction(800 + 10 * max(0, -(-frames // RATE) - 60))
    exact *= Fraction(13, 10) if quality == "hifi" else 1
    exact *= Fraction(100 + (peak.percent if peak else 0), 100)

    found = price(known, frames=frames, sample_rate_hz=RATE, quality=quality, at=at)

    assert Fraction(-1, 2) < found.tokens - exact <= Fraction(1, 2)
    assert sum(line.tokens for line in found.lines) == found.tokens


@given(
    chunk_frames=st.lists(st.integers(1, 40_000), min_size=1, max_size=60),
    tokens=st.integers(0, 2**40),
)
def test_chunk_charges_add_up_to_the_price(chunk_frames: list[int], tokens: int) -> None:
    frames = sum(chunk_frames)
    charged, delivered, charges = 0, 0, []
    for count in chunk_frames:
        delivered += count
        charges.append(charge_due(tokens, delivered, frames) - charged)
        charged += charges[-1]

    assert sum(charges) == tokens
    assert min(charges) >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        "surcharge = 3\n",
        'peaks = [{start = "25:00", end = "26:00", percent = 1}]\n',
        'peaks = [{start = "05:00", end = "06:00", percent = -1}]\n',
        'time_zone = "Mars/Base"\n',
        'plans = [{name = "x", colour = "red"}]\n',
    ],
    ids=["unknown key", "no time", "negative surcharge", "unknown zone", "unknown plan key"],
)
def test_a_book_that_says_something_else_is_refused(wrong: str) -> None:
    good = 'name = "b"\nversion = "1"\nincluded_s = 60\nbase_tokens = 800\nextra_tokens_per_s = 10\nhifi_percent = 30\n'

    with pytest.raises(ValueError):
        parse_price_book(good + wrong)


def test_an_unknown_book_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"found '\.\./secret'"):
        load_price_book("../secret")


@given(chunk_frames=st.lists(st.sampled_from([1, 32_768, 40_000]), min_size=1, max_size=60))
def test_an_offer_is_read_as_it_was_stored_by_this_release_and_by_earlier_ones(chunk_frames: list[int]) -> None:
    made = make_offer(FakeEngine(), STANDARD, "standard", LoopRequest(prompt="x"), OFF_PEAK)
    offer = made.model_copy(update={"chunk_frames": tuple(chunk_frames)})
    earlier = json.dumps(json.loads(offer.kept()) | {"chunk_frames": chunk_frames})

    assert Offer.model_validate_json(offer.kept()) == offer
    assert Offer.model_validate_json(earlier) == offer
