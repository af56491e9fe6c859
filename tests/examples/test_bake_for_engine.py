"""The editor script bakes into each engine's project, and writes what its importer reads."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loopmeter.bake import Pack
from loopmeter.testing import FakeGateway

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(url: str, engine: str, project: Path, *options: str) -> str:
    command = [sys.executable, str(EXAMPLES / "bake_for_engine.py"), str(EXAMPLES / "music.toml")]
    command += ["--engine", engine, "--project", str(project), *options]
    environment = {**os.environ, "LOOPMETER_URL": url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("engine", "folder"), [("godot", "music"), ("unity", "Assets/Music"), ("unreal", "Content/Music")]
)
def test_the_pack_lands_where_the_engine_looks_and_costs_nothing_the_second_time(
    engine: str, folder: str, tmp_path: Path
) -> None:
    gateway = FakeGateway()
    with gateway.serve() as url:
        first = run(url, engine, tmp_path, "--max-tokens", "8000")
        charged = 100_000 - gateway.balance().posted
        again = run(url, engine, tmp_path, "--max-tokens", "0")

    assert "battle.drums" in first and f"{charged:6} tokens" in first
    assert "unchanged" in again and 100_000 - gateway.balance().posted == charged == 7 * 800
    assert Pack(tmp_path / folder).check() == []


def test_godot_is_told_the_loop_points(tmp_path: Path) -> None:
    with FakeGateway().serve() as url:
        run(url, "godot", tmp_path)
    pack = Pack(tmp_path / "music")

    for loop in pack.manifest.loops:
        for file in loop.files:
            settings = configparser.ConfigParser()
            settings.read(pack.folder / f"{file.audio.path}.import")
            looping = loop.kind == "loop"
            assert settings["params"]["edit/loop_end"] == str(loop.frames if looping else 0)
            assert settings["params"]["edit/loop_mode"] == ("2" if looping else "1")
            assert settings["deps"]["source_file"] == f'"res://music/{file.audio.path}"'


UNREAL = """
import sys, types
asked, looping = [], {}
class Task:
    def __init__(self): self.fields = {}
    def set_editor_property(self, name, value): self.fields[name] = value
    def get_editor_property(self, name):
        assert name == "imported_object_paths"
        return ["/Game/Music/" + self.fields["filename"].rpartition("/")[2]]
class Asset:
    def __init__(self, path): self.path = path
    def set_editor_property(self, name, value):
        assert name == "looping"
        looping[self.path] = value
tools = types.SimpleNamespace(import_asset_tasks=asked.extend)
sys.modules["unreal"] = types.SimpleNamespace(
    AssetImportTask=Task,
    AssetToolsHelpers=types.SimpleNamespace(get_asset_tools=lambda: tools),
    EditorAssetLibrary=types.SimpleNamespace(load_asset=Asset, save_asset=lambda path: True),
)
import runpy
runpy.run_path(sys.argv[1], run_name="__main__")
import os
assert all(os.path.exists(task.fields["filename"]) for task in asked), asked
print(sorted(looping.items()))
"""


def test_unreals_script_imports_every_file_and_lets_loops_loop(tmp_path: Path) -> None:
    """Against a stand-in for the editor's module, which is not to be had outside of it."""
    with FakeGateway().serve() as url:
        run(url, "unreal", tmp_path)
    command = [sys.executable, "-c", UNREAL, str(tmp_path / "Content/Music/import_music.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert printed.count("True") == 6 and "('/Game/Music/found.wav', False)" in printed


def test_what_cannot_be_baked_is_one_sentence(tmp_path: Path) -> None:
    with FakeGateway(tokens=100).serve() as url, pytest.raises(subprocess.CalledProcessError) as caught:
        run(url, "godot", tmp_path, "--max-tokens", "50")

    assert caught.value.stderr.startswith("bake_for_engine: expected a price of at most 50 tokens, found 5600;")
    assert len(caught.value.stderr.splitlines()) == 1
