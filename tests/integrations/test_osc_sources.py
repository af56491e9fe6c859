"""Files that a request names: from the bridge's folder alone, and small enough to travel."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integrations.osc_peer import asynchronous, bridge_and_peer
from tests.integrations.scripted_gateway import Answer, ScriptedGateway

from loopmeter import LoopOrder, _material
from loopmeter_integrations.osc._addresses import BadArguments
from loopmeter_integrations.osc._sources import MATERIALS, MIDI, SOURCE, Material

RATE_HZ = 44_100


class KeepingGateway(ScriptedGateway):
    """Keeps the orders."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[LoopOrder] = []

    async def _order(self, order: LoopOrder) -> Answer:
        self.orders.append(order)
        return await super()._order(order.model_copy(update={m.field: None for m in MATERIALS}))


def noise(path: Path, seconds: float, level: float = 0.3) -> Path:
    sound = np.random.default_rng(1).uniform(-level, level, (round(seconds * RATE_HZ), 1))
    soundfile.write(path, sound, RATE_HZ, "PCM_16")
    return path


@pytest.mark.parametrize(("material", "ending"), [(SOURCE, ".wav"), (MIDI, ".mid")], ids=["sound", "notes"])
@asynchronous
async def test_a_loop_is_made_of_another_by_its_id(tmp_path: Path, material: Material, ending: str) -> None:
    gateway = KeepingGateway()
    async with bridge_and_peer(tmp_path, gateway) as (_, peer, _gateway):
        peer.ask_loop("first")
        ready = (await peer.heard_until("/loopmeter/ready"))[-1]
        peer.ask_loop("second", "drums", 1, material.option, "first")
        await peer.heard_until("/loopmeter/ready")
    sent = base64.b64decode(getattr(gateway.orders[1], material.field))
    assert sent == Path(str(ready[2])).with_suffix(ending).read_bytes()
    assert {getattr(gateway.orders[0], material.field) for material in MATERIALS} == {None}


@asynchronous
async def test_a_file_of_the_folder_is_a_source_by_its_path(tmp_path: Path) -> None:
    gateway = KeepingGateway()
    (tmp_path / "takes").mkdir()
    path = noise(tmp_path / "takes" / "mine.wav", 1)
    async with bridge_and_peer(tmp_path, gateway) as (_, peer, _gateway):
        for own_id, named in (("a", "takes/mine.wav"), ("b", str(path))):
            peer.ask_loop(own_id, "drums", 1, "reference", named, "source", named)
            await peer.heard_until("/loopmeter/ready")
    assert [order.reference_audio_base64 for order in gateway.orders] == [
        base64.b64encode(path.read_bytes()).decode()
    ] * 2
    assert gateway.orders[0].source_audio_base64 == gateway.orders[0].reference_audio_base64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bait all around: outside, linked to, hidden, of another kind."""
    inside = tmp_path / "loops"
    inside.mkdir()
    for path in (tmp_path / "secret.wav", inside / "fine.wav", inside / ".loopmeter-x.part", inside / "notes.txt"):
        path.write_bytes(b"RIFF")
    (inside / "link.wav").symlink_to(tmp_path / "secret.wav")
    (inside / "round.wav").symlink_to(inside / "round.wav")
    (inside / "up").symlink_to(tmp_path)
    (inside / "folder.wav").mkdir()
    return inside


OUTSIDE = ["../secret.wav", "link.wav", "up/secret.wav", "round.wav", "folder.wav", ".loopmeter-x.part", "notes.txt"]
OUTSIDE += ["/etc/passwd", "", ".", "a\0b.wav", "x" * 5000 + ".wav", "no such.wav"]


@pytest.mark.parametrize("named", OUTSIDE, ids=range(len(OUTSIDE)))
def test_nothing_outside_the_folder_is_read_or_told_from_nothing(folder: Path, named: str) -> None:
    with pytest.raises(BadArguments) as refused:
        SOURCE.find(folder, named)
    assert str(refused.value) == (
        "source: expected the id of a loop of yours, or a WAV, FLAC or Ogg file in the folder of the bridge, "
        f"found the string {named[:80]!r}"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["..", "up", "loops", "fine.wav", "secret.wav", "link.wav", "", "/", "~"]), max_size=6))
def test_what_is_found_lies_in_the_folder(folder: Path, parts: list[str]) -> None:
    try:
        found = SOURCE.find(folder, "/".join(parts))
    except BadArguments:
        return
    assert found == folder / "fine.wav"


@asynchronous
async def test_a_file_that_is_not_there_is_told_and_nothing_is_ordered(tmp_path: Path) -> None:
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask_loop("a", "drums", 1, "source", "../x.wav")
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "a", "bad_arguments")
        peer.ask_loop("a", "drums", 1, "midi", "take1", "midi_base64", "TVRo")
        answer = await peer.heard()
        assert "midi: expected it or midi_base64, found both" in str(answer[3])
        assert gateway.sent == []


@asynchronous
async def test_a_loop_too_long_for_a_request_is_sent_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_material, "SOUND_BASE64_MAX", 900_000)  # A limit that a short loop reaches.
    gateway = KeepingGateway()
    noise(tmp_path / "long.wav", 12, 0.01)
    async with bridge_and_peer(tmp_path, gateway) as (_, peer, _gateway):
        peer.ask_loop("a", "drums", 1, "source", "long.wav")
        await peer.heard_until("/loopmeter/ready")
    sent = gateway.orders[0].source_audio_base64
    assert sent is not None
    with soundfile.SoundFile(io.BytesIO(base64.b64decode(sent))) as file:
        assert (file.format, file.samplerate, file.frames) == ("FLAC", RATE_HZ, 12 * RATE_HZ)


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [("source", "fake.wav", "source: expected a WAV, FLAC or Ogg file"), ("midi", "fake.mid", "a Standard MIDI File")],
)
@asynchronous
async def test_a_file_of_another_kind_than_its_name_says_is_refused(
    tmp_path: Path, option: str, name: str, said: str
) -> None:
    (tmp_path / name).write_bytes(b"text")
    async with bridge_and_peer(tmp_path) as (_, peer, gateway):
        peer.ask_loop("a", "drums", 1, option, name)
        answer = await peer.heard()
        assert answer[:3] == ("/loopmeter/error", "a", "bad_arguments")
        assert said in str(answer[3])
        assert gateway.sent == []
