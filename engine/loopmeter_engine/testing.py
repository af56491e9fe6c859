"""The contract as tests, for every engine: ours, the fake, and any plug-in.

Mix ``EngineContract`` into a pytest class whose ``engine`` fixture gives the engine under test::

    class TestMyEngine(EngineContract):
        @pytest.fixture(scope="class")
        def engine(self):
            return MyEngine()

``short`` and ``long`` may be overridden: two requests of which the first should make at least three chunks.
"""

from __future__ import annotations

import pytest

from loopmeter import LoopRequest
from loopmeter_engine.contract import LEASE_CHUNKS_MAX, Chunk, Engine, InvalidRequest, Plan


def make_all(engine: Engine, request: LoopRequest, lease_chunks: int = LEASE_CHUNKS_MAX) -> list[Chunk]:
    """The whole loop, made in leases of ``lease_chunks``, the state handed from each to the next."""
    total = len(engine.plan(request).chunk_frames)
    chunks: list[Chunk] = []
    while len(chunks) < total:
        state = chunks[-1].state_after if chunks else None
        chunks.extend(engine.lease(request, len(chunks), min(lease_chunks, total - len(chunks)), state))
    return chunks


class EngineContract:
    """What any engine must keep. Bytes are compared for equality, never within a tolerance."""

    short = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92.5, bars=1, key="Am", seed=7)
    long = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92.5, bars=3, key="Am", seed=7)

    def test_info_states_the_limits(self, engine: Engine) -> None:
        info = engine.info()
        assert info == engine.info()
        assert info.name and info.version and info.fingerprint and info.licence
        assert info.sample_rate_hz > 0
        assert info.duration_s_max > 0

    @pytest.mark.parametrize(
        ("tempo_bpm", "bars", "beats_per_bar"),
        [(92.0, 4, 4), (127.3, 2, 4), (40.0, 1, 3), (239.9, 1, 2), (171.7, 7, 5)],
    )
    def test_frames_are_exact(self, engine: Engine, tempo_bpm: float, bars: int, beats_per_bar: int) -> None:
        request = LoopRequest(prompt="x", tempo_bpm=tempo_bpm, bars=bars, beats_per_bar=beats_per_bar)
        plan = engine.plan(request)
        assert plan.frames == round(bars * beats_per_bar * 60 / tempo_bpm * plan.sample_rate_hz)
        assert sum(plan.chunk_frames) == plan.frames
        assert all(frames > 0 for frames in plan.chunk_frames)

    def test_plan_is_pure_and_leaves_nothing_open(self, engine: Engine) -> None:
        request = LoopRequest(prompt="warm pads")
        plan = engine.plan(request)
        assert plan == engine.plan(request)
        assert None not in (plan.request.tempo_bpm, plan.request.bars, plan.request.key)
        assert engine.plan(plan.request) == plan

    @pytest.mark.parametrize(("quality", "channels", "bits"), [("standard", 1, 16), ("hifi", 2, 24)])
    def test_chunks_are_what_the_plan_says(self, engine: Engine, quality: str, channels: int, bits: int) -> None:
        request = self.short.model_copy(update={"quality": quality})
        plan = engine.plan(request)
        chunks = make_all(engine, request)
        assert (plan.channels, plan.bits) == (channels, bits)
        assert [chunk.index for chunk in chunks] == list(range(len(plan.chunk_frames)))
        assert tuple(chunk.frames for chunk in chunks) == plan.chunk_frames
        assert all(len(chunk.pcm) == chunk.frames * channels * bits // 8 for chunk in chunks)

    def test_usage_is_counted_per_chunk(self, engine: Engine) -> None:
        plan = engine.plan(self.short)
        for chunk in make_all(engine, self.short):
            assert chunk.usage.frames == chunk.frames
            assert chunk.usage.steps > 0
            assert chunk.usage.flops > 0
            assert chunk.usage.device_seconds >= 0
            assert chunk.usage.peak_memory_bytes > 0
        assert plan.flops > 0 and plan.peak_memory_bytes > 0

    @pytest.mark.parametrize("lease_chunks", [1, 2, 3])
    def test_any_split_into_leases_gives_the_same_bytes(self, engine: Engine, lease_chunks: int) -> None:
        whole = make_all(engine, self.long)
        split = make_all(engine, self.long, lease_chunks)
        assert _pcm(split) == _pcm(whole)
        assert [chunk.state_after for chunk in split] == [chunk.state_after for chunk in whole]

    def test_replay_without_a_state_gives_the_same_bytes(self, engine: Engine) -> None:
        whole = make_all(engine, self.short)
        last = len(whole) - 1
        (replayed,) = engine.lease(self.short, last, 1, None)
        assert replayed.pcm == whole[last].pcm
        assert replayed.state_after == whole[last].state_after

    def test_the_seed_matters(self, engine: Engine) -> None:
        other = self.short.model_copy(update={"seed": self.short.seed + 1})
        assert _pcm(make_all(engine, other)) != _pcm(make_all(engine, self.short))

    @pytest.mark.parametrize(("start_chunk", "count"), [(0, LEASE_CHUNKS_MAX + 1), (0, 0), (-1, 1), (10_000, 1)])
    def test_a_lease_out_of_bounds_is_refused(self, engine: Engine, start_chunk: int, count: int) -> None:
        with pytest.raises(ValueError, match="expected"):
            list(engine.lease(self.long, start_chunk, count, None))

    def test_closing_the_iterator_stops_the_work(self, engine: Engine) -> None:
        iterator = engine.lease(self.short, 0, 2, None)
        first = next(iterator)
        close = getattr(iterator, "close", None)
        assert close is not None, "expected lease to give a generator, which can be closed"
        close()
        assert list(iterator) == []
        assert first.pcm == make_all(engine, self.short)[0].pcm

    def test_too_long_is_refused_with_the_field(self, engine: Engine) -> None:
        request = LoopRequest(prompt="x", tempo_bpm=40, bars=256, beats_per_bar=6)
        with pytest.raises(InvalidRequest, match="expected at most") as caught:
            engine.plan(request)
        assert caught.value.field in ("bars", "tempo_bpm")
        with pytest.raises(InvalidRequest):
            list(engine.lease(request, 0, 1, None))
        with pytest.raises(InvalidRequest):
            engine.score(request)

    def test_score_is_a_midi_file_of_the_planned_tempo(self, engine: Engine) -> None:
        sheet = engine.score(self.short)
        plan: Plan = engine.plan(self.short)
        tempo_us = round(60_000_000 / (plan.request.tempo_bpm or 0))
        assert sheet.midi.startswith(b"MThd")
        assert b"\xff\x51\x03" + tempo_us.to_bytes(3, "big") in sheet.midi
        assert sheet.summary
        assert sheet == engine.score(self.short)


def _pcm(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)
