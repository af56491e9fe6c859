"""Where the gateway is and who asks: arguments first, then the environment, read when a client is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8130"


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds for one attempt: to connect, and between two pieces of an answer."""

    connect_s: float = 5.0
    read_s: float = 60.0


def url_or_environment(url: str | None) -> str:
    """The gateway's address without a slash at its end.

    Raises:
        ValueError: not an http or https address.
    """
    found = url or os.environ.get("LOOPMETER_URL") or DEFAULT_URL
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as {DEFAULT_URL}, found {found!r}; pass url or set LOOPMETER_URL")
    return found.rstrip("/")


def api_key_or_environment(api_key: str | None) -> str | None:
    return api_key or os.environ.get("LOOPMETER_API_KEY") or None
