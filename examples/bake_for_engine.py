"""Bake a game's music into the project of a game engine, ready for its importer. For build scripts and editor buttons.

    python examples/bake_for_engine.py examples/music.toml --engine godot --project ~/games/dungeon --max-tokens 8000

The pack goes where the engine looks for assets, beside what its importer has to be told:

- godot: ``music/*.wav.import`` for Godot 4, with the loop points in frames and no lossy compression.
- unity: ``Assets/Music/``; Unity makes its own ``.meta`` files. Set Compression Format to PCM: others move the loop.
- unreal: ``Content/Music/import_music.py``, to be run by the editor's Python; it imports every file and lets it loop.

Only what changed is made and paid. ``manifest.json`` in the folder has tempo, bars, key and layers for game code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from loopmeter import Loopmeter, LoopmeterError
from loopmeter.bake import Pack, PackLoop, bake, load_music, plan_bake

GODOT_IMPORT = """\
[remap]

importer="wav"
type="AudioStreamWAV"

[deps]

source_file="res://music/{path}"

[params]

force/8_bit=false
force/mono=false
force/max_rate=false
edit/trim=false
edit/normalize=false
edit/loop_mode={loop_mode}
edit/loop_begin=0
edit/loop_end={loop_end}
compress/mode=0
"""
GODOT_NO_LOOP, GODOT_FORWARD = 1, 2

UNREAL_IMPORT = '''\
"""Import the music of this folder: run it from the editor, Tools > Execute Python Script."""

import os

import unreal

LOOPS = {loops!r}  # file: whether it repeats

folder = os.path.dirname(os.path.abspath(__file__))
tasks = []
for path in LOOPS:
    task = unreal.AssetImportTask()
    task.set_editor_property("filename", os.path.join(folder, path))
    task.set_editor_property("destination_path", "/Game/Music")
    task.set_editor_property("automated", True)
    task.set_editor_property("replace_existing", True)
    task.set_editor_property("save", True)
    tasks.append(task)
unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks(tasks)
for task, loops in zip(tasks, LOOPS.values()):
    for path in task.get_editor_property("imported_object_paths"):
        unreal.EditorAssetLibrary.load_asset(path).set_editor_property("looping", loops)
        unreal.EditorAssetLibrary.save_asset(path)
'''


def for_godot(pack: Pack) -> None:
    for path, loop in _audio(pack).items():
        looping = loop.kind == "loop"
        text = GODOT_IMPORT.format(
            path=path,
            loop_mode=GODOT_FORWARD if looping else GODOT_NO_LOOP,
            loop_end=loop.frames if looping else 0,
        )
        (pack.folder / f"{path}.import").write_text(text)


def for_unity(pack: Pack) -> None:
    """Unity needs no file beside the sound."""


def for_unreal(pack: Pack) -> None:
    loops = {path: loop.kind == "loop" for path, loop in _audio(pack).items()}
    (pack.folder / "import_music.py").write_text(UNREAL_IMPORT.format(loops=loops))


ENGINES: Mapping[str, tuple[str, Callable[[Pack], None]]] = {
    "godot": ("music", for_godot),
    "unity": ("Assets/Music", for_unity),
    "unreal": ("Content/Music", for_unreal),
}


def _audio(pack: Pack) -> dict[str, PackLoop]:
    return {file.audio.path: loop for loop in pack.manifest.loops for file in loop.files}


def bake_for_engine(client: Loopmeter, music: Path, engine: str, project: Path, max_tokens: int | None) -> Pack:
    """Bake into a project and write what its importer needs. Raises as ``plan_bake`` and ``bake``."""
    folder, prepare = ENGINES[engine]
    plan = plan_bake(client, load_music(music), project / folder)
    for planned in plan.items:
        print(f"{planned.item.file_stem:24} {planned.reason:10} {planned.tokens:6} tokens")
    print(f"{'in all':24} {'':10} {plan.tokens:6} tokens")
    pack = bake(client, plan, max_tokens=max_tokens)
    prepare(pack)
    return pack


def main() -> None:
    parser = argparse.ArgumentParser(description="Bake music into a game engine's project.")
    parser.add_argument("music", type=Path, help="music.toml")
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--project", type=Path, required=True, help="the project's folder")
    parser.add_argument("--max-tokens", type=int, help="budget; without it, whatever the printed price is")
    given = parser.parse_args()
    try:
        with Loopmeter() as client:
            pack = bake_for_engine(client, given.music, given.engine, given.project, given.max_tokens)
    except LoopmeterError as error:
        raise SystemExit(f"bake_for_engine: {error}") from None
    print(f"{pack.folder}: {len(pack.manifest.files())} files")


if __name__ == "__main__":
    main()
