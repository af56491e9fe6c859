"""Loopmeter in the Unreal editor: see the price, then bake a loop into the project as a looping Sound Wave.

Runs in Unreal's own Python (Editor Scripting), over the SDK. In the editor's Python console:

    import loopmeter_bake
    loopmeter_bake.bake("dusty lo-fi drums", tempo_bpm=92, bars=4, key="Am", seed=7)

The key is read from the environment (LOOPMETER_API_KEY) of the editor, and never comes near the project.
"""

from pathlib import Path

import unreal
from loopmeter import Loopmeter, LoopmeterError

FOLDER = "/Game/Loops"


def bake(prompt, *, folder=FOLDER, client=None, ask=True, max_tokens=None, **options):
    """Make a loop and import it. Gives the asset's path, or ``None`` if the price was not agreed to.

    ``options`` are those of ``Loopmeter.quote``. ``ask`` shows the price first; without it ``max_tokens`` is the limit.

    Raises:
        LoopmeterError: the gateway refused. Nothing is charged for what was not delivered.
        RuntimeError: Unreal did not import the file; the message says where it is.
    """
    own = client or Loopmeter()
    try:
        quote = own.quote(prompt, **options)
        seconds = quote.frames / quote.sample_rate_hz
        if ask and not _agreed(f"{quote.tokens} tokens for {seconds:.2f} seconds. Bake it?"):
            return None
        with unreal.ScopedSlowTask(quote.chunks, f"Loopmeter: {prompt}") as task:
            task.make_dialog(True)
            loop = own.loops.create(
                prompt,
                quote=quote,
                max_tokens=quote.tokens if max_tokens is None else max_tokens,
                on_chunk=lambda chunk: _advance(task),
                **options,
            )
        wav = Path(unreal.Paths.project_saved_dir()) / "Loopmeter" / f"{loop.id}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        loop.save(wav)
        loop.save_midi(wav.with_suffix(".mid"))
        return _import(wav, folder, f"{prompt} | seed {loop.job.request.seed} | {loop.tokens_charged} tokens")
    finally:
        if client is None:
            own.close()


def stems(prompt, layers, **options):
    """One Sound Wave for each layer, all of one score and one length: for a MetaSound that mixes them by intensity."""
    return [bake(prompt, layers=(layer,), **options) for layer in layers]


class Cancelled(LoopmeterError):
    """Somebody pressed cancel. What had come is charged."""


def _agreed(question):
    answer = unreal.EditorDialog.show_message("Loopmeter", question, unreal.AppMsgType.YES_NO)
    return answer == unreal.AppReturnType.YES


def _advance(task):
    # Raising out of the callback makes the SDK cancel the job.
    if task.should_cancel():
        raise Cancelled("expected to finish the loop, found it cancelled in the editor")
    task.enter_progress_frame(1)


def _import(wav, folder, comment):
    task = unreal.AssetImportTask()
    task.filename = str(wav)
    task.destination_path = folder
    task.automated = True
    task.save = True
    unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])
    if not task.imported_object_paths:
        raise RuntimeError(f"expected Unreal to import {wav}, found that it did not; import it by hand")
    path = str(task.imported_object_paths[0])
    wave = unreal.EditorAssetLibrary.load_asset(path)
    wave.set_editor_property("looping", True)
    unreal.EditorAssetLibrary.set_metadata_tag(wave, "Loopmeter", comment)
    unreal.EditorAssetLibrary.save_loaded_asset(wave)
    return path
