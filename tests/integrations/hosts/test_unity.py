"""The Unity package: its engine-free core on mono against a real gateway, the rest over a stand-in of Unity."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tests.integrations.hosts.studio import ADDONS, ASKED, Studio, check_made_and_cancelled, needs, run_host

from loopmeter import Loopmeter, LoopRequest

pytestmark = needs("mcs", "mono")
PACKAGE = ADDONS / "unity" / "com.loopmeter.unity"
HERE = Path(__file__).parent / "unity"


@pytest.fixture(scope="module")
def lines(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("unity")
    core = folder / "Loopmeter.Core.dll"
    # Alone first: nothing of Unity may be needed here.
    run_host("mcs", "-warnaserror", "-target:library", f"-out:{core}", *_sources(PACKAGE / "Runtime" / "Core"))
    rest = _sources(PACKAGE / "Runtime" / "Player", PACKAGE / "Editor", PACKAGE / "Samples~", HERE)
    program = folder / "conversation.exe"
    # Fields that only Unity's inspector sets look unassigned to a compiler.
    run_host("mcs", "-warnaserror", "-nowarn:0649,0414", f"-r:{core}", f"-out:{program}", *rest)
    made = str(folder / "made.wav")
    token, other_job = _client_token(studio), _job_of_another_customer(studio)
    return run_host("mono", str(program), studio.url, studio.key, made, token, other_job, cwd=folder)


def _client_token(studio: Studio) -> str:
    """Enough for one loop of any price of the day, and not for two."""
    answer = httpx.post(
        f"{studio.url}/v1/client-tokens",
        headers={"Authorization": f"Bearer {studio.key}"},
        json={"tokens_max": 1500, "expires_in_s": 60},
    )
    assert answer.status_code == 201
    return str(answer.json()["token"])


def _job_of_another_customer(studio: Studio) -> str:
    with Loopmeter(studio.url, studio.gateway.customer("other", 5_000)) as client:
        return client.loops.create(ASKED).id


def test_the_client_quotes_makes_and_cancels(studio: Studio, lines: list[str]) -> None:
    check_made_and_cancelled(studio, lines)
    assert any(line.startswith("cancelled long") and line.endswith(" cancelled") for line in lines)
    balance = next(line.split() for line in lines if line.startswith("balance"))
    assert int(balance[2]) > 0


def test_every_field_of_a_request_can_be_asked_for(lines: list[str]) -> None:
    (said,) = [line.partition(" ")[2] for line in lines if line.startswith("request ")]
    assert json.loads(said).keys() == LoopRequest.model_fields.keys() - {"bars"}  # Its sections say how many.
    request = LoopRequest.model_validate_json(said)
    assert request.model_copy(update={"sections": None}) == LoopRequest(
        prompt='all "of" it',
        tempo_bpm=96.5,
        key="Am",
        beats_per_bar=3,
        quality="hifi",
        seed=2**53 - 1,
        layers=("drums", "bass"),
        model="any",
        chords="Am F | C G",
        swing=0.25,
        density=0.1,
        intensity=1,
        midi_base64="TVQ=",
        solver="heun",
        steps=8,
        guidance=2.5,
        negative_prompt="no vocals",
        task="continue",
        source_audio_base64="UklGRg==",
        reference_audio_base64="AA==",
        cover_strength=0.5,
        repaint_from_beat=4,
        repaint_to_beat=8.5,
        track="bass",
        tracks=("strings", "brass"),
        lyrics="la\nla",
        language="en",
        lora="mine",
        shift=3,
        conform=True,
        stems=True,
    )
    assert request.sections is not None
    assert [(part.name, part.bars, part.energy) for part in request.sections] == [("intro", 2, 0.3), ("verse", 6, None)]


@pytest.mark.parametrize(
    ("own_id", "said"),
    [
        ("bad", "invalid_request 422 "),
        ("dear", "over_budget 0 expected a price of at most 1 tokens, found "),
        ("stranger", "unauthenticated 401 "),
        ("nobody", "unreachable 0 expected a gateway at http://127.0.0.1:9, found: "),
    ],
)
def test_what_is_refused_comes_as_a_typed_error(lines: list[str], own_id: str, said: str) -> None:
    (line,) = [line for line in lines if line.startswith(f"error {own_id} ")]
    assert said in line


@pytest.mark.parametrize(
    ("own_id", "status"),
    [("second", 402), ("other", 404), ("balance", 403)],
    ids=["over budget", "not its own", "scope"],
)
def test_a_client_token_makes_loops_within_its_budget_and_nothing_else(
    lines: list[str], own_id: str, status: int
) -> None:
    assert "token first completed" in lines
    (line,) = [line for line in lines if line.startswith(f"error {own_id} ")]
    assert line.split()[3] == str(status), line


def test_the_player_starts_layers_together_and_changes_on_the_bar(lines: list[str]) -> None:
    """Bars of 2.5 s from 10.1 s on: asked at 13.3 s, the next loop starts at 15.1 s and the old layers end there."""
    sources = [line.split()[1:] for line in lines if line.startswith("source ")]
    assert [(source[0], source[1], source[2]) for source in sources] == [
        *[("10.1", "15.1", "True")] * 3,
        ("15.1", "-1", "True"),
    ]
    assert {source[3] for source in sources} == {"220500"}
    assert [source[4] for source in sources[:3]] == ["1", "1", "0"]
    assert "destroyed 6" in lines


def test_an_error_leaves_the_old_loop_playing(lines: list[str]) -> None:
    assert any(line.startswith("told unauthenticated: ") for line in lines)
    assert "sources 4" in lines


def test_the_package_is_one_that_unity_takes() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert package["name"] == PACKAGE.name
    assert all((PACKAGE / sample["path"]).is_dir() for sample in package["samples"])
    core = json.loads((PACKAGE / "Runtime" / "Core" / "Loopmeter.Core.asmdef").read_text())
    assert core["noEngineReferences"] is True


def _sources(*folders: Path) -> list[str]:
    return sorted(str(path) for folder in folders for path in folder.rglob("*.cs"))


def test_every_file_has_its_own_meta_file() -> None:
    """Unity ignores files without one in a package that comes from a git address."""
    files = [path for path in PACKAGE.rglob("*") if path.suffix != ".meta" and "Samples~" not in path.parts]
    guids = [path.with_name(f"{path.name}.meta").read_text().split("guid: ")[1].split()[0] for path in files]
    assert len(files) == len(set(guids)) == len(list(PACKAGE.rglob("*.meta")))
