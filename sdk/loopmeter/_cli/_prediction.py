"""What a quote foretells of time, in words. No part of the price, and absent before the gateway's engine has run."""

from __future__ import annotations

from collections.abc import Iterable

from loopmeter._models import Quote

_AT_ONCE = 1000.0  # Seconds of sound per second: no work is left behind the first chunk.


def prediction(quote: Quote) -> str | None:
    """When the first sound comes and how fast the rest; None where the quote does not say."""
    if quote.first_sound_s is None or quote.rate is None:
        return None
    first = f"predicted, once its turn has come: first sound after {seconds(quote.first_sound_s)}"
    if quote.rate >= _AT_ONCE:
        return f"{first}, the rest at once"
    slow = ", slower than it plays" if quote.rate < 1.0 else ""
    return f"{first}, then {quote.rate:.3g} s of sound per second{slow}"


def making_s(quotes: Iterable[Quote]) -> float | None:
    """About how long it takes to make them all, one after the other; None where one of them does not say."""
    total = 0.0
    for quote in quotes:
        if quote.first_sound_s is None or not quote.rate:
            return None
        total += quote.first_sound_s + quote.frames / quote.sample_rate_hz / quote.rate
    return total


def seconds(value: float) -> str:
    """A time as people say it: 0.31 s, 4.2 s, 75 s."""
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
