"""Where the gateway is and who asks: arguments first, then the environment, read when a client is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8130"


@dataclass(frozen=True, slots=True)
class Timeout:
    """Limits in seconds for the phases of one attempt; ``None`` waits for ever.

    Timeout(connect_s=2)    to reach the gateway
    Timeout(read_s=10)      between two pieces of an answer; while a job waits, a gateway sends a sign of life
    Timeout(write_s=10)     between two pieces of a request
    Timeout(pool_s=10)      for a free connection, when all of this client's are in use
    """

    connect_s: float | None = 5.0
    read_s: float | None = 60.0
    write_s: float | None = 60.0
    pool_s: float | None = 60.0


def url_or_environment(url: str | None) -> str:
    """The gateway's address without a slash at its end.

    Raises:
        ValueError: not an http or https address, or one with a password in it.
    """
    found = url or os.environ.get("LOOPMETER_URL") or DEFAULT_URL
    parts = urlsplit(found)
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected an address without user and password, found one with; pass the key as api_key")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address such as {DEFAULT_URL}, found {found!r}; pass url or set LOOPMETER_URL")
    return found.rstrip("/")


def api_key_or_environment(api_key: str | None) -> str | None:
    """The key without the line end that comes with reading it from a file.

    Raises:
        ValueError: it has characters that no key has. The message does not show it.
    """
    found = (api_key or os.environ.get("LOOPMETER_API_KEY") or "").strip()
    if not all("!" <= character <= "~" for character in found):
        raise ValueError(
            "expected an API key such as lm_…, found blanks or special characters; check LOOPMETER_API_KEY"
        )
    return found or None


def installed_version() -> str:
    """The version of this package, whether it came with the whole or as the client alone."""
    from importlib.metadata import PackageNotFoundError, version  # Loaded late, for the import time.

    try:
        return version("loopmeter")
    except PackageNotFoundError:
        return version("loopmeter-sdk")


def masked(secret: str | None) -> str | None:
    """Enough of a key to tell it from others: ``lm_…cdef``."""
    return None if secret is None else f"{secret[:3]}…{secret[-4:]}" if len(secret) >= 16 else "…"
