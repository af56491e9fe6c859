"""What concerns engines: list them, run one for another machine, and put anybody's recording on an exact grid.

Each command loads the part that it starts only when it is called, because the library goes without them.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopmeter._cli._operator import needs, said_as_json

if TYPE_CHECKING:
    from loopmeter_engine.inspection import EngineDescription

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(invoke_without_command=True)
@click.option("--names", is_flag=True, help="Only what is installed; start none of them.")
@_JSON
@click.pass_context
def engines(ctx: click.Context, names: bool, as_json: bool) -> None:
    """List the engines that are installed: what each can do, where its weights are, or why it cannot run.

    Each is asked in a process of its own, so that one which breaks is a line of this list.
    """
    if ctx.invoked_subcommand is not None:
        return
    with needs("engine"):
        from loopmeter_engine.inspection import EngineDescription, describe_engines
        from loopmeter_engine.registry import engine_names
    found = [EngineDescription(entry) for entry in engine_names()] if names else describe_engines()
    if as_json:
        rows = [engine.entry._asdict() if names else engine.as_json() for engine in found]
        click.echo(json.dumps({"engines": rows}))
        return
    for engine in found:
        entry = engine.entry
        click.echo(f"{entry.name}  ({entry.distribution} {entry.version})")
        for word, text in _about(engine):
            lines = textwrap.wrap(text, 96, break_long_words=False, break_on_hyphens=False)
            click.echo("\n".join(f"  {word if n == 0 else '':10}{line}" for n, line in enumerate(lines)))


def _about(engine: EngineDescription) -> list[tuple[str, str]]:
    """What there is to say of an engine, word by word; of one that was not asked, nothing."""
    if engine.problem:
        return [("cannot", engine.problem)]
    if not engine.licence:
        return []
    rights = "" if engine.commercial in (None, True) else " (only for plans that name it)"
    said = [
        ("can", ", ".join(engine.capabilities)),
        ("makes", f"{engine.sample_rate_hz} Hz, up to {engine.duration_s_max:g} s"),
        ("licence", engine.licence),
        ("its sound", f"{engine.output_rights}{rights}"),
        ("weights", engine.weights or "needs none"),
        ("works in", f"{engine.processes} processes, when served here" if engine.processes else ""),
        *(("note", note) for note in engine.notes),
    ]
    return [(word, text) for word, text in said if text]


@engines.command("convert")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--variant", help="The folder of the model in SOURCE, such as acestep-v15-turbo; default: the only one.")
@_JSON
def convert(source: Path, target: Path, variant: str | None, as_json: bool) -> None:
    """Convert an ACE-Step 1.5 checkpoint from its original layout to diffusers'. Nothing in it is unpickled or run."""
    with needs("ace-step"):
        from loopmeter_engine.contract import EngineError
        from loopmeter_engine.engines.ace_step.convert import convert_checkpoint

        try:
            tensors = convert_checkpoint(source, target, variant)
        except EngineError as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"folder": str(target), "tensors": tensors}))
        return
    click.echo(f"{target}: {tensors} tensors; use it with: LOOPMETER_ACE_STEP_DIR={target}")


@click.group()
def engine() -> None:
    """Run one engine for gateways on other machines."""


@engine.command("serve")
@click.option(
    "--engine", "name", default="loopmeter", show_default=True, help="loopmeter, fake, or one that is installed."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Beyond loopback, LOOPMETER_ENGINE_TOKEN is needed."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8140, show_default=True, help="0 takes a free one.")
@click.option("--engine-deadline", "deadline_s", type=click.FloatRange(min=0.1), default=120.0, show_default=True)
@click.option("--engine-processes", "processes", type=click.IntRange(0, 64), help="As in loopmeter serve.")
@_JSON
def serve_engine(name: str, host: str, port: int, deadline_s: float, processes: int | None, as_json: bool) -> None:
    """Serve an engine over HTTP, until SIGINT or SIGTERM. Use it with: loopmeter serve --engine http://HOST:PORT"""
    with needs("engine,gateway"):
        from loopmeter_engine.contract import EngineError
        from loopmeter_engine.remote.server import serve_engine_process

        try:
            serve_engine_process(name, host, port, deadline_s, said_as_json if as_json else None, processes)
        except EngineError as error:
            raise click.ClickException(str(error)) from error


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bpm", "tempo_bpm", type=click.FloatRange(20, 400), required=True, help="The tempo to come out at.")
@click.option("--bars", type=click.IntRange(1, 256), required=True)
@click.option(
    "--beats", "beats_per_bar", type=click.IntRange(1, 16), default=4, show_default=True, help="Beats per bar."
)
@click.option(
    "--played-bpm",
    type=click.FloatRange(20, 400),
    help="The steady tempo that it was made at; beats then need not be heard. The first is at --first-beat, or 0.",
)
@click.option(
    "--first-beat",
    "first_beat_s",
    type=click.FloatRange(min=0),
    help="Seconds into the recording: begin with the beat that is nearest.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: SOURCE-conformed.wav")
@_JSON
def conform(source: Path, output: Path | None, as_json: bool, **options: Any) -> None:
    """Put the beats of a recording on an exact grid and cut it into a loop.

    The first beat that is heard begins the loop, unless --first-beat names another. The recording's tempo must be
    within 12 % of --bpm.
    """
    with needs("engine"):
        from loopmeter_engine.conform.files import conform_file

        target = output or source.with_name(f"{source.stem}-conformed.wav")
        report = conform_file(source, target, **options)
    if as_json:
        click.echo(json.dumps({"wav": str(target), **dataclasses.asdict(report)}))
        return
    came = "heard" if options["played_bpm"] is None else "told"
    now = "without beats to hear" if report.conformed_bpm is None else f"now {report.conformed_bpm:.2f}"
    click.echo(
        f"{target}: {report.frames} frames; {came} {report.measured_bpm:.2f} bpm, asked {report.asked_bpm:g}, {now}; "
        f"corrected by {report.correction_percent:+.1f} % (one beat by "
        f"{report.correction_percent_max:.1f} %); {report.beats_heard} of {report.beats} beats heard, "
        f"{report.attacks_kept:.0%} of attacks untouched, seam ratio {report.seam_ratio:.2f}"
    )
    if report.audible:
        click.echo("loopmeter: the correction may be heard; try a tempo nearer to the recording's", err=True)
