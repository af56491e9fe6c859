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
