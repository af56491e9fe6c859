"""The examples hold before pyright's strict rules too; mypy's look at them in ``make lint``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sdk.test_types import pyright_lines

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["dungeon.py", "bake_for_engine.py"])
def test_pyright_finds_nothing(name: str, tmp_path: Path) -> None:
    assert pyright_lines(EXAMPLES / name, tmp_path) == {}
