"""Figures that take long, kept in a file until what they were made from changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judging.audio import CACHE, engine_parts


def kept(name: str, weights: Path, source: str, make: Callable[[], Any]) -> Any:
    """JSON of ``make()``, kept as ``.cache/judge/NAME.json`` with a hash of weights, engine and ``source``."""
    path = CACHE / f"{name}.json"
    made_from = hashlib.sha256("\0".join([*engine_parts(weights), source]).encode()).hexdigest()[:10]
    if path.exists():
        known = json.loads(path.read_text())
        if known["made_from"] == made_from:
            return known["figures"]
    figures = make()
    CACHE.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"made_from": made_from, "figures": figures}, indent=1))
    return figures


def last(name: str) -> Any | None:
    """What was kept last under a name; None: never made."""
    path = CACHE / f"{name}.json"
    return json.loads(path.read_text())["figures"] if path.exists() else None
