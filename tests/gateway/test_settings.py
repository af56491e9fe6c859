"""Numbers that ``loopmeter serve --set`` takes, and what it says to others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopmeter._cli._program import program
from loopmeter_gateway.settings import Settings, with_numbers

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def test_numbers_are_taken_as_they_are_written() -> None:
    found = with_numbers(Settings(db="sqlite:///x.db"), ["chunk_days=90", "grace_s=2.5", "chunk_days=60"])

    assert found == Settings(db="sqlite:///x.db", chunk_days=60, grace_s=2.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("chunk_days=0", "chunk_days: expected a whole number above 0, found '0'"),
        ("chunk_days=1.5", "chunk_days: expected a whole number above 0, found '1.5'"),
        ("grace_s=nan", "grace_s: expected a number above 0, found 'nan'"),
        ("grace_s=soon", "grace_s: expected a number above 0, found 'soon'"),
        ("grace_s", "expected NAME=NUMBER with one of ageing_s, "),
        ("db=sqlite:///other.db", "expected NAME=NUMBER with one of ageing_s, "),
    ],
)
def test_serve_says_what_is_wrong_with_a_number(tmp_path: Path, change: str, words: str) -> None:
    options = ["--db", f"sqlite:///{tmp_path}/x.db", "--engine", "fake", "--port", "0", "--set", change]
    result = CliRunner().invoke(program, ["serve", *options])

    assert result.exit_code == 1
    assert words in result.output


def test_the_page_for_operators_names_every_number_with_its_default() -> None:
    names = re.findall(r"^\| `(\w+)` \| ([\d,.]+) ", OPERATING.read_text(), re.MULTILINE)
    kinds = {name: getattr(Settings(), name) for name in Settings.__slots__}  # type: ignore[attr-defined]
    numbers = {name: value for name, value in kinds.items() if isinstance(value, int | float)}

    assert {name: float(value.replace(",", "")) for name, value in names} == numbers
