"""What a gateway says about its limits in the ``RateLimit`` fields of an answer (draft-ietf-httpapi-ratelimit-headers).

RateLimit-Policy: "orders";q=60;w=60
RateLimit: "orders";r=12;t=35
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ITEM = re.compile(r'\s*"?([^";,]+)"?((?:\s*;\s*[a-z][a-z0-9_-]*=[^;,]+)*)\s*(?:,|$)')
_PARAMETER = re.compile(r";\s*([a-z][a-z0-9_-]*)=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of the gateway: ``remaining`` of ``limit`` requests are left, until ``resets_in_s`` have passed.

    ``limit`` counts over ``window_s`` seconds. What the gateway does not say is ``None``.
    """

    name: str
    remaining: int
    limit: int | None = None
    window_s: int | None = None
    resets_in_s: int | None = None


def quotas_of(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """The quotas that an answer names; header names in lower case. Unreadable ones are left out."""
    policies = dict(_items(headers.get("ratelimit-policy", "")))
    quotas = []
    for name, found in _items(headers.get("ratelimit", "")):
        policy = policies.get(name, {})
        if "r" in found:
            quotas.append(Quota(name, found["r"], policy.get("q"), policy.get("w"), found.get("t")))
    return tuple(quotas)


def _items(field: str) -> list[tuple[str, dict[str, int]]]:
    return [
        (match[1], {name: int(value) for name, value in _PARAMETER.findall(match[2])})
        for match in _ITEM.finditer(field)
    ]
