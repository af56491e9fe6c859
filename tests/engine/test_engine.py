"""Our engine keeps the contract, with the shipped weights."""

from __future__ import annotations

import base64
import io

import mido
import numpy as np
import pytest
from torch import Tensor, tensor

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed, InvalidRequest
from loopmeter_engine.engine import LoopmeterEngine, pcm_bytes
from loopmeter_engine.seam import seam_ratio
from loopmeter_engine.testing import EngineContract, LiveEngineContract, make_all


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine(device="cpu")


class TestContract(EngineContract, LiveEngineContract):
    """What every engine keeps; the fixture above gives ours."""


def _pcm(engine: LoopmeterEngine, request: LoopRequest) -> np.ndarray:
    """(1, frames) of a standard loop, in [-1, 1]."""
    data = b"".join(chunk.pcm for chunk in make_all(engine, request))
    return np.frombuffer(data, "<i2").astype(np.float64)[None] / 32768


def test_a_loop_sounds_and_closes(engine: LoopmeterEngine) -> None:
    pcm = _pcm(engine, LoopRequest(prompt="warm house chords and bass", tempo_bpm=123, bars=2, key="Am", seed=4))
    assert pcm.shape[1] == round(2 * 4 * 60 / 123 * 44_100)
    assert 0.01 < np.sqrt((pcm**2).mean()) < 0.5
    assert seam_ratio(pcm) <= 1.0


def test_another_seed_makes_another_loop(engine: LoopmeterEngine) -> None:
    request = LoopRequest(prompt="techno", bars=1, tempo_bpm=140)
    assert not np.array_equal(_pcm(engine, request), _pcm(engine, request.model_copy(update={"seed": 1})))


def test_prompt_words_fill_open_fields(engine: LoopmeterEngine) -> None:
    plan = engine.plan(LoopRequest(prompt="2 bars of dusty lo-fi drums at 84 bpm in D minor"))
    assert (plan.request.tempo_bpm, plan.request.bars, plan.request.key) == (84.0, 2, "Dm")
    summary = engine.score(plan.request).summary
    assert summary["genre"] == "lofi"
    assert list(summary["layers"]) == ["drums"]  # type: ignore[call-overload]


def test_counted_flops_add_up_to_the_plan(engine: LoopmeterEngine) -> None:
    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=2)
    plan = engine.plan(request)
    assert sum(chunk.usage.flops for chunk in make_all(engine, request)) == plan.flops


def test_layers_are_stems_of_one_score(engine: LoopmeterEngine) -> None:
    full = LoopRequest(prompt="funk", tempo_bpm=104, bars=2, key="Em", seed=2, layers=("drums", "bass", "chords"))
    bass = full.model_copy(update={"layers": ("bass",)})
    notes_full = _notes(engine.score(full).midi, "bass")
    assert notes_full and notes_full == _notes(engine.score(bass).midi, "bass")


def test_a_users_midi_replaces_the_plan(engine: LoopmeterEngine) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="bass")])
    for pitch in (40, 43, 45, 47):
        track.append(mido.Message("note_on", note=pitch, velocity=90, time=0))
        track.append(mido.Message("note_off", note=pitch, velocity=0, time=480))
    file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    midi = base64.b64encode(buffer.getvalue()).decode()
    request = LoopRequest(prompt="house", tempo_bpm=120, bars=1, layers=("bass",), midi_base64=midi)
    assert _notes(engine.score(request).midi, "bass") == [40, 43, 45, 47]
    with pytest.raises(InvalidRequest, match="expected") as caught:
        engine.plan(request.model_copy(update={"midi_base64": base64.b64encode(b"not midi").decode()}))
    assert caught.value.field == "midi_base64"


def test_a_foreign_state_is_refused(engine: LoopmeterEngine) -> None:
    request = LoopRequest(prompt="drums", tempo_bpm=120, bars=2)
    with pytest.raises(EngineFailed, match="expected a stream state"):
        list(engine.lease(request, 1, 1, b"nonsense"))


def test_guidance_solver_and_steps_change_the_work_and_the_sound(engine: LoopmeterEngine) -> None:
    base = LoopRequest(prompt="bright trance lead", tempo_bpm=138, bars=1, seed=3, solver="euler", steps=3, guidance=1)
    sounds = {_pcm(engine, base).tobytes()}
    for update in ({"guidance": 2.0}, {"solver": "heun"}, {"steps": 2}):
        other = base.model_copy(update=update)
        assert engine.plan(other).flops != engine.plan(base).flops
        sounds.add(_pcm(engine, other).tobytes())
    assert len(sounds) == 4


@pytest.mark.parametrize("bits", [16, 24])
def test_pcm_is_interleaved_little_endian(bits: int) -> None:
    sound: Tensor = tensor([[0.0, 1.0, -1.0], [0.5, 0.0, 0.25]])
    data = pcm_bytes(sound, bits)
    size = bits // 8
    values = [int.from_bytes(data[at : at + size], "little", signed=True) for at in range(0, len(data), size)]
    top = 2 ** (bits - 1) - 1
    assert values == [0, round(top / 2), top, 0, -top, round(top / 4)]


def _notes(midi: bytes, name: str) -> list[int]:
    for track in mido.MidiFile(file=io.BytesIO(midi)).tracks:
        if name in track.name.lower():
            return [message.note for message in track if message.type == "note_on" and message.velocity > 0]
    return []
