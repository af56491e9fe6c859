"""The options that describe a loop, the same for every command that makes or prices one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from pydantic import ValidationError

from loopmeter._client import Loopmeter
from loopmeter._core import LoopOptions
from loopmeter._material import SOUND_BASE64_MAX, midi_base64, music_of, sound_base64
from loopmeter._models import LAYERS, Job, Layer, Quality, Section, Task

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Each brings a sound along, as a file or as the job that made it.
_TASKS: dict[str, Task] = {"continue": "continue", "repaint": "repaint", "vary": "cover", "accompany": "lego"}
SOUNDS = (*_TASKS, "reference")
# The option that stands alone without another, and that other.
_BELONGS = {"repaint_from_beat": "repaint", "repaint_to_beat": "repaint", "cover_strength": "vary"}
_SHOWN = {"repaint_from_beat": "from-beat", "repaint_to_beat": "to-beat", "cover_strength": "strength"}
# Fields of a request whose options have other names: errors name what was typed.
OPTION_OF_FIELD = {
    **{field: f"--{option}" for field, option in _SHOWN.items()},
    "tempo_bpm": "--bpm",
    "beats_per_bar": "--beats",
    "midi_base64": "--midi-in",
    "reference_audio_base64": "--reference",
    "source_audio_base64": f"--{', --'.join(_TASKS)}",
}


class _Layers(click.ParamType[tuple[Layer, ...]]):
    """Names with commas between them. Whether they are layers is the request's business."""

    name = "LAYER,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Layer, ...]:
        names = [part.strip() for part in str(value).split(",")]
        wrong = [name for name in names if name not in LAYERS]
        if wrong:
            self.fail(f"expected some of {','.join(LAYERS)}, found {wrong[0]!r}", param, ctx)
        return tuple(layer for layer in LAYERS if layer in names)


class _Sections(click.ParamType[tuple[Section, ...]]):
    """Parts of a piece: name, bars and perhaps energy, with colons; commas between the parts."""

    name = "NAME:BARS[:ENERGY],…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Section, ...]:
        found = []
        for part in str(value).split(","):
            fields = dict(zip(("name", "bars", "energy"), part.strip().split(":"), strict=False))
            try:
                if part.count(":") not in (1, 2):
                    raise ValueError
                found.append(Section.model_validate(fields))
            except (ValidationError, ValueError):
                self.fail(f"expected parts such as intro:4 or chorus:8:0.9, found {part.strip()!r}", param, ctx)
        return tuple(found)


_FILE = click.Path(path_type=Path)
_LOOP_OPTIONS = (
    click.option("--bpm", "tempo_bpm", type=float, help="Beats per minute, 40 to 240."),
    click.option("--bars", type=int, help="Length in bars, 1 to 256."),
    click.option("--beats", "beats_per_bar", type=int, help="Beats per bar, 2 to 6; default 4."),
    click.option("--key", help="Such as Am, F# or 'Eb minor'."),
    click.option("--chords", help="One name a bar: 'Am F C G'; several in a bar: 'Am F | C G'."),
    click.option("--sections", type=_Sections(), help="A whole piece, such as intro:4,verse:8:0.5,chorus:8:0.9."),
    click.option("--layers", type=_Layers(), help=f"Some of {','.join(LAYERS)}."),
    click.option(
        "--stems", is_flag=True, default=None, help="As the sum of its --layers, which asked alone are its stems."
    ),
    click.option("--density", type=float, help="Few or many notes, 0 to 1."),
    click.option("--intensity", type=float, help="Soft or hard, 0 to 1."),
    click.option("--swing", type=float, help="0 is straight, 1 a full triplet."),
    click.option("--negative-prompt", help="What should not be heard."),
    click.option("--midi-in", type=_FILE, metavar="FILE", help="Play the notes of this MIDI file."),
    click.option("--continue", metavar="FILE|JOB", help="Go on behind this sound (WAV, FLAC, Ogg)."),
    click.option("--repaint", metavar="FILE|JOB", help="Make some beats of this sound anew."),
    click.option("--from-beat", "repaint_from_beat", type=float, help="Where --repaint begins; 0 is the first beat."),
    click.option("--to-beat", "repaint_to_beat", type=float, help="Where --repaint ends."),
    click.option("--vary", metavar="FILE|JOB", help="Make another loop like this sound."),
    click.option("--strength", "cover_strength", type=float, help="How closely --vary follows; 1 is closest."),
    click.option("--accompany", metavar="FILE|JOB", help="Make a part to play along with this sound."),
    click.option("--reference", metavar="FILE|JOB", help="Sound like this, in timbre alone."),
    click.option("--seed", type=int, help="Another seed, another loop; the same seed, the same bytes."),
    click.option("--quality", type=click.Choice(get_args(Quality)), help="standard: mono 16 bit. hifi: stereo 24 bit."),
    click.option("--model", help="A name from the gateway's catalogue."),
)
URL_OPTION = click.option("--url", help="The gateway; default: LOOPMETER_URL.")
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def request_options(command: _Command) -> _Command:
    """The options that describe a loop."""
    for option in reversed(_LOOP_OPTIONS):
        command = option(command)
    return command


def given_options(client: Loopmeter, options: dict[str, Any]) -> LoopOptions:
    """Those that were given, as fields of a request; for the others the gateway has defaults.

    A job in the place of a sound also says tempo, meter, bars, key, quality and model, where they are not given.

    Raises:
        click.UsageError: options that do not go together.
        InvalidRequest: a file that cannot be sent.
    """
    given = {name: value for name, value in options.items() if value is not None}
    sources = [name for name in _TASKS if name in given]
    if len(sources) > 1:
        raise click.UsageError(f"expected one of --{', --'.join(_TASKS)}, found --{' and --'.join(sources)}")
    for name, owner in _BELONGS.items():
        if name in given and owner not in given:
            raise click.UsageError(f"expected --{owner} beside --{_SHOWN[name]}, found none")
    if "repaint" in given and not {"repaint_from_beat", "repaint_to_beat"} <= given.keys():
        raise click.UsageError("expected --from-beat and --to-beat beside --repaint, found one of them or none")
    if "midi_in" in given:
        given["midi_base64"] = midi_base64(given.pop("midi_in"))
    if "reference" in given:
        sound, _ = _sound(client, given.pop("reference"), "reference_audio_base64")
        given["reference_audio_base64"] = sound
    for name in sources:
        sound, job = _sound(client, given.pop(name), f"--{name}")
        given = {**(music_of(job.request) if job is not None else {}), **given}
        given |= {"task": _TASKS[name], "source_audio_base64": sound}
    return given  # type: ignore[return-value]  # The names above are fields of a request.


def _sound(client: Loopmeter, where: str, field: str) -> tuple[str, Job | None]:
    """A file, or else what a job made, in the best form that can be sent."""
    if Path(where).exists() or not where.startswith("job_"):
        return sound_base64(Path(where), field), None
    job = client.loops.get(where)
    small = job.frames * job.channels * job.bits // 8 < SOUND_BASE64_MAX // 4 * 3 - 100
    return sound_base64(client.loops.audio(where, "wav" if small else "ogg"), field), job


def client_of(url: str | None) -> Loopmeter:
    """The client for ``--url`` or the environment; an address that is none is wrong use."""
    try:
        return Loopmeter(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
