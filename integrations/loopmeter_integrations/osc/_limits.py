"""How many messages a second one client may send. Pure: time comes in as an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

MESSAGES_PER_S = 100.0
MESSAGES_PER_S_IN_ALL = 1000.0
CLIENTS_MAX = 256


@dataclass(slots=True)
class _Bucket:
    messages_left: float
    at_s: float
    complained_at_s: float = float("-inf")


class MessageRate:
    """A token bucket per client, two seconds' worth deep.

    At most ``clients_max`` clients are remembered, those heard last; one that was forgotten starts full.
    """

    def __init__(self, per_s: float = MESSAGES_PER_S, clients_max: int = CLIENTS_MAX) -> None:
        self._per_s = per_s
        self._depth = 2 * per_s
        self._clients_max = clients_max
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def admit(self, client: Hashable, now_s: float) -> bool:
        """Take one message from the client's bucket, if one is there. ``now_s`` is monotonic."""
        bucket = self._bucket(client, now_s)
        bucket.messages_left = min(self._depth, bucket.messages_left + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.messages_left < 1:
            return False
        bucket.messages_left -= 1
        return True

    def may_complain(self, client: Hashable, now_s: float) -> bool:
        """Whether to answer a refused message: once a second, so that a flood is not answered with a flood."""
        bucket = self._bucket(client, now_s)
        if now_s - bucket.complained_at_s < 1:
            return False
        bucket.complained_at_s = now_s
        return True

    def _bucket(self, client: Hashable, now_s: float) -> _Bucket:
        bucket = self._buckets.setdefault(client, _Bucket(self._depth, now_s))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._clients_max:
            self._buckets.popitem(last=False)
        return bucket


class CapReached(Exception):
    """A loop would cost more than may be spent in an hour. ``code`` is the error code of the cap that says so."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SpendingCaps:
    """How many tokens the bridge may spend in any hour: for one client, and for all together.

    A price is reserved before the order and settled to what was charged. Spending is remembered by the minute, so an
    hour is 60 to 61 minutes long, on the safe side. ``None`` is no cap.
    """

    def __init__(self, per_client: int | None = None, in_all: int | None = None) -> None:
        self._per_client = per_client
        self._in_all = in_all
        self._spent: dict[tuple[int, Hashable], int] = {}

    @property
    def any(self) -> bool:
        """Whether there is a cap, so that a price must be known before the order."""
        return self._per_client is not None or self._in_all is not None

    def reserve(self, client: Hashable, tokens: int, now_s: float) -> int:
        """Count ``tokens`` as spent; gives the minute to settle them under. Raises ``CapReached``."""
        minute = int(now_s // 60)
        self._spent = {key: spent for key, spent in self._spent.items() if key[0] >= minute - 60 and spent}
        of_client, of_all = self._of(client, now_s), self._of(None, now_s)
        for code, cap, spent, whose in (
            ("cap_client", self._per_client, of_client, "for one client (--tokens-per-client-hour)"),
            ("cap_hour", self._in_all, of_all, "for all clients (--tokens-per-hour)"),
        ):
            if cap is not None and spent + tokens > cap:
                raise CapReached(
                    code,
                    f"expected at most {cap} tokens an hour {whose}, found {spent} spent and {tokens} asked for; "
                    "wait, ask for less, or raise the cap. Nothing was held or charged",
                )
        self._spent[minute, client] = self._spent.get((minute, client), 0) + tokens
        return minute

    def left(self, client: Hashable, now_s: float) -> int | None:
        """What may still be spent in this hour; ``None`` is any number."""
        lefts = [
            max(0, cap - spent)
            for cap, spent in ((self._per_client, self._of(client, now_s)), (self._in_all, self._of(None, now_s)))
            if cap is not None
        ]
        return min(lefts) if lefts else None

    def _of(self, client: Hashable | None, now_s: float) -> int:
        """Spent in the last hour by one client, or by all."""
        since = int(now_s // 60) - 60
        return sum(
            spent
            for (minute, owner), spent in self._spent.items()
            if minute >= since and (client is None or owner == client)
        )

    def settle(self, client: Hashable, minute: int, reserved: int, charged: int) -> None:
        """Give back what was reserved and not charged."""
        if (minute, client) in self._spent:
            self._spent[minute, client] -= reserved - charged
