"""What a customer does: make a loop, ask for its price, read the bill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Unpack, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from loopmeter._cli._picture import waveform
from loopmeter._client import Loopmeter
from loopmeter._core import LoopOptions
from loopmeter._loop import Loop
from loopmeter._models import LAYERS, Layer, Quality

_PICTURE_COLUMNS_MAX = 80

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Layers(click.ParamType[tuple[Layer, ...]]):
    """Names with commas between them. Whether they are layers is the request's business."""

    name = "LAYER,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Layer, ...]:
        names = [part.strip() for part in str(value).split(",")]
        wrong = [name for name in names if name not in LAYERS]
        if wrong:
            self.fail(f"expected some of {','.join(LAYERS)}, found {wrong[0]!r}", param, ctx)
        return tuple(layer for layer in LAYERS if layer in names)


def _new_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A path that can be written later: nothing is paid for a loop that has no place to go."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"expected an existing folder, found {str(path.parent)!r}; make it first", ctx, param)
    return path


_LOOP_OPTIONS = (
    click.option("--bpm", "tempo_bpm", type=float, help="Beats per minute, 40 to 240."),
    click.option("--bars", type=int, help="Length in bars, 1 to 256."),
    click.option("--beats", "beats_per_bar", type=int, help="Beats per bar, 2 to 6; default 4."),
    click.option("--key", help="Such as Am, F# or 'Eb minor'."),
    click.option("--seed", type=int, help="Another seed, another loop; the same seed, the same bytes."),
    click.option("--quality", type=click.Choice(get_args(Quality)), help="standard: mono 16 bit. hifi: stereo 24 bit."),
    click.option("--layers", type=_Layers(), help=f"Some of {','.join(LAYERS)}."),
    click.option("--model", help="A name from the gateway's catalogue."),
)
URL_OPTION = click.option("--url", help="The gateway; default: LOOPMETER_URL.")
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_OUTPUT = click.Path(dir_okay=False, path_type=Path)


def request_options(command: _Command) -> _Command:
    """The options that describe a loop; their names are fields of ``LoopRequest``."""
    for option in reversed(_LOOP_OPTIONS):
        command = option(command)
    return command


def given_options(options: dict[str, Any]) -> LoopOptions:
    """Those that were given; for the others the gateway has defaults."""
    given: LoopOptions = {name: value for name, value in options.items() if value is not None}  # type: ignore[assignment]  # the option names above
    return given


def client_of(url: str | None) -> Loopmeter:
    """The client for ``--url`` or the environment; an address that is none is wrong use."""
    try:
        return Loopmeter(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.command()
@click.argument("prompt")
@request_options
@click.option(
    "-o", "--output", type=_OUTPUT, callback=_new_file, default="loop.wav", show_default=True, help="WAV file."
)
@click.option("--midi", type=_OUTPUT, callback=_new_file, help="Write the score here, as a MIDI file.")
@click.option("--max-tokens", type=click.IntRange(min=0), help="Order nothing that costs more.")
@click.option(
    "--idempotency-key", help="Names this order: run again with the same, it makes and charges nothing twice."
)
@URL_OPTION
@JSON_OPTION
def loop(
    prompt: str,
    output: Path,
    midi: Path | None,
    max_tokens: int | None,
    idempotency_key: str | None,
    url: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a loop and write it to a file."""
    with client_of(url) as client:
        made = _make(client, prompt, max_tokens=max_tokens, idempotency_key=idempotency_key, **given_options(options))
        made.save(output)
        if midi is not None:
            made.save_midi(midi)
    summary = _summary(made, output, midi)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        if (console := Console()).is_terminal:
            console.print(waveform(made.floats(), min(console.width, _PICTURE_COLUMNS_MAX)), style="cyan")
        click.echo(
            f"{output}: {made.duration_s:.3f} s, {made.frames} frames, "
            f"{made.tokens_charged} tokens charged (quoted {made.job.tokens_quoted}), "
            f"first chunk after {made.first_chunk_s:.2f} s, all after {made.total_s:.2f} s"
            + (f"; score in {midi}" if midi is not None else "")
        )


def _make(
    client: Loopmeter,
    prompt: str,
    *,
    max_tokens: int | None,
    idempotency_key: str | None,
    **options: Unpack[LoopOptions],
) -> Loop:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[tokens]} tokens"),
        TimeElapsedColumn(),
    )
    # The bar waits for the order: a price above the limit shows an error and no bar.
    with (
        client.loops.stream(prompt, max_tokens=max_tokens, idempotency_key=idempotency_key, **options) as stream,
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        task = progress.add_task("chunks", total=stream.started.chunks, tokens=0)
        return stream.collect(on_chunk=lambda chunk: progress.update(task, advance=1, tokens=chunk.meter.tokens_total))


def _summary(made: Loop, wav: Path, midi: Path | None) -> dict[str, object]:
    job = made.job
    return {
        "job": job.id,
        "wav": str(wav),
        "midi": str(midi) if midi is not None else None,
        "frames": job.frames,
        "sample_rate_hz": job.sample_rate_hz,
        "channels": job.channels,
        "bits": job.bits,
        "duration_s": made.duration_s,
        "chunks": job.chunks,
        "tokens_quoted": job.tokens_quoted,
        "tokens_charged": job.tokens_charged,
        "first_chunk_s": made.first_chunk_s,
        "total_s": made.total_s,
        "idempotency_key": made.idempotency_key,
        "request": job.request.model_dump(mode="json", exclude_none=True),
    }


@click.command()
@click.argument("prompt")
@request_options
@URL_OPTION
@JSON_OPTION
def quote(prompt: str, url: str | None, as_json: bool, **options: Any) -> None:
    """Ask for the exact price of a loop; nothing is held."""
    with client_of(url) as client:
        found = client.quote(prompt, **given_options(options))
    if as_json:
        click.echo(found.model_dump_json())
        return
    table = Table("for", box=None, show_footer=True)
    table.columns[0].footer = f"{found.frames} frames in {found.chunks} chunks"
    table.add_column("tokens", justify="right", footer=str(found.tokens))
    for line in found.lines:
        table.add_row(Text(line.text), str(line.tokens))
    Console().print(table)
    click.echo(f"quote {found.quote_id}, valid until {found.expires_at:%Y-%m-%d %H:%M:%S %Z}")


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs on this page.")
@click.option("--cursor", help="Go on behind a former page.")
@URL_OPTION
@JSON_OPTION
def usage(limit: int, cursor: str | None, url: str | None, as_json: bool) -> None:
    """Show the balance and the bill, job by job, newest first."""
    with client_of(url) as client:
        page, balance = client.usage(limit=limit, cursor=cursor), client.balance()
    if as_json:
        click.echo(json.dumps({"balance": balance.model_dump(mode="json"), **page.model_dump(mode="json")}))
        return
    table = Table(box=None)
    for name in ("job", "made", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("prompt", no_wrap=True, overflow="ellipsis", max_width=32)
    table.add_column("quoted", justify="right")
    table.add_column("charged", justify="right")
    for entry in page.entries:
        row = (entry.job, f"{entry.created_at:%Y-%m-%d %H:%M}", entry.state, Text(entry.prompt))
        table.add_row(*row, str(entry.tokens_quoted), str(entry.tokens_charged))
    Console().print(table)
    click.echo(f"available {balance.available}, held {balance.held}, posted {balance.posted} tokens")
    if page.next is not None:
        click.echo(f"more with --cursor {page.next}")
