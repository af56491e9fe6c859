"""What an operator does: run a gateway or a bridge. ``_admin.py`` keeps customers.

Each command loads the part that it starts only when it is called, because the library goes without them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from loopmeter._exceptions import LoopmeterError
from loopmeter._settings import api_key_or_environment, url_or_environment

DEFAULT_DB = "sqlite:///loopmeter.db"
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Say which extra to install when a module is missing, and what is wrong with an address or a file."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"expected the module {error.name!r}, found none; install it with: pip install 'loopmeter[{extra}]'"
        ) from error
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def said_as_json(url: str) -> None:
    """Where a server listens, as an object on a line of its own."""
    click.echo(json.dumps({"url": url}))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8130, show_default=True, help="0 takes a free one.")
@click.option("--db", default=DEFAULT_DB, show_default=True, help="Database address.")
@click.option(
    "--engine",
    default="loopmeter",
    show_default=True,
    help="loopmeter, fake, one that is installed, or http://HOST:PORT of one that is served.",
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder for sound and encoded files.")
@click.option("--chunks", default="", help="Store of delivered sound: a folder, or s3://bucket/prefix?endpoint=URL.")
@click.option("--price-book", default="standard", show_default=True, help="Shipped, or one that is in force.")
@click.option(
    "--engine-deadline",
    "deadline_s",
    type=click.FloatRange(min=0.1),
    help="Seconds that the engine gets for one chunk; default 120.",
)
@click.option(
    "--engine-processes",
    type=click.IntRange(0, 64),
    help="How many processes the engine works in; 0: the gateway's own. Default for loopmeter on a CPU: one for each "
    "core, up to 4, as memory allows; 0 for other engines and on a GPU.",
)
@click.option("--usage-target", default="", metavar="NAME=URL", help="Send usage to openmeter=URL or stripe=URL.")
@click.option("--usage-token-env", default="LOOPMETER_TARGET_TOKEN", show_default=True, help="Variable with its token.")
@click.option(
    "--set", "numbers", multiple=True, metavar="NAME=NUMBER", help="Another setting, as chunk_days=90. May be repeated."
)
@_JSON
def serve(
    host: str,
    port: int,
    db: str,
    engine: str,
    data: Path | None,
    chunks: str,
    price_book: str,
    deadline_s: float | None,
    engine_processes: int | None,
    usage_target: str,
    usage_token_env: str,
    numbers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run gateway and engine, until SIGINT or SIGTERM.

    With --json, one object with its address is printed when it is ready.
    """
    with needs("engine,gateway"):
        from loopmeter_engine.contract import EngineError
        from loopmeter_gateway import server

        try:
            server.serve(
                host=host,
                port=port,
                db=db,
                engine=engine,
                data=data,
                price_book=price_book,
                chunks=chunks,
                deadline_s=deadline_s,
                engine_processes=engine_processes,
                usage_target=usage_target,
                usage_token=os.environ.get(usage_token_env, ""),
                numbers=numbers,
                announce=said_as_json if as_json else None,
            )
        except EngineError as error:
            raise click.ClickException(str(error)) from error


@click.command()
@click.option("--listen", default="127.0.0.1:9130", show_default=True, metavar="HOST:PORT", help="UDP and TCP address.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for loops.")
@click.option("--url", help="The gateway; default: LOOPMETER_URL.")
@click.option("--allow-remote", is_flag=True, help="Listen beyond loopback. Whoever reaches the port spends the key.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Hear only these, as 192.168.1.0/24. May be repeated.")
@click.option("--tokens-per-client-hour", type=click.IntRange(0), help="What one client may spend in an hour.")
@click.option("--tokens-per-hour", type=click.IntRange(0), help="What all clients together may spend in an hour.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Log every message to this file.")
@click.option("--replay", type=click.Path(dir_okay=False, path_type=Path), help="Ask again what such a log was asked.")
@click.option("--advertise/--no-advertise", default=True, show_default=True, help="Be found in the local network.")
@click.option("--play", type=click.Choice(["none", "jack", "portaudio"]), default="none", show_default=True)
@click.option("--clock", type=click.Choice(["own", "link", "midi", "jack"]), default="own", show_default=True)
@click.option("--bpm", default=120.0, show_default=True, help="Tempo of our own clock, and of a Link session of one.")
@click.option("--beats-per-bar", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--device", help="PortAudio's output device; default: the system's.")
@click.option("--jack-server", help="Name of the JACK server; default: the default one.")
@click.option("--latency-ms", type=click.FloatRange(0, 1000), default=0.0, help="What the hardware adds after JACK.")
@_JSON
def bridge(
    listen: str,
    out: Path,
    url: str | None,
    allow_remote: bool,
    allow: tuple[str, ...],
    tokens_per_client_hour: int | None,
    tokens_per_hour: int | None,
    record: Path | None,
    replay: Path | None,
    advertise: bool,
    play: str,
    clock: str,
    bpm: float,
    beats_per_bar: int,
    device: str | None,
    jack_server: str | None,
    latency_ms: float,
    as_json: bool,
) -> None:
    """Answer OSC messages with loops, and play them in time, until SIGINT or SIGTERM.

    With --json, one object with its addresses is printed when it is ready.
    """
    with needs("osc" if play == "none" else "osc,play"):
        from loopmeter_integrations.osc import BridgeSettings, Instruments, parse_networks, run

        try:
            settings = BridgeSettings(
                allow=parse_networks(allow),
                tokens_per_client_hour=tokens_per_client_hour,
                tokens_per_hour=tokens_per_hour,
                record=record,
                replay=replay,
                advertise=advertise,
                instruments=Instruments(
                    play=play,  # type: ignore[arg-type]  # click has checked the choice.
                    clock=clock,  # type: ignore[arg-type]  # The same.
                    tempo_bpm=bpm,
                    beats_per_bar=beats_per_bar,
                    device=device,
                    jack_server=jack_server,
                    latency_s=latency_ms / 1000,
                ),
            )
            gateway, key = url_or_environment(url), api_key_or_environment(None)
            announce = _bridge_as_json if as_json else None
            run(listen, out, gateway, key, allow_remote=allow_remote, settings=settings, announce=announce)
        except LoopmeterError as error:
            raise click.ClickException(str(error)) from error


def _bridge_as_json(host: str, port: int) -> None:
    where = f"{host}:{port}"
    click.echo(
        json.dumps({"udp": f"osc.udp://{where}", "tcp": f"osc.tcp://{where}", "description": f"http://{where}/"})
    )
