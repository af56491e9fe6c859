"""How many requests a key may make. Pure but for its clock; ``shared_limits.py`` keeps several gateways in step.

The generic cell rate algorithm: each request pays ``window / limit`` seconds, and up to a window may be paid ahead. So
a whole minute's requests may come at once, then they come evenly, and the time until the next one is known exactly.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from loopmeter_gateway.clock import Clock, to_ms

WINDOW_S = 60
KEYS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key has left: ``remaining`` of ``limit`` in a window. ``retry_after_s`` is 0 if the request may pass."""

    limit: int
    remaining: int
    resets_in_s: int
    retry_after_s: int = 0

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit-Policy": f'"requests";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"requests";r={self.remaining};t={self.resets_in_s}',
        }


class RateLimiter:
    """Counts requests by key. Keys that have everything left are forgotten first.

    ``unreported`` is what was paid here since ``report`` was last asked, in milliseconds, by key.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paid_until_ms: OrderedDict[str, float] = OrderedDict()
        self.unreported: dict[str, float] = {}

    def take(self, key_id: str, limit: int) -> Allowance:
        """Count one request of a key that may make ``limit`` in a window. A refused request does not count."""
        now_ms = to_ms(self._clock.now())
        window_ms, price_ms = WINDOW_S * 1000, WINDOW_S * 1000 / limit
        paid_ms = max(self._paid_until_ms.get(key_id, 0.0), float(now_ms)) + price_ms
        over_ms = paid_ms - now_ms - window_ms
        if over_ms > 1e-6:
            return Allowance(limit, 0, math.ceil(over_ms / 1000), math.ceil(over_ms / 1000))
        self._remember(key_id, paid_ms)
        self.unreported[key_id] = self.unreported.get(key_id, 0.0) + price_ms
        remaining = int((window_ms - (paid_ms - now_ms)) / price_ms + 1e-9)
        return Allowance(limit, remaining, math.ceil((paid_ms - now_ms) / 1000))

    def report(self) -> dict[str, float]:
        """What was paid since the last report, to be told to the other gateways."""
        reported, self.unreported = self.unreported, {}
        return reported

    def learn(self, paid_until_ms: dict[str, float]) -> None:
        """Take until when keys have paid at all gateways together, what this one reported included."""
        for key_id, paid_ms in paid_until_ms.items():
            self._remember(key_id, paid_ms + self.unreported.get(key_id, 0.0))

    def _remember(self, key_id: str, paid_ms: float) -> None:
        self._paid_until_ms[key_id] = paid_ms
        self._paid_until_ms.move_to_end(key_id)
        if len(self._paid_until_ms) > KEYS_MAX:
            self.unreported.pop(self._paid_until_ms.popitem(last=False)[0], None)
