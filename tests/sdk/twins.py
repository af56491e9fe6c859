"""Make the blocking client from the async one: ``python -m tests.sdk.twins``. Words are exchanged, nothing else.

Each module ``sdk/loopmeter/_async_NAME.py`` has a twin ``_NAME.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).parents[2] / "sdk" / "loopmeter"

_TITLE = re.compile(r'\A"""(.+?) for asyncio(.*?)"""', re.DOTALL)
_WORDS = (
    (r"\b_async_(?=[a-z])", "_"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bimport Awaitable, ", "import "),
    (r"\bAwaitable\[([^\[\]]*)\]", r"\1"),
    (r"\b__a(enter|exit|next|iter)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\btasks\b", "threads"),
    (r"\bAsync(?=[A-Z])", ""),
)


def async_modules() -> list[Path]:
    """The modules that have a twin."""
    return sorted(SDK.glob("_async_*.py"))


def twin_of(module: Path) -> Path:
    """Where the twin of a module stands."""
    return module.with_name(module.name.replace("_async_", "_", 1))


def blocking(module: Path) -> str:
    """The source of the twin of a module."""
    origin = f"Made from ``{module.name}`` by ``python -m tests.sdk.twins``; change that file."
    text, titles = _TITLE.subn(rf'"""\1, blocking.\n\n{origin}\n"""', module.read_text(), count=1)
    assert titles == 1, f"expected a first line that says 'for asyncio', found none in {module}"
    head, body = text.split('"""', 2)[1], text.split('"""', 2)[2]
    for pattern, replacement in _WORDS:
        body = re.sub(pattern, replacement, body)
    text = f'"""{head}"""{body}'
    ruff = [sys.executable, "-m", "ruff"]
    sort = [*ruff, "check", "--quiet", "--select", "I", "--fix", "--stdin-filename", str(twin_of(module)), "-"]
    layout = [*ruff, "format", "--line-length", "120", "-"]
    for command in (sort, layout):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    for module in async_modules():
        twin_of(module).write_text(blocking(module))
