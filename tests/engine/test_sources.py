"""Sound that comes along: what stays of it stays to the sample, and the network is told of it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from loopmeter import LoopRequest
from loopmeter_engine.contract import LEASE_CHUNKS_MAX, InvalidRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.transformer import BLOCK_FRAMES
from loopmeter_engine.planner.midi import midi_to_events
from loopmeter_engine.seam import seam_ratio
from loopmeter_engine.sources import Source, measured_tempo, predicted, read_source, with_measured_tempo
from loopmeter_engine.testing import make_all

RATE = 44_100
BEAT = 22_050  # Frames, at 120 bpm.
BASE = {"prompt": "funky house with drums, bass and keys", "tempo_bpm": 120, "bars": 2, "seed": 3, "key": "Am"}
Mono = NDArray[np.float64]


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine(device="cpu")


def as_base64(sound: Mono, rate: int = RATE) -> str:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


def made(engine: LoopmeterEngine, **fields: object) -> Mono:
    request = LoopRequest.model_validate(BASE | fields)
    chunks = make_all(engine, request)
    assert sum(chunk.frames for chunk in chunks) == engine.plan(request).frames
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2") / 32767


@pytest.fixture(scope="module")
def loop(engine: LoopmeterEngine) -> Mono:
    return made(engine)


def test_outside_of_the_repainted_beats_every_sample_stays(engine: LoopmeterEngine, loop: Mono) -> None:
    part = slice(2 * BEAT, int(5.5 * BEAT))
    found = made(
        engine, seed=9, task="repaint", source_audio_base64=as_base64(loop), repaint_from_beat=2, repaint_to_beat=5.5
    )
    outside = np.ones(len(loop), bool)
    outside[part] = False
    assert np.abs(found - loop)[outside].max() < 1e-3
    assert np.abs(found - loop)[part].mean() > 0.1 * np.abs(loop).mean()
    assert 0.25 < np.sqrt((found[part] ** 2).mean() / (loop[part] ** 2).mean()) < 4


def test_what_goes_on_from_a_sound_joins_it_without_a_click(engine: LoopmeterEngine, loop: Mono) -> None:
    found = made(engine, task="continue", source_audio_base64=as_base64(loop), seed=4)
    for beat in range(8):
        assert np.sqrt((found[beat * BEAT : (beat + 1) * BEAT] ** 2).mean()) > 0.01
    both = np.concatenate([loop, found])[None]
    assert seam_ratio(both) <= 1  # From its end back to the source's start.
    assert seam_ratio(np.roll(both, len(found), axis=1)) <= 1  # From the source's end to its start.


def test_what_goes_on_depends_on_what_was_before(engine: LoopmeterEngine, loop: Mono) -> None:
    after_loop, after_half = (
        made(engine, task="continue", source_audio_base64=as_base64(sound)) for sound in (loop, loop[: 2 * BEAT])
    )
    assert not np.array_equal(after_loop, after_half)


def test_the_score_of_a_repaint_is_that_of_the_repainted_beats(engine: LoopmeterEngine, loop: Mono) -> None:
    request = LoopRequest.model_validate(
        BASE | {"task": "repaint", "source_audio_base64": as_base64(loop), "repaint_from_beat": 2, "repaint_to_beat": 5}
    )
    onsets = [note.onset_beats for note in midi_to_events(engine.score(request).midi).notes]
    assert onsets and min(onsets) > 1.9 and max(onsets) < 5.0


def test_a_variation_that_follows_closely_is_nearer_to_its_source(engine: LoopmeterEngine, loop: Mono) -> None:
    def distance(follow: float) -> float:
        found = made(engine, seed=8, task="cover", source_audio_base64=as_base64(loop), cover_strength=follow)
        return float(np.abs(_spectrum(found) - _spectrum(loop)).mean())

    assert distance(1.0) < distance(0.0)


def _spectrum(sound: Mono) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(sound, 2048)[::1024] * np.hanning(2048)
    return np.asarray(np.log1p(100 * np.abs(np.fft.rfft(windows))))


def test_an_accompaniment_is_the_asked_layers_alone(engine: LoopmeterEngine, loop: Mono) -> None:
    fields = {"task": "lego", "source_audio_base64": as_base64(loop), "layers": ["bass"]}
    assert engine.plan(LoopRequest.model_validate(BASE | fields)).request.layers == ("bass",)
    found = made(engine, **fields)
    plain = made(engine, layers=["bass"])
    assert np.sqrt((found**2).mean()) > 0.003
    assert not np.array_equal(found, plain)  # It was told what it plays along with.


def test_chunks_of_a_repaint_are_the_same_from_any_state(engine: LoopmeterEngine, loop: Mono) -> None:
    request = LoopRequest.model_validate(
        BASE | {"task": "repaint", "source_audio_base64": as_base64(loop), "repaint_from_beat": 3}
    )
    whole = make_all(engine, request)
    again = next(iter(engine.lease(request, 3, 1, None)))
    assert again.pcm == whole[3].pcm


@pytest.fixture(scope="module")
def counted() -> LoopmeterEngine:
    """In the number format whose operations a counter sees."""
    return LoopmeterEngine(device="cpu", number_format=torch.float32)


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "repaint", "repaint_from_beat": 3, "repaint_to_beat": 6},
        {"task": "continue"},
        {"task": "lego", "layers": ["bass"]},
        {"task": "cover"},
        {"reference": True},
        {"negative_prompt": "hiss"},
    ],
)
def test_the_planned_operations_are_those_that_are_counted(
    counted: LoopmeterEngine, loop: Mono, fields: dict[str, object]
) -> None:
    engine, fields = counted, dict(fields)
    if fields.pop("reference", False):
        fields["reference_audio_base64"] = as_base64(loop)
    if "task" in fields:
        fields["source_audio_base64"] = as_base64(loop[: 5 * BEAT] if fields["task"] == "continue" else loop)
    request = LoopRequest.model_validate(BASE | fields)
    planned = engine.plan(request).flops  # Loads the weights, too.
    assert len(engine.plan(request).chunk_frames) <= LEASE_CHUNKS_MAX  # What is done once a lease is done once.
    with FlopCounterMode(display=False) as reading:  # Of the prompts, which a price does not count.
        engine._reader.vectors([text for text in (request.prompt, request.negative_prompt) if text])
    with FlopCounterMode(display=False) as counter:
        make_all(engine, request)
    assert counter.get_total_flops() - reading.get_total_flops() == planned


def test_a_negative_prompt_takes_instruments_away(engine: LoopmeterEngine) -> None:
    request = LoopRequest.model_validate(BASE | {"negative_prompt": "drums"})
    assert "drums" not in engine.score(request).summary["layers"]  # type: ignore[operator]
    assert not np.array_equal(made(engine, negative_prompt="harsh noise"), made(engine, guidance=2.0))


def test_a_negative_prompt_is_heeded_in_a_long_piece(engine: LoopmeterEngine) -> None:
    plain = LoopRequest.model_validate(BASE | {"bars": 40})
    against = plain.model_copy(update={"negative_prompt": "harsh noise"})
    first = [next(iter(engine.lease(request, 0, 1, None))).pcm for request in (plain, against)]
    assert engine.plan(against).flops > engine.plan(plain).flops
    assert first[0] != first[1]


def test_a_reference_changes_the_sound_and_not_the_notes(engine: LoopmeterEngine, loop: Mono) -> None:
    told = {"reference_audio_base64": as_base64(loop * 0.3)}
    plain, with_reference = (LoopRequest.model_validate(BASE | fields) for fields in ({}, told))
    assert engine.score(plain).midi == engine.score(with_reference).midi
    assert not np.array_equal(made(engine, **told), loop)


def test_a_loop_says_its_own_tempo() -> None:
    frames = round(2 * 4 * 60 / 93.7 * RATE)
    rng = np.random.default_rng(0)
    fields = {"prompt": "x", "task": "cover", "source_audio_base64": as_base64(rng.normal(0, 0.1, frames))}
    of_two_bars = with_measured_tempo(LoopRequest.model_validate(fields | {"bars": 2}))
    assert of_two_bars.tempo_bpm == pytest.approx(93.7, abs=0.001)
    left_open = with_measured_tempo(LoopRequest.model_validate(fields))
    assert left_open.bars == 2
    assert left_open.tempo_bpm == pytest.approx(93.7, abs=0.001)


@pytest.mark.parametrize("tempo_bpm", [84, 100, 128, 140])
def test_the_tempo_of_a_beat_is_measured(tempo_bpm: int) -> None:
    rng = np.random.default_rng(tempo_bpm)
    sound = rng.normal(0, 1e-3, 8 * RATE)
    for beat in range(int(8 * tempo_bpm / 60)):
        start = round(beat * 60 / tempo_bpm * RATE)
        hit = rng.normal(0, 0.5, 4000) * np.exp(-np.arange(4000) / 700)
        sound[start : start + 4000] += hit[: len(sound) - start]
    assert measured_tempo(sound, RATE) == pytest.approx(tempo_bpm, rel=0.005)


def test_silence_has_no_tempo() -> None:
    assert measured_tempo(np.zeros(RATE), RATE) is None


def test_a_sound_is_carried_on_without_a_step() -> None:
    time = np.arange(8000) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 220 * time) + 0.2 * np.sin(2 * np.pi * 531 * time)).astype(np.float32)
    assert np.abs(predicted(tone[:6000], 400) - tone[6000:6400]).max() < 0.05


@pytest.mark.parametrize("peak", [0.006, 0.5])
def test_a_sound_that_grows_is_carried_on_without_a_kink_and_no_louder_than_full_scale(peak: float) -> None:
    time = np.arange(6000) / RATE
    swell = np.exp((time - time[-1]) / 3e-3) * np.sin(2 * np.pi * 60 * time + 1)
    swell = (peak * swell / np.abs(swell).max()).astype(np.float32)
    on = np.concatenate([swell, predicted(swell, 441)]).astype(np.float64)
    assert np.abs(on).max() < 1
    assert np.abs(np.diff(on, 2)).max() < 5e-4 * np.abs(on).max()


def test_a_lone_click_in_silence_is_carried_on_by_silence() -> None:
    click = np.zeros(6000, np.float32)
    click[5000] = 0.5
    assert not predicted(click, 441).any()


def test_what_a_stream_knows_of_its_source() -> None:
    silence = np.zeros((2, 88_200), np.float32)
    gap = Source("repaint", silence, 88_200, 40_000, 60_000)
    known = gap.known_latents(16, 43)  # The loop's own, from its start on.
    samples = np.arange(43) * 2048
    assert np.array_equal(known, (samples + 2048 <= 40_000) | (samples >= 60_000))
    before = Source("continue", silence, 44_100, 0, 44_100)
    assert before.blocks_before == 1
    assert before.known_latents(-BLOCK_FRAMES, 2 * BLOCK_FRAMES).all()
    assert not before.known_latents(BLOCK_FRAMES, 64).any()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"task": "repaint"}, "source_audio_base64"),
        ({"task": "repaint", "source_audio_base64": "AAAA"}, "source_audio_base64"),
        ({"source_audio_base64": as_base64(np.zeros(1000))}, "source_audio_base64"),
        ({"task": "cover", "source_audio_base64": as_base64(np.zeros(1000))}, "source_audio_base64"),
        ({"task": "continue", "source_audio_base64": as_base64(np.zeros(BEAT))}, "source_audio_base64"),
        ({"task": "repaint", "source_audio_base64": as_base64(np.zeros(8 * BEAT)), "repaint_from_beat": 9},
         "repaint_to_beat"),
        ({"task": "lego", "source_audio_base64": as_base64(np.zeros(8 * BEAT)), "track": "bass"}, "track"),
        ({"task": "extract", "source_audio_base64": as_base64(np.zeros(8 * BEAT))}, "task"),
        ({"reference_audio_base64": as_base64(np.zeros(1000))}, "reference_audio_base64"),
        ({"negative_prompt": "hiss", "guidance": 1.0}, "guidance"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_field(engine: LoopmeterEngine, fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        engine.plan(LoopRequest.model_validate(BASE | fields))
    assert refused.value.field == field


def test_a_frame_lost_to_rounding_is_forgiven() -> None:
    request = LoopRequest.model_validate(BASE | {"task": "repaint", "source_audio_base64": as_base64(np.ones(99) / 9)})
    source = read_source(request.model_copy(update={"repaint_to_beat": 4}), 100)
    assert source is not None and source.sound.shape == (2, 100)
