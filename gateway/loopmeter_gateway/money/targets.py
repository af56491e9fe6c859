"""Billing systems that take usage events, behind one interface. A target drops what it has already, by id.

``OpenMeter`` takes CloudEvents as they are. ``StripeMeters`` wants one form per event and answers a repeated
identifier with an error, which is as good as taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import httpx

from loopmeter_gateway.money.outbox import USAGE, OutboxEvent

TIMEOUT_S = 20.0


class TargetFailed(Exception):
    """A target did not take events. They stay in the outbox; send again later."""


class UsageTarget(Protocol):
    """Takes events. Returns once the target has them durably; may take them twice."""

    def send(self, events: Sequence[OutboxEvent]) -> None:
        """Raises ``TargetFailed``: none, or not all, were taken."""
        ...


class OpenMeter:
    """OpenMeter's ``POST /api/v1/events``, which drops repeated pairs of source and id where that is turned on."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/events"
        self._headers = {"Content-Type": "application/cloudevents-batch+json"} | _bearer(token)

    def send(self, events: Sequence[OutboxEvent]) -> None:
        _post(self._url, self._headers, json=[event.event for event in events])


class StripeMeters:
    """Stripe's ``POST /v1/billing/meter_events``: ``subject`` is the customer's id at Stripe.

    Stripe's meters do not count down, so refunds are left out: they belong on a credit note.
    """

    def __init__(self, url: str, token: str, event_name: str = "loopmeter_tokens") -> None:
        self._url = f"{url.rstrip('/')}/v1/billing/meter_events"
        self._headers = _bearer(token)
        self._event_name = event_name

    def send(self, events: Sequence[OutboxEvent]) -> None:
        for event in events:
            if event.event["type"] == USAGE:
                form = {
                    "event_name": self._event_name,
                    "identifier": event.id,
                    "timestamp": str(event.event["data"]["finished_at_ms"] // 1000),
                    "payload[stripe_customer_id]": event.event["subject"],
                    "payload[value]": str(event.event["data"]["tokens"]),
                }
                _post(self._url, self._headers, data=form, repeated="identifier")


TARGETS: dict[str, Callable[[str, str], UsageTarget]] = {"openmeter": OpenMeter, "stripe": StripeMeters}


def parse_target(text: str, token: str) -> tuple[str, UsageTarget]:
    """The name and the target of ``openmeter=URL`` or ``stripe=URL``. Raises ``ValueError``."""
    name, _, url = text.partition("=")
    if name not in TARGETS or not url.startswith(("http://", "https://")):
        raise ValueError(f"expected a usage target such as openmeter=https://meter.example, found {text!r}")
    return name, TARGETS[name](url, token)


def _bearer(token: str) -> dict[str, str]:
    """An OpenMeter of one's own may ask for no token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _post(
    url: str,
    headers: dict[str, str],
    *,
    json: object = None,
    data: dict[str, str] | None = None,
    repeated: str | None = None,
) -> None:
    """Post, and take a complaint about a ``repeated`` field for success."""
    try:
        answer = httpx.post(url, headers=headers, json=json, data=data, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise TargetFailed(f"{url}: expected an answer, found {type(error).__name__}: {error}; send again") from error
    if answer.is_success:
        return
    if repeated is not None and answer.status_code == 400 and repeated in answer.text and "already" in answer.text:
        return
    raise TargetFailed(f"{url}: expected success, found {answer.status_code} {answer.text[:200]!r}; send again")
