"""The Unreal editor tool over the real SDK and a real gateway; the module ``unreal`` is a stand-in."""

from __future__ import annotations

import importlib.util
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.integrations.hosts.studio import ADDONS, LONG_BARS, LONG_BPM, Studio

from loopmeter import InvalidRequest


class Editor:
    """What the tool asks of Unreal: a dialog, a progress bar, the importer, the asset library."""

    def __init__(self, saved: Path) -> None:
        self.saved = saved
        self.questions: list[str] = []
        self.agrees = True
        self.cancel_after = 10**9
        self.frames = 0
        self.assets: dict[str, dict[str, object]] = {}

    def module(self) -> ModuleType:
        module = ModuleType("unreal")
        names = {
            "Paths": SimpleNamespace(project_saved_dir=lambda: str(self.saved)),
            "AppMsgType": SimpleNamespace(YES_NO="yes or no"),
            "AppReturnType": SimpleNamespace(YES="yes"),
            "EditorDialog": SimpleNamespace(show_message=self._ask),
            "ScopedSlowTask": lambda work, title: SlowTask(self),
            "AssetImportTask": lambda: SimpleNamespace(imported_object_paths=[]),
            "AssetToolsHelpers": SimpleNamespace(
                get_asset_tools=lambda: SimpleNamespace(import_asset_tasks=self._import)
            ),
            "EditorAssetLibrary": SimpleNamespace(
                load_asset=lambda path: Asset(self.assets[path]),
                set_metadata_tag=lambda asset, tag, value: asset.set_editor_property(tag, value),
                save_loaded_asset=lambda asset: asset.set_editor_property("saved", True),
            ),
        }
        for name, value in names.items():
            setattr(module, name, value)
        return module

    def _ask(self, title: str, question: str, kind: str) -> str:
        self.questions.append(question)
        return "yes" if self.agrees else "no"

    def _import(self, tasks: list[Any]) -> None:
        for task in tasks:
            assert task.automated and Path(task.filename).is_file()
            path = f"{task.destination_path}/{Path(task.filename).stem}"
            self.assets[path] = {"filename": task.filename}
            task.imported_object_paths.append(path)


class Asset:
    def __init__(self, properties: dict[str, object]) -> None:
        self._properties = properties

    def set_editor_property(self, name: str, value: object) -> None:
        self._properties[name] = value


class SlowTask:
    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def __enter__(self) -> SlowTask:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def make_dialog(self, can_cancel: bool) -> None:
        assert can_cancel

    def should_cancel(self) -> bool:
        return self._editor.frames >= self._editor.cancel_after

    def enter_progress_frame(self, work: float) -> None:
        self._editor.frames += 1


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    return Editor(tmp_path)


@pytest.fixture
def tool(editor: Editor) -> Iterator[Any]:
    sys.modules["unreal"] = editor.module()
    spec = importlib.util.spec_from_file_location("loopmeter_bake", ADDONS / "unreal" / "loopmeter_bake.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["unreal"]


def test_a_loop_is_priced_baked_and_imported_as_a_looping_wave(studio: Studio, tool: Any, editor: Editor) -> None:
    with studio.client() as client:
        path = tool.bake("dusty drums", tempo_bpm=96, bars=2, key="Am", seed=7, client=client)
    (question,) = editor.questions
    assert question.endswith(" tokens for 5.00 seconds. Bake it?")
    asset = editor.assets[path]
    assert path.startswith("/Game/Loops/")
    assert (asset["looping"], asset["saved"]) == (True, True)
    assert str(asset["Loopmeter"]).startswith("dusty drums | seed 7 | ")
    with wave.open(str(asset["filename"])) as wav:
        assert wav.getnframes() == 220_500
    assert Path(str(asset["filename"])).with_suffix(".mid").is_file()
    assert editor.frames == 8


def test_stems_are_of_one_length(studio: Studio, tool: Any, editor: Editor) -> None:
    with studio.client() as client:
        paths = tool.stems("dusty", ("drums", "bass"), tempo_bpm=96, bars=1, key="Am", client=client)
    assert len({Path(str(editor.assets[path]["filename"])).stat().st_size for path in paths}) == 1


def test_no_makes_nothing(studio: Studio, tool: Any, editor: Editor) -> None:
    editor.agrees = False
    with studio.client() as client:
        before = client.balance()
        assert tool.bake("dusty drums", tempo_bpm=96, bars=2, client=client) is None
        assert client.balance() == before
    assert editor.assets == {}


def test_cancel_in_the_editor_stops_the_job(studio: Studio, tool: Any, editor: Editor) -> None:
    editor.cancel_after = 2
    with studio.client() as client:
        with pytest.raises(tool.Cancelled):
            tool.bake("dusty drums", tempo_bpm=LONG_BPM, bars=LONG_BARS, client=client)
        (entry, *_) = client.usage(limit=1).entries
    assert entry.state == "cancelled"
    assert entry.tokens_charged < entry.tokens_quoted
    assert editor.assets == {}


def test_a_mistake_is_the_sdks_own_error(studio: Studio, tool: Any) -> None:
    with studio.client() as client, pytest.raises(InvalidRequest):
        tool.bake("dusty drums", tempo_bpm=96, bars=2, key="H", client=client)
