"""Make the blocking client from the async one: ``python -m tests.sdk.twins``. Words are exchanged, nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).parents[2] / "sdk" / "loopmeter"

_HEADER = (
    '"""The client for asyncio. ``python -m tests.sdk.twins`` makes ``_client.py`` from it, and a test compares.',
    '"""The blocking client. Made from ``_async_client.py`` by ``python -m tests.sdk.twins``; change that file.',
)
_WORDS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|next|iter)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\btasks\b", "threads"),
    (r"\bAsync(?=[A-Z])", ""),
)


def blocking(source: str) -> str:
    """The source of ``_client.py`` for that of ``_async_client.py``."""
    text = source.replace(*_HEADER)
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    ruff = [sys.executable, "-m", "ruff"]
    sort = [*ruff, "check", "--quiet", "--select", "I", "--fix", "--stdin-filename", str(SDK / "_client.py"), "-"]
    layout = [*ruff, "format", "--line-length", "120", "-"]
    for command in (sort, layout):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    (SDK / "_client.py").write_text(blocking((SDK / "_async_client.py").read_text()))
