"""Baking a pack at a real gateway: the bill, what is made again and what is not, and bakes that break off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.gateway_process import PROGRAM, GatewayProcess, run_program

from loopmeter import BudgetExceeded, InsufficientTokens, Loopmeter
from loopmeter.bake import Pack, PackDamaged, bake, load_music, plan_bake

TOKENS = 50_000
NOW = datetime.now(UTC)
MUSIC = """
[pack]
name = "dungeon"
format = "FORMAT"

[defaults]
tempo_bpm = 120
key = "Dm"
bars = 1

[[loop]]
name = "explore"
prompt = "calm dungeon"

[[loop]]
name = "battle"
prompt = "fierce battle"
stems = { drums = 0.0, lead = 0.5 }

[[stinger]]
name = "treasure"
prompt = "short bright flourish"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), level=True)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def api_key(gateway: GatewayProcess, request: pytest.FixtureRequest) -> str:
    return gateway.customer(request.node.name, TOKENS)


@pytest.fixture
def client(gateway: GatewayProcess, api_key: str) -> Iterator[Loopmeter]:
    with Loopmeter(gateway.url, api_key) as client:
        yield client


@pytest.fixture
def music(tmp_path: Path) -> Path:
    path = tmp_path / "music.toml"
    path.write_text(MUSIC.replace("FORMAT", "wav"))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pack"


def baked(client: Loopmeter, music: Path, folder: Path) -> Pack:
    return bake(client, plan_bake(client, load_music(music), folder))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bill_of_a_bake_is_its_plan_and_the_files_are_what_was_sold(
    client: Loopmeter, music: Path, folder: Path
) -> None:
    plan = plan_bake(client, load_music(music), folder)
    assert client.balance().posted == TOKENS
    pack = bake(client, plan, max_tokens=plan.tokens)

    assert TOKENS - client.balance().posted == plan.tokens == pack.manifest.tokens_charged > 0
    assert pack.names == ("explore", "battle", "treasure")
    assert pack.check() == []
    for name, file in pack.manifest.files().items():
        loop = pack.read(*name.split("."))
        assert loop.pcm == client.loops.resume(file.job).collect().pcm
        assert loop.midi == client.loops.midi(file.job)
        with wave.open(str(folder / file.audio.path), "rb") as reader:
            assert reader.getnframes() == pack.loop(name.split(".")[0]).frames == 88200
    assert [file.enters for file in pack.loop("battle").files] == [0.0, 0.5]
    assert "Apache-2.0" in (folder / "disclosure.txt").read_text()
    assert sorted(content(folder)) == sorted({"manifest.json", "disclosure.txt"} | pack.manifest.paths())


def test_a_second_bake_costs_nothing_and_changes_no_byte(client: Loopmeter, music: Path, folder: Path) -> None:
    baked(client, music, folder)
    before, balance = content(folder), client.balance()
    plan = plan_bake(client, load_music(music), folder)
    bake(client, plan)

    assert plan.tokens == 0
    assert {planned.reason for planned in plan.items} == {"unchanged"}
    assert content(folder) == before
    assert client.balance() == balance


def test_only_what_changed_is_made_again(client: Loopmeter, music: Path, folder: Path) -> None:
    baked(client, music, folder)
    before = content(folder)
    music.write_text(music.read_text().replace("calm dungeon", "calm cave"))
    (folder / "battle.lead.wav").write_bytes(b"damaged")
    (folder / "treasure.mid").unlink()
    plan = plan_bake(client, load_music(music), folder)
    bake(client, plan)

    assert {planned.item.file_stem: planned.reason for planned in plan.items} == {
        "explore": "changed",
        "battle.drums": "unchanged",
        "battle.lead": "damaged",
        "treasure": "damaged",
    }
    assert TOKENS - client.balance().posted == 7 * 800
    after = content(folder)
    assert {name for name in before if before[name] != after[name]} == {
        "explore.wav",
        "manifest.json",
        "disclosure.txt",
    }


def test_the_intensity_of_a_stem_changes_without_a_new_loop(client: Loopmeter, music: Path, folder: Path) -> None:
    baked(client, music, folder)
    music.write_text(music.read_text().replace("lead = 0.5", "lead = 0.8"))
    plan = plan_bake(client, load_music(music), folder)
    pack = bake(client, plan)

    assert plan.tokens == 0
    assert [file.enters for file in pack.loop("battle").files] == [0.0, 0.8]


