"""What a customer does: make a loop, ask for its price, read the bill."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from loopmeter._cli._options import JSON_OPTION, SOUNDS, URL_OPTION, client_of, given_options, request_options
from loopmeter._cli._picture import drum_grid, waveform
from loopmeter._cli._prediction import prediction
from loopmeter._cli._table import print_table
from loopmeter._client import Loopmeter
from loopmeter._core import LoopOptions
from loopmeter._loop import Loop
from loopmeter._wav import write_atomically

_PICTURE_COLUMNS_MAX = 80
_PROMPT_CHARACTERS_MAX = 48

_SENT_ALONG = {"midi_base64", "source_audio_base64", "reference_audio_base64"}  # Too long to be shown.


def _new_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A path that can be written later: nothing is paid for a loop that has no place to go."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"expected an existing folder, found {str(path.parent)!r}; make it first", ctx, param)
    return path


_OUTPUT = click.Path(dir_okay=False, path_type=Path)


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
    _keep_what_goes_along(output, midi, options)
    with client_of(url) as client:
        made = _make(
            client, prompt, max_tokens=max_tokens, idempotency_key=idempotency_key, **given_options(client, options)
        )
        made.save(output)
        score = made.midi() if midi is not None or (Console().is_terminal and not as_json) else b""
        if midi is not None:
            write_atomically(midi, score)
    summary = _summary(made, output, midi)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        if (console := Console()).is_terminal:
            _draw(console, made, score)
        click.echo(
            f"{output}: {made.duration_s:.3f} s, {made.frames} frames, "
            f"{made.tokens_charged} tokens charged (quoted {made.job.tokens_quoted}), "
            f"first chunk after {made.first_chunk_s:.2f} s, all after {made.total_s:.2f} s"
            + (f"; score in {midi}" if midi is not None else "")
        )


def _keep_what_goes_along(output: Path, midi: Path | None, options: dict[str, Any]) -> None:
    """A sound that the loop is made of is not written over, least of all by the default of ``--output``."""
    for name, target in (*((name, output) for name in SOUNDS), ("midi_in", midi)):
        given = options.get(name)
        if given is not None and target is not None and target.exists() and target.resolve() == Path(given).resolve():
            raise click.UsageError(
                f"expected another file to write than --{name.replace('_', '-')} {given}, found the same; "
                f"choose one with {'--midi' if name == 'midi_in' else '-o'}"
            )


def _draw(console: Console, made: Loop, score: bytes) -> None:
    """Loudness, the steps of the drums, and the chords."""
    columns = min(console.width, _PICTURE_COLUMNS_MAX)
    console.print(waveform(made.floats(), columns), style="cyan")
    with contextlib.suppress(ModuleNotFoundError):  # An extra that was installed before it had mido.
        for row in drum_grid(score, made.job.request.beats_per_bar, columns):
            console.print(Text(row), style="magenta")
    chords = made.job.score.get("chords") if made.job.score is not None else None
    if isinstance(chords, list) and chords:
        symbols = " ".join(str(chord["symbol"]) for chord in chords if "symbol" in chord)
        console.print(Text(f"chords {symbols}"), style="green", no_wrap=True, overflow="ellipsis", width=columns)


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
        "request": job.request.model_dump(mode="json", exclude_none=True, exclude=_SENT_ALONG),
    }


@click.command()
@click.argument("prompt")
@request_options
@URL_OPTION
@JSON_OPTION
def quote(prompt: str, url: str | None, as_json: bool, **options: Any) -> None:
    """Ask for the exact price of a loop; nothing is held."""
    with client_of(url) as client:
        found = client.quote(prompt, **given_options(client, options))
    if as_json:
        click.echo(found.model_dump_json())
        return
    table = Table("for", box=None, show_footer=True)
    table.columns[0].footer = f"{found.frames} frames in {found.chunks} chunks"
    table.add_column("tokens", justify="right", footer=str(found.tokens))
    for line in found.lines:
        table.add_row(Text(line.text), str(line.tokens))
    print_table(table)
    if (foretold := prediction(found)) is not None:
        click.echo(foretold)
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
    table.add_column("job", no_wrap=True)
    table.add_column("made")
    table.add_column("state", no_wrap=True)
    table.add_column("prompt")
    table.add_column("quoted", justify="right")
    table.add_column("charged", justify="right")
    for entry in page.entries:
        row = (entry.job, f"{entry.created_at:%Y-%m-%d %H:%M}", entry.state, Text(_short(entry.prompt)))
        table.add_row(*row, str(entry.tokens_quoted), str(entry.tokens_charged))
    print_table(table)
    click.echo(f"available {balance.available}, held {balance.held}, posted {balance.posted} tokens")
    if page.next is not None:
        click.echo(f"more with --cursor {page.next}")


def _short(prompt: str) -> str:
    """A prompt as a line of a table has room for it, also where it wraps."""
    return prompt if len(prompt) <= _PROMPT_CHARACTERS_MAX else f"{prompt[: _PROMPT_CHARACTERS_MAX - 1].rstrip()}…"
