"""The contract as tests, for every engine: ours, the fake, and any plug-in.

Mix ``EngineContract`` into a pytest class whose ``engine`` fixture gives the engine under test::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def engine(self):
            return MyEngine()

``short`` and ``long`` may be overridden: two requests of which the first should make at least three chunks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from loopmeter import LivePrompt, LiveRequest, LiveSettings, LoopRequest
from loopmeter_engine.capabilities import SOURCE_TASKS
from loopmeter_engine.contract import (
    LEASE_CHUNKS_MAX,
    Applied,
    Chunk,
    Engine,
    InvalidRequest,
    LiveChange,
    LiveChunk,
    LiveEngine,
    Plan,
)
from loopmeter_engine.live_grid import spans

BLEND_S_MAX = 0.65  # Look-ahead blends 0.2 s before a change's bar; phases that are solved in blocks settle earlier.

# A field that not every engine knows, a value, and the capabilities of which one is enough for it.
SPECIAL_REQUESTS: tuple[tuple[str, object, frozenset[str]], ...] = (
    ("lyrics", "la la", frozenset({"lyrics"})),
    *(("task", task, frozenset({task})) for task in sorted(SOURCE_TASKS)),
    ("source_audio_base64", "AAAA", SOURCE_TASKS),
    ("reference_audio_base64", "AAAA", frozenset({"reference_audio"})),
    ("negative_prompt", "hiss", frozenset({"negative_prompt"})),
    ("lora", "tape", frozenset({"lora"})),
    ("shift", 3.0, frozenset({"shift"})),
    ("conform", True, frozenset({"conform"})),
    ("chords", "Am F C G", frozenset({"chords"})),
    *((field, 0.0, frozenset({field})) for field in ("swing", "density", "intensity")),
    ("sections", ({"name": "verse", "bars": 2},), frozenset({"sections"})),
)


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
        assert info.streams_at_once >= 1

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
        chunks = make_all(engine, self.short)
        assert plan.first_chunk_flops in (0, chunks[0].usage.flops)
        for chunk in chunks:
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

    def test_leases_side_by_side_give_the_same_bytes(self, engine: Engine) -> None:
        streams = min(engine.info().streams_at_once, 3)
        requests = [self.short.model_copy(update={"seed": self.short.seed + place}) for place in range(streams)]
        alone = [_pcm(make_all(engine, request)) for request in requests]
        with ThreadPoolExecutor(streams) as threads:
            assert list(threads.map(lambda request: _pcm(make_all(engine, request, 1)), requests)) == alone

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

    @pytest.mark.parametrize(("field", "value", "capabilities"), SPECIAL_REQUESTS, ids=[s[0] for s in SPECIAL_REQUESTS])
    def test_a_lacking_capability_is_refused_by_name(
        self, engine: Engine, field: str, value: object, capabilities: frozenset[str]
    ) -> None:
        if capabilities & engine.info().capabilities:
            pytest.skip("this engine has it")
        request = LoopRequest.model_validate({"prompt": "dusty lo-fi drums", field: value})
        with pytest.raises(InvalidRequest, match="expected an engine that can do") as caught:
            engine.plan(request)
        assert caught.value.field == field

    def test_score_is_a_midi_file_of_the_planned_tempo(self, engine: Engine) -> None:
        sheet = engine.score(self.short)
        plan: Plan = engine.plan(self.short)
        tempo_us = round(60_000_000 / (plan.request.tempo_bpm or 0))
        assert sheet.midi.startswith(b"MThd")
        assert b"\xff\x51\x03" + tempo_us.to_bytes(3, "big") in sheet.midi
        assert sheet.summary
        assert sheet == engine.score(self.short)


def _heard(chunk: LiveChunk) -> tuple[int, bytes, bytes, tuple[Applied, ...]]:
    return chunk.index, chunk.pcm, chunk.state_after, chunk.applied


def _pcm(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def make_live(
    engine: LiveEngine, request: LiveRequest, changes: list[LiveChange], chunks: int, lease_chunks: int
) -> list[LiveChunk]:
    """The first chunks of a session, made in leases, each with the log as far as it was known then."""
    made: list[LiveChunk] = []
    while len(made) < chunks:
        start = len(made)
        count = min(lease_chunks, chunks - start)
        known = [change for change in changes if change.from_chunk < start + count]
        made.extend(engine.lease_live(request, known, start, count, made[-1].state_after if made else None))
    return made


class LiveEngineContract:
    """What an engine that plays without an end must keep. Mix it in beside ``EngineContract``."""

    live = LiveRequest(prompts=(LivePrompt(text="dusty lo-fi drums"),), tempo_bpm=150, key="Am", seed=7)
    steered = (
        LiveChange(1, LiveSettings(density=0.9)),
        LiveChange(2, LiveSettings(tempo_bpm=171.7)),
        LiveChange(2, LiveSettings(intensity=0.1, layers=("drums",))),
        LiveChange(4, LiveSettings(prompts=(LivePrompt(text="warm pads", weight=3), LivePrompt(text="techno")))),
    )

    def test_a_live_plan_is_pure_and_leaves_nothing_open(self, engine: LiveEngine) -> None:
        plan = engine.plan_live(LiveRequest(prompts=(LivePrompt(text="warm pads"),)))
        assert plan == engine.plan_live(plan.request)
        assert None not in (plan.request.tempo_bpm, plan.request.key, plan.request.layers)
        assert plan.chunk_frames > 0 and plan.flops_per_chunk > 0 and plan.peak_memory_bytes > 0

    @pytest.mark.parametrize(("quality", "channels", "bits"), [("standard", 1, 16), ("hifi", 2, 24)])
    def test_live_chunks_are_all_of_one_length(
        self, engine: LiveEngine, quality: str, channels: int, bits: int
    ) -> None:
        request = self.live.model_copy(update={"quality": quality})
        plan = engine.plan_live(request)
        chunks = make_live(engine, request, [], 3, 2)
        assert (plan.channels, plan.bits) == (channels, bits)
        assert [chunk.index for chunk in chunks] == [0, 1, 2]
        assert {chunk.frames for chunk in chunks} == {plan.chunk_frames}
        assert {len(chunk.pcm) for chunk in chunks} == {plan.chunk_frames * channels * bits // 8}
        assert all(chunk.usage.flops > 0 and chunk.usage.frames == chunk.frames for chunk in chunks)

    def test_any_split_of_a_steered_session_gives_the_same_bytes(self, engine: LiveEngine) -> None:
        whole = make_live(engine, self.live, list(self.steered), 8, LEASE_CHUNKS_MAX)
        split = make_live(engine, self.live, list(self.steered), 8, 1)
        (replayed,) = engine.lease_live(self.live, self.steered, 7, 1, None)
        assert [_heard(chunk) for chunk in split] == [_heard(chunk) for chunk in whole]
        assert (replayed.pcm, replayed.state_after) == (whole[7].pcm, whole[7].state_after)

    def test_a_change_takes_effect_at_the_next_bar_and_the_chunk_says_where(self, engine: LiveEngine) -> None:
        plan = engine.plan_live(self.live)
        chunks = make_live(engine, self.live, list(self.steered), 8, 2)
        applied = [(chunk.index, found) for chunk in chunks for found in chunk.applied]
        expected = [
            found
            for span in spans(plan.request, self.steered, plan.chunk_frames, plan.sample_rate_hz)
            for found in span.applied
        ]
        assert [found for _, found in applied] == expected
        assert [index for index, _ in applied] == [found.frame // plan.chunk_frames for found in expected]
        assert all(index >= self.steered[found.change].from_chunk for index, found in applied)

    def test_a_change_alters_nothing_before_its_bar(self, engine: LiveEngine) -> None:
        plan = engine.plan_live(self.live)
        changed = make_live(engine, self.live, [LiveChange(1, LiveSettings(tempo_bpm=200))], 5, 1)
        same = make_live(engine, self.live, [], 5, 1)
        (place,) = [found for chunk in changed for found in chunk.applied]
        frame_bytes = plan.channels * plan.bits // 8
        before = (place.frame - round(BLEND_S_MAX * plan.sample_rate_hz)) * frame_bytes
        sounds = [b"".join(chunk.pcm for chunk in made) for made in (changed, same)]
        assert sounds[0][:before] == sounds[1][:before]
        assert sounds[0][before:] != sounds[1][before:]