def test_fresh_makes_everything_anew_and_pays_for_it(client: Loopmeter, music: Path, folder: Path) -> None:
    baked(client, music, folder)
    bake(client, plan_bake(client, load_music(music), folder, fresh=True))

    assert TOKENS - client.balance().posted == 8 * 800


def test_files_that_nobody_wants_stay_until_they_are_pruned(client: Loopmeter, music: Path, folder: Path) -> None:
    baked(client, music, folder)
    (folder / "notes.txt").write_text("mine")
    music.write_text(music.read_text().partition("[[stinger]]")[0])
    plan = plan_bake(client, load_music(music), folder)

    assert plan.orphans == ("treasure.mid", "treasure.wav")
    assert baked(client, music, folder).names == ("explore", "battle")
    assert (folder / "treasure.wav").exists()
    bake(client, plan, prune=True)
    assert not (folder / "treasure.wav").exists() and not (folder / "treasure.mid").exists()
    assert (folder / "notes.txt").exists() and (folder / "battle.drums.wav").exists()


def test_a_price_above_the_budget_orders_nothing(client: Loopmeter, music: Path, folder: Path) -> None:
    plan = plan_bake(client, load_music(music), folder)

    with pytest.raises(BudgetExceeded):
        bake(client, plan, max_tokens=plan.tokens - 1)
    assert client.balance().posted == TOKENS
    assert not folder.exists()


def test_a_bake_that_runs_out_of_tokens_goes_on_where_it_stopped(
    gateway: GatewayProcess, music: Path, folder: Path
) -> None:
    with Loopmeter(gateway.url, gateway.customer("poor", 1700)) as poor:
        plan = plan_bake(poor, load_music(music), folder)
        with pytest.raises(InsufficientTokens):
            bake(poor, plan, jobs=1)
        assert poor.balance().available == 100
    pack = Pack(folder)
    assert not pack.manifest.complete and sorted(pack.manifest.files()) == ["battle.drums", "explore"]
    with Loopmeter(gateway.url, gateway.customer("rich", 1600)) as rich:
        assert baked(rich, music, folder).manifest.complete
        assert rich.balance().available == 0


