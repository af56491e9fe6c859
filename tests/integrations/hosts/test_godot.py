"""The Godot 4 add-on: all of it parsed as Godot 4, its protocol run on the Godot 3 server against a real gateway."""

from __future__ import annotations

import shutil
import sys
import wave
from pathlib import Path

import pytest
from tests.integrations.hosts.studio import ADDONS, ASKED, LONG_CHUNKS, Studio, run_host, whole

from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.testing import make_all

ADDON = ADDONS / "godot" / "addons" / "loopmeter"
PROTOCOL = ("call.gd", "chunks.gd", "loop.gd", "schedule.gd", "wav.gd")

# The protocol keeps to what both versions have; these words are all that differ.
GODOT_3 = {
    "extends RefCounted": "extends Reference",
    "PackedByteArray": "PoolByteArray",
    "JSON.parse_string": "parse_json",
    "JSON.stringify": "to_json",
    "TLSOptions.client() if tls else null": "tls",
    ".to_ascii_buffer()": ".to_ascii()",
    'preload("': 'preload("res://',
}


def test_every_script_parses_as_godot_4() -> None:
    run_host(str(Path(sys.executable).with_name("gdparse")), *(str(script) for script in sorted(ADDON.glob("*.gd"))))


def test_the_plug_in_names_a_script_that_is_there() -> None:
    named = [
        line.split('"')[1] for line in (ADDON / "plugin.cfg").read_text().splitlines() if line.startswith("script=")
    ]
    assert [(ADDON / name).is_file() for name in named] == [True]


@pytest.fixture(scope="module")
def lines(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if shutil.which("godot3-server") is None:
        pytest.skip("needs godot3-server: run make system-packages as root")
    project = tmp_path_factory.mktemp("godot")
    (project / "project.godot").write_text('config_version=4\n[application]\nconfig/name="conversation"\n')
    shutil.copy(Path(__file__).parent / "godot" / "conversation.gd", project)
    for name in PROTOCOL:
        text = (ADDON / name).read_text()
        for four, three in GODOT_3.items():
            text = text.replace(four, three)
        (project / name).write_text(text)
    said = run_host(
        *("godot3-server", "--no-window", "--path", str(project), "-s", "conversation.gd"),
        HOME=str(project),
        OUT=str(project),
        LOOPMETER_URL=studio.url,
        LOOPMETER_API_KEY=studio.key,
    )
    assert [line for line in said if line.startswith("SCRIPT ERROR")] == []
    return [line.removeprefix("heard: ") for line in said if line.startswith("heard: ")]


def _heard(lines: list[str], name: str, own_id: str) -> list[list[str]]:
    return [line.split(" ")[2:] for line in lines if line.startswith(f"{name} {own_id} ")]


def test_the_protocol_quotes_and_makes_a_loop_to_the_byte(studio: Studio, lines: list[str]) -> None:
    plan = FakeEngine().plan(ASKED)
    ((tokens, frames, chunks),) = _heard(lines, "quoted", "q")
    assert (whole(frames), whole(chunks)) == (plan.frames, len(plan.chunk_frames))
    progress = _heard(lines, "progress", "take1")
    assert [whole(values[0]) for values in progress] == list(range(1, whole(chunks) + 1))
    ((path, charged),) = _heard(lines, "wrote", "take1")
    assert whole(charged) == whole(tokens) == whole(progress[-1][2])
    with wave.open(path) as wav:
        assert wav.getparams()[:4] == (1, 2, 44_100, plan.frames)
        assert wav.readframes(plan.frames) == b"".join(chunk.pcm for chunk in make_all(FakeEngine(), ASKED))
    ((job, _),) = _heard(lines, "accepted", "take1")
    with studio.client() as client:
        assert client.loops.get(job).tokens_charged == whole(tokens)


def test_a_cancel_costs_what_came(studio: Studio, lines: list[str]) -> None:
    ((tokens,),) = _heard(lines, "cancelled", "long")
    ((job, _),) = _heard(lines, "accepted", "long")
    with studio.client() as client:
        stopped = client.loops.get(job)
    assert stopped.state == "cancelled"
    assert stopped.tokens_charged == whole(tokens) < stopped.tokens_quoted
    assert stopped.chunks_delivered < LONG_CHUNKS


@pytest.mark.parametrize(
    ("own_id", "said"),
    [
        ("bad", "invalid_request key: expected a key such as"),
        ("dear", "over_budget expected a price of at most 1 tokens, found"),
        ("stranger", "unauthenticated "),
        ("nobody", "unreachable expected a gateway at http://127.0.0.1:9"),
    ],
)
def test_a_refusal_is_an_event_with_a_code(lines: list[str], own_id: str, said: str) -> None:
    (words,) = _heard(lines, "error", own_id)
    assert " ".join(words).startswith(said), words


def test_loops_change_on_the_bar_exact_to_the_frame(lines: list[str]) -> None:
    """A loop of 1,001 frames and 4 bars has bars at 250, 501 (500.5) and 751 (750.75)."""
    plans = {name: " ".join(_heard(lines, "plan", name)[0]) for name in ("first", "change", "phrase", "stopped")}
    assert plans == {
        "first": "[[a, 0, 1001], [a, 0, 100]]",
        "change": "[[a, 100, 250], [b, 0, 250]]",
        "phrase": "[[b, 250, 600], [c, 0, 350]]",
        "stopped": "[]",
    }
