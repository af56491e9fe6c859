"""One loop as a customer gets it: shipped weights, a real gateway process, the SDK."""

from __future__ import annotations

import io
from collections.abc import Iterator

import mido
import numpy as np
import pytest
import soundfile
from tests.e2e.gateway_process import GatewayProcess

from loopmeter import Loop, Loopmeter, LoopRequest, accompany_loop, continue_loop, repaint_loop, vary_loop

TOKENS = 100_000
REQUEST = LoopRequest(prompt="deep house with a warm bass", tempo_bpm=123.4, bars=2, key="Dm", quality="hifi", seed=5)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopmeter]:
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), engine="loopmeter")
    process.start()
    try:
        with Loopmeter(process.url, process.customer("studio", TOKENS)) as client:
            yield client
    finally:
        process.stop()


@pytest.fixture(scope="module")
def loop(client: Loopmeter) -> Loop:
    return client.loops.create(REQUEST)


def test_the_length_is_exact_to_the_frame(loop: Loop) -> None:
    assert loop.frames == round(2 * 4 * 60 / 123.4 * 44_100)
    assert len(loop.pcm) == loop.frames * 2 * 3


def test_both_channels_sound_and_are_not_cut_off(loop: Loop) -> None:
    samples, _ = soundfile.read(io.BytesIO(loop.wav))
    level = np.sqrt((samples**2).mean(0))

    assert (level > 0.01).all()
    assert (np.abs(samples) > 0.99).mean() < 0.001
    assert (samples[:, 0] != samples[:, 1]).any()


def test_the_bill_is_the_quote(client: Loopmeter, loop: Loop) -> None:
    assert loop.tokens_charged == loop.job.tokens_quoted > 0
    assert sum(meter.tokens for meter in loop.meters) == loop.tokens_charged
    assert [entry.tokens_charged for entry in client.usage().entries if entry.job == loop.id] == [loop.tokens_charged]
    assert all(meter.flops > 0 and meter.device_seconds > 0 and meter.peak_memory_bytes > 0 for meter in loop.meters)


def test_the_score_comes_as_a_midi_file_of_the_same_tempo_and_length(loop: Loop) -> None:
    score = mido.MidiFile(file=io.BytesIO(loop.midi()))
    tempos = [message.tempo for track in score.tracks for message in track if message.type == "set_tempo"]
    notes = [message for track in score.tracks for message in track if message.type == "note_on"]

    assert tempos == [round(60e6 / 123.4)]
    assert score.length == pytest.approx(loop.duration_s, abs=0.05)
    assert len(notes) > 8


def test_the_same_request_again_is_the_same_bytes_and_another_seed_is_not(client: Loopmeter, loop: Loop) -> None:
    again = client.loops.create(REQUEST)
    other = client.loops.create(REQUEST, seed=6)

    assert again.id != loop.id
    assert again.pcm == loop.pcm
    assert other.pcm != loop.pcm


def test_a_loop_is_repainted_continued_and_accompanied_at_its_quote(client: Loopmeter, loop: Loop) -> None:
    requests = [
        repaint_loop(loop, "a drum fill", from_beat=6, to_beat=8),
        continue_loop(loop, bars=1),
        accompany_loop(loop, "bright lead", layers=("lead",)),
        vary_loop(loop, strength=0.7),
    ]
    quoted = [item.tokens for item in client.preview(requests)]

    made = [client.loops.create(request) for request in requests]

    assert [each.tokens_charged for each in made] == quoted
    assert [each.frames for each in made] == [loop.frames, round(4 * 60 / 123.4 * 44_100), loop.frames, loop.frames]
    before, after = (soundfile.read(io.BytesIO(each.wav))[0] for each in (loop, made[0]))
    assert np.abs(before - after)[: round(6 * 60 / 123.4 * 44_100) - 1].max() < 1e-3