def test_a_killed_bake_is_taken_up_and_nothing_is_paid_twice(
    gateway: GatewayProcess, client: Loopmeter, api_key: str, music: Path, folder: Path
) -> None:
    """Killed while its loops are on their way: the next bake asks under the same keys."""
    environment = {**os.environ, "LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": api_key}
    command = [sys.executable, "-m", "tests.e2e.bake_worker", str(music), str(folder)]
    for chunks in (1, 2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(chunks):
            assert process.stdout.readline()
        process.kill()
        process.communicate()
    assert (folder / ".bake.json").exists()

    pack = baked(client, music, folder)

    assert pack.manifest.complete and pack.check() == []
    assert not (folder / ".bake.json").exists()
    bills = client.usage(limit=100).entries
    assert {entry.job for entry in bills} == {file.job for file in pack.manifest.files().values()}
    assert TOKENS - client.balance().posted == 4 * 800 and client.balance().held == 0


def test_a_quote_that_ran_out_is_asked_for_again(client: Loopmeter, music: Path, folder: Path) -> None:
    plan = plan_bake(client, load_music(music), folder)
    late = [
        replace(one, quote=one.quote and one.quote.model_copy(update={"quote_id": "old", "expires_at": NOW}))
        for one in plan.items
    ]

    assert bake(client, replace(plan, items=tuple(late))).manifest.tokens_charged == plan.tokens


def test_a_price_that_rose_above_the_budget_stops_the_bake(client: Loopmeter, music: Path, folder: Path) -> None:
    plan = plan_bake(client, load_music(music), folder)
    cheap = [
        replace(one, quote=one.quote and one.quote.model_copy(update={"tokens": 100, "expires_at": NOW}))
        for one in plan.items
    ]

    with pytest.raises(BudgetExceeded):
        bake(client, replace(plan, items=tuple(cheap)))
    assert client.balance().posted == TOKENS


def test_an_ogg_pack_has_the_same_length_and_can_be_read(client: Loopmeter, music: Path, folder: Path) -> None:
    music.write_text(music.read_text().replace('"wav"', '"ogg"'))
    pack = baked(client, music, folder)
    loop = pack.read("explore")

    assert (folder / "explore.ogg").read_bytes()[:4] == b"OggS"
    assert len(loop.pcm) == 2 * 88200
    assert loop.job.frames == 88200


def test_a_pack_that_is_not_what_was_baked_says_so(client: Loopmeter, music: Path, folder: Path) -> None:
    pack = baked(client, music, folder)
    (folder / "explore.wav").write_bytes(b"RIFF")

    with pytest.raises(PackDamaged, match=r"explore\.wav as it was baked, found other bytes; bake the pack again"):
        pack.read("explore")
    assert pack.find(load_music(music).loops[0].request) is None
    assert len(pack.check()) == 1
    with pytest.raises(KeyError, match="expected a stem of 'battle' among drums, lead, found 'flute'"):
        pack.read("battle", "flute")
    with pytest.raises(KeyError, match="expected one of explore, battle, treasure, found 'boss'"):
        pack.read("boss")
    with pytest.raises(PackDamaged, match="make one with 'loopmeter bake'"):
        Pack(folder / "none")


def test_a_manifest_cannot_point_out_of_its_folder(
    client: Loopmeter, music: Path, folder: Path, tmp_path: Path
) -> None:
    baked(client, music, folder)
    (tmp_path / "secret.wav").write_bytes((folder / "explore.wav").read_bytes())
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"explore.wav"', '"../secret.wav"'))

    with pytest.raises(PackDamaged, match=r"expected a path inside .*do not use this pack"):
        Pack(folder).read("explore")


@pytest.fixture
def environment(gateway: GatewayProcess, api_key: str) -> dict[str, str]:
    return {**os.environ, "LOOPMETER_URL": gateway.url, "LOOPMETER_API_KEY": api_key, "COLUMNS": "100"}


def test_the_program_shows_the_price_first_and_makes_nothing_on_a_dry_run(
    environment: dict[str, str], client: Loopmeter, music: Path, tmp_path: Path
) -> None:
    shown = run_program("bake", str(music), "--dry-run", env=environment, cwd=tmp_path)
    found = json.loads(run_program("bake", str(music), "--dry-run", "--json", env=environment, cwd=tmp_path))

    assert "battle.lead" in shown and "3200" in shown
    assert (found["tokens_planned"], found["tokens_charged"], found["complete"]) == (3200, 0, False)
    assert [entry["tokens"] for entry in found["files"]] == [800] * 4
    assert not (tmp_path / "dungeon").exists()
    assert client.balance().posted == TOKENS


def test_the_program_bakes_within_its_budget(
    environment: dict[str, str], client: Loopmeter, music: Path, tmp_path: Path
) -> None:
    first = json.loads(run_program("bake", str(music), "--max-tokens", "3200", "--json", env=environment, cwd=tmp_path))
    again = json.loads(run_program("bake", str(music), "--max-tokens", "0", "--json", env=environment, cwd=tmp_path))

    assert (first["tokens_charged"], first["complete"]) == (3200, True)
    assert (again["tokens_charged"], again["complete"]) == (0, True)
    assert TOKENS - client.balance().posted == 3200
    assert Pack(tmp_path / "dungeon").check() == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "expected a budget for 3200 tokens, found none; pass --max-tokens 3200"),
        (["--max-tokens", "3199"], 3, "expected a price of at most 3199 tokens, found 3200"),
        (["--max-tokens", "0"], 3, "expected a price of at most 0 tokens"),
        (["-o", "music.toml/pack", "--yes"], 1, "the pack cannot be written"),
    ],
    ids=["no budget", "too small a budget", "no tokens at all", "no folder"],
)
def test_the_program_refuses_and_spends_nothing(
    options: list[str],
    code: int,
    message: str,
    environment: dict[str, str],
    client: Loopmeter,
    music: Path,
    tmp_path: Path,
) -> None:
    result = subprocess.run(
        [*PROGRAM, "bake", str(music), *options],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )

    assert result.returncode == code
    assert message in " ".join(result.stderr.split())
    assert client.balance().posted == TOKENS
