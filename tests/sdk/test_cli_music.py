"""The options that describe a loop, against a gateway in memory behind a socket: what is asked for in the end."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from loopmeter import LoopRequest
from loopmeter._cli._program import program
from loopmeter.testing import FakeGateway, make_loop

Run = Callable[..., Result]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def run(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.chdir(tmp_path)
    loop = make_loop("drums", bars=1)
    loop.save("take.wav")
    loop.save_midi("notes.mid")
    Path("notes.txt").write_text("la la")
    with gateway.serve() as url:
        yield lambda *arguments: CliRunner(env={"LOOPMETER_URL": url}).invoke(program, list(arguments))


def asked(gateway: FakeGateway) -> LoopRequest:
    """The last request that arrived, as it was sent."""
    fields = json.loads(gateway.requests[-1].body)
    return LoopRequest.model_validate(fields)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--continue", "take.wav", "--bars", "2"], {"task": "continue", "bars": 2}),
        (
            ["--repaint", "take.wav", "--from-beat", "1", "--to-beat", "3.5"],
            {"task": "repaint", "repaint_from_beat": 1.0, "repaint_to_beat": 3.5},
        ),
        (["--vary", "take.wav", "--strength", "0.3"], {"task": "cover", "cover_strength": 0.3}),
        (["--accompany", "take.wav", "--layers", "bass"], {"task": "lego", "layers": ("bass",)}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_sound_goes_along_with_its_task(
    arguments: list[str], fields: dict[str, object], run: Run, gateway: FakeGateway
) -> None:
    result = run("quote", "drums", *arguments)

    assert result.exit_code == 0, result.output
    request = asked(gateway)
    assert request.model_dump(include=set(fields)) == fields
    assert base64.b64decode(request.source_audio_base64 or "") == Path("take.wav").read_bytes()


def test_every_word_about_the_music_reaches_the_gateway(run: Run, gateway: FakeGateway) -> None:
    words = ["--chords", "Am | F", "--density", "0.2", "--intensity", "0.9", "--swing", "0.5", "--negative-prompt", "x"]
    files = ["--reference", "take.wav", "--midi-in", "notes.mid"]

    result = run("quote", "a song", *words, *files, "--sections", "intro:2, chorus:4:0.9")

    assert result.exit_code == 0, result.output
    request = asked(gateway)
    assert (request.chords, request.density, request.intensity, request.swing) == ("Am | F", 0.2, 0.9, 0.5)
    assert request.negative_prompt == "x"
    assert request.sections is not None
    assert [(part.name, part.bars, part.energy) for part in request.sections] == [
        ("intro", 2, None),
        ("chorus", 4, 0.9),
    ]
    assert base64.b64decode(request.reference_audio_base64 or "") == Path("take.wav").read_bytes()
    assert base64.b64decode(request.midi_base64 or "") == Path("notes.mid").read_bytes()


def test_a_job_in_the_place_of_a_file_brings_its_sound_and_its_music(run: Run, gateway: FakeGateway) -> None:
    first = json.loads(run("loop", "drums", "--bpm", "97", "--bars", "1", "--key", "Dm", "--json").stdout)

    result = run("loop", "more drums", "--continue", first["job"], "--bars", "2", "-o", "more.wav", "--json")

    found = json.loads(result.stdout)
    assert result.exit_code == 0 and found["tokens_charged"] == 800
    assert {"tempo_bpm": 97.0, "bars": 2, "key": "Dm", "task": "continue"}.items() <= found["request"].items()
    assert "source_audio_base64" not in found["request"]  # Too long to be shown.
    (_, job) = gateway.jobs
    assert base64.b64decode(job.request.source_audio_base64 or "") == Path("loop.wav").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--continue", "take.wav", "--vary", "take.wav"], "found --continue and --vary"),
        (["--strength", "0.5"], "expected --vary beside --strength"),
        (["--from-beat", "1"], "expected --repaint beside --from-beat"),
        (["--repaint", "take.wav", "--from-beat", "1"], "expected --from-beat and --to-beat beside --repaint"),
        (["--vary", "nowhere.wav"], "--vary: expected a file that can be read, found 'nowhere.wav'"),
        (["--reference", "notes.txt"], "--reference: expected a WAV, FLAC or Ogg file, found 5 bytes"),
        (["--midi-in", "take.wav"], "--midi-in: expected a Standard MIDI File"),
        (["--sections", "intro"], "expected parts such as intro:4 or chorus:8:0.9, found 'intro'"),
        (["--sections", "intro:4:2"], "found 'intro:4:2'"),
        (["--vary", "take.wav", "-o", "take.wav"], "expected another file to write than --vary take.wav"),
        (["--midi-in", "notes.mid", "--midi", "./notes.mid"], "expected another file to write than --midi-in"),
        (["--sections", "intro:4", "--bars", "8"], "expected sections of 8 bars in all, found 4"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_or_cannot_be_sent_is_wrong_use_and_asks_nothing(
    arguments: list[str], message: str, run: Run, gateway: FakeGateway
) -> None:
    result = run("loop", "drums", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert gateway.requests == []
