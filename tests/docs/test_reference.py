"""The reference has every public name, with what its docstring says."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.reference import documented, entry, page

import loopmeter
from loopmeter import adaptive, bake, testing

EVERY_NAME = [(module, name) for module in (loopmeter, bake, adaptive, testing) for name in documented(module)]
WRITTEN = Path(__file__).parents[2] / "docs" / "sdk-reference.md"


@pytest.mark.parametrize(("module", "name"), EVERY_NAME, ids=lambda value: value if isinstance(value, str) else "")
def test_every_public_name_says_what_it_gives(module: object, name: str) -> None:
    heading, code, text, *_ = entry(name, getattr(module, name))

    assert heading == f"### {name}\n" and code.startswith(f"```python\n{name}")
    assert len(text.split()) > 2 and "dict() ->" not in text, f"{name} has no docstring of its own"


def test_the_page_has_methods_fields_and_both_packages() -> None:
    text = page()

    for part in ("#### Loops.stream", "| `tempo_bpm` |", "## loopmeter.testing", "### FakeGateway", "- **progress**"):
        assert part in text


@pytest.mark.soak
def test_the_page_in_the_folder_is_the_one_that_is_written_now() -> None:
    """Not in the short tests, so that a docstring may change before the page; ``make reference`` writes it."""
    assert WRITTEN.read_text() == page()
