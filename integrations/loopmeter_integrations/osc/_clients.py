"""Who talks to the bridge, and what they have asked to be told. Pure: time comes in as an argument."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Transport = Literal["udp", "tcp", "replay"]
Topic = Literal["heartbeat", "beat", "decks"]

TOPICS: tuple[Topic, ...] = ("heartbeat", "beat", "decks")
SUBSCRIPTIONS_MAX = 768  # Three topics for each of 256 clients.
LEASE_S_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Client:
    """One sender: an address for UDP, a connection for TCP. Everything about a client is kept under this value.

    ``socket_address`` is what the system calls it, where that is more than host and port, as for IPv6.
    """

    transport: Transport
    host: str
    port: int
    socket_address: tuple[str | int, ...] = field(default=(), compare=False)

    def at_port(self, port: int) -> Client:
        """A UDP port of the same host."""
        address = (self.host, port, *self.socket_address[2:]) if self.socket_address else ()
        return Client("udp", self.host, port, address)

    def __str__(self) -> str:
        return f"{self.transport} {self.host}:{self.port}"


class TooManySubscriptions(Exception):
    """As many are told as can be told."""


class Subscriptions:
    """Leases: a client is told about a topic until the lease that it asked for runs out."""

    def __init__(self, subscriptions_max: int = SUBSCRIPTIONS_MAX) -> None:
        self._max = subscriptions_max
        self._leases: dict[tuple[Topic, Client], tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def lease(self, topic: Topic, client: Client, own_id: str, until_s: float, now_s: float) -> None:
        """Begin, renew, or with ``until_s`` not after ``now_s`` end a lease. Raises ``TooManySubscriptions``."""
        self._leases.pop((topic, client), None)
        if until_s <= now_s:
            return
        if len(self._leases) >= self._max:
            self._drop_expired(now_s)
        if len(self._leases) >= self._max:
            raise TooManySubscriptions(f"expected at most {self._max} subscriptions; end one, or wait for one to end")
        self._leases[topic, client] = (own_id, until_s)

    def of(self, topic: Topic, now_s: float) -> Iterator[tuple[Client, str]]:
        """Who is to be told about ``topic`` now, each with the id that it subscribed under."""
        self._drop_expired(now_s)
        for (leased, client), (own_id, _) in list(self._leases.items()):
            if leased == topic:
                yield client, own_id

    def forget(self, client: Client) -> None:
        """The client has gone."""
        for topic in TOPICS:
            self._leases.pop((topic, client), None)

    def _drop_expired(self, now_s: float) -> None:
        self._leases = {key: lease for key, lease in self._leases.items() if lease[1] > now_s}
