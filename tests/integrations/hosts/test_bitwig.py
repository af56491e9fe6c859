"""The Bitwig controller script in Node, over a real bridge and gateway; Bitwig itself is a stand-in (``bitwig.js``)."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest
from tests.integrations.hosts.studio import ADDONS, Studio, needs, run_host

pytestmark = needs("node")


def _run(
    studio: Studio, prompt: str, key: str = "Am", denominator: int = 4, full: int = 0
) -> tuple[list[str], list[str]]:
    """What it said, and the files in the slots."""
    stand_in = Path(__file__).with_name("bitwig.js")
    script = ADDONS / "bitwig" / "Loopmeter.control.js"
    told = (str(studio.port), prompt, key, str(denominator), str(full))
    lines = run_host("node", str(stand_in), str(script), *told)
    said = [line.removeprefix("said Loopmeter: ") for line in lines if line.startswith("said ")]
    return said, json.loads(lines[-1].removeprefix("inserted "))


def test_a_loop_at_the_projects_tempo_lands_in_the_first_empty_slot(studio: Studio) -> None:
    said, slots = _run(studio, "dusty drums", full=2)
    assert slots[:2] == ["taken", "taken"]
    with wave.open(slots[2]) as wav:
        assert wav.getnframes() == round(2 * 3 * 60 / 93 * 44_100)
    assert said[0].startswith("chunk 1 of ")
    assert said[-1].startswith("dusty drums: ")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"key": "H"}, "bad_arguments key: expected a key such as"),
        ({"denominator": 8}, "expected a time signature of 2/4 to 6/4, found 3/8"),
        ({"full": 16}, "expected an empty slot on the selected track, found none"),
    ],
)
def test_a_mistake_is_said_and_fills_no_slot(studio: Studio, told: dict[str, object], expected: str) -> None:
    (said,), slots = _run(studio, "dusty drums", **told)  # type: ignore[arg-type]
    assert said.startswith(expected)
    assert set(slots) <= {"taken"}
