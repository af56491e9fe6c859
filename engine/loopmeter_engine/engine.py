"""Our engine behind the contract: prompt to score to sound, on one device.

What costs time is kept: weights and prompt reader are loaded at first use, the last few requests stay prepared. None
of it changes what comes out. Reading order: ``LoopmeterEngine``, ``pcm_bytes``.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import os
import platform
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from loopmeter import LAYERS, LiveRequest, LoopRequest
from loopmeter_engine import flops, sources
from loopmeter_engine.blocks import BLOCK_SAMPLES
from loopmeter_engine.capabilities import refuse_unsupported
from loopmeter_engine.contract import (
    Chunk,
    EngineFailed,
    EngineInfo,
    InvalidRequest,
    LiveChange,
    LiveChunk,
    LivePlan,
    Plan,
    ScoreSheet,
    Usage,
)
from loopmeter_engine.exact import check_lease, check_live_lease, refuse_too_long
from loopmeter_engine.live import ROUND_BARS, LiveRenderer, LiveState
from loopmeter_engine.model.autoencoder import SAMPLE_RATE_HZ, SUBFRAMES, Autoencoder
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.flow import passes
from loopmeter_engine.model.precision import halve, working_format
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer
from loopmeter_engine.planner.brief import PromptBrief
from loopmeter_engine.planner.chord_names import read_chords
from loopmeter_engine.planner.midi import InvalidMidi, score_to_midi, with_user_midi
from loopmeter_engine.planner.plan import plan_score, resolve
from loopmeter_engine.sampling import LASTING, Sampling, sampling_of
from loopmeter_engine.score import Score
from loopmeter_engine.stems import Mix, stem_scores, stem_seed
from loopmeter_engine.streaming import Geometry, Renderer
from loopmeter_engine.summary import summary_of
from loopmeter_engine.text.understand import PromptReader
from loopmeter_engine.weights_io import (
    WEIGHTS,
    fingerprint,
    load_autoencoder,
    load_student,
    load_transformer,
    weight_files,
)

DURATION_S_MAX = 300.0
_CAPABILITIES = frozenset(
    {"hifi", "live", "midi", "midi_in", "layers", "guidance", "solver", "steps"}
    | {"chords", "swing", "density", "intensity", "sections", "stems"}
    | {*sources.TASKS, "reference_audio", "negative_prompt"}
)
STREAMS_AT_ONCE = 8
CORES_MAX = 4  # The interpreter's lock leaves no more to further ones; larger common passes do.
_VERSION = "1"
_NUMERICS = 14  # Raised whenever the same weights come to sound otherwise, be it by a last bit.
_PREPARED_MAX = 16
_Network = TypeVar("_Network", Autoencoder, Transformer)


class LoopmeterEngine:
    """Loops from the shipped weights, or from those in ``weights``.

    >>> engine = LoopmeterEngine()
    >>> plan = engine.plan(LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92, bars=4))
    >>> chunks = list(engine.lease(plan.request, 0, 1, None))
    """

    def __init__(
        self,
        weights: Path = WEIGHTS,
        device: str | None = None,
        number_format: torch.dtype | None = None,
        cores: int | None = None,
    ) -> None:
        """``number_format``: float32 or bfloat16 for large matrix products; None takes what is fast on the device.
        ``cores``: how many streams compute at the same time; None takes what the device has, up to ``CORES_MAX``.
        """
        self._weights = weights
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._format = number_format or working_format(self._device)
        self._cores = cores or (_cores() if self._device.type == "cpu" else 1)
        self._loading = threading.Lock()
        self._source = functools.lru_cache(_PREPARED_MAX)(sources.read_source)
        self._reference = functools.lru_cache(_PREPARED_MAX)(sources.read_reference)
        self._score = functools.lru_cache(_PREPARED_MAX)(self._compose)
        self._renderer = functools.lru_cache(_PREPARED_MAX)(self._prepare)
        self._live_renderer = functools.lru_cache(_PREPARED_MAX)(self._prepare_live)

    def info(self) -> EngineInfo:
        return EngineInfo(
            name="loopmeter",
            version=_VERSION,
            fingerprint=self._fingerprint,
            sample_rate_hz=SAMPLE_RATE_HZ,
            capabilities=_CAPABILITIES,
            duration_s_max=DURATION_S_MAX,
            licence="Apache-2.0",
            weights=str(self._weights),
            streams_at_once=STREAMS_AT_ONCE,
            output_rights="yours, to use and to sell",
        )

    @property
    def streams_in_one_pass(self) -> int:
        """The most streams that went through the network at once so far."""
        return self._network.largest

    def plan(self, request: LoopRequest) -> Plan:
        request, score = self._score(request)
        geometry = Geometry(score.frames(SAMPLE_RATE_HZ), self._autoencoder.config.lookahead)
        channels, bits = (2, 24) if request.quality == "hifi" else (1, 16)
        first_flops = self._flops(request, 0)
        return Plan(
            request=request,
            frames=geometry.frames,
            sample_rate_hz=SAMPLE_RATE_HZ,
            channels=channels,
            bits=bits,
            chunk_frames=geometry.chunk_frames,
            flops=first_flops + self._later_flops(request, len(geometry.chunk_frames)),
            peak_memory_bytes=self._memory_bytes(request),
            first_chunk_flops=first_flops,
        )

    def score(self, request: LoopRequest) -> ScoreSheet:
        request, score = self._score(request)
        return ScoreSheet(midi=score_to_midi(score), summary=summary_of(score, request))

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        check_lease(self.plan(request), start_chunk, count)
        return self._make(request, start_chunk, count, state)

    def _make(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        renderer = self._renderer(request)
        current: Any = renderer.initial_state()
        first = start_chunk
        if start_chunk > 0 and state is None:
            first = 0  # Work the way there again; those chunks are not handed out.
        elif start_chunk > 0 and state is not None:
            try:
                current = renderer.state_of(state)
            except ValueError as error:
                raise EngineFailed(f"{error}; pass the state_after of chunk {start_chunk - 1}, or None") from error
        for index in range(first, start_chunk + count):
            sound, current, seconds = renderer.in_turn(index, current)
            if index >= start_chunk:
                pcm = pcm_bytes(sound, 24 if renderer.channels == 2 else 16)
                usage = Usage(
                    frames=sound.shape[-1],
                    steps=passes(renderer.sampling.solver, renderer.sampling.steps),
                    flops=self._flops(request, index),
                    device_seconds=seconds,
                    peak_memory_bytes=_peak_memory_bytes(self._device),
                )
                yield Chunk(index, pcm, sound.shape[-1], usage, current.to_bytes())

    def plan_live(self, request: LiveRequest) -> LivePlan:
        resolved, _ = self._score(loop_of(request, 0))
        assert resolved.key is not None
        layers = request.layers or self._score(resolved)[1].layers
        update = {"tempo_bpm": resolved.tempo_bpm, "key": resolved.key, "layers": layers}
        channels, bits = (2, 24) if request.quality == "hifi" else (1, 16)
        return LivePlan(
            request=request.model_copy(update=update),
            sample_rate_hz=SAMPLE_RATE_HZ,
            channels=channels,
            bits=bits,
            chunk_frames=BLOCK_SAMPLES,
            flops_per_chunk=self._flops(resolved, 1),
            peak_memory_bytes=self._memory_bytes(resolved),
        )

    def lease_live(
        self, request: LiveRequest, changes: Sequence[LiveChange], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        check_live_lease(start_chunk, count)
        request = self.plan_live(request).request
        return self._make_live(request, tuple(changes), start_chunk, count, state)

    def _make_live(
        self, request: LiveRequest, changes: tuple[LiveChange, ...], start_chunk: int, count: int, state: bytes | None
    ) -> Iterator[LiveChunk]:
        renderer = self._live_renderer(request)
        current, first = None, 0  # Without a state, work the way there again; those chunks are not handed out.
        if start_chunk > 0 and state is not None:
            first = start_chunk
            try:
                current = LiveState.from_bytes(state, self._device)
            except ValueError as error:
                raise EngineFailed(f"{error}; pass the state_after of chunk {start_chunk - 1}, or None") from error
        for index in range(first, start_chunk + count):
            with self._network.turn() as turn:
                made = renderer.chunk(index, changes, current)
                current = made.state
                pcm = pcm_bytes(made.pcm, 24 if renderer.channels == 2 else 16)
            if index >= start_chunk:
                usage = Usage(
                    frames=BLOCK_SAMPLES,
                    steps=passes(renderer.sampling.solver, renderer.sampling.steps),
                    flops=self._live_flops(request, made.denoised, made.decoded),
                    device_seconds=turn.seconds,
                    peak_memory_bytes=_peak_memory_bytes(self._device),
                )
                yield LiveChunk(index, pcm, BLOCK_SAMPLES, usage, current.to_bytes(), made.applied)

    def _prepare_live(self, request: LiveRequest) -> LiveRenderer:
        channels = 2 if request.quality == "hifi" else 1
        sampling = self._sampling(loop_of(request, 0))
        return LiveRenderer(
            self._network, self._autoencoder, request, self._compose_live, channels=channels, sampling=sampling
        )

    def _compose_live(self, request: LiveRequest, number: int) -> tuple[Score, Tensor]:
        """The score of a session's round, with the sounds of its first, and the text vector of its prompts."""
        first, score = self._score(loop_of(request, 0))[1], self._score(loop_of(request, number))[1]
        vectors = self._reader.vectors([prompt.text for prompt in request.prompts])
        weights = torch.tensor([prompt.weight for prompt in request.prompts])
        text = (vectors * weights[:, None]).sum(0)
        text = text / text.norm().clamp(min=1e-6) * vectors.norm(dim=1).mean()
        return dataclasses.replace(score, timbres=first.timbres), text

    def _live_flops(self, request: LiveRequest, denoised: int, decoded: int) -> int:
        """Of a chunk: passes for every piece in a block, one more to remember it, and the decoder."""
        transformer, sampling = self._transformer.config, self._sampling(loop_of(request, 0))
        rows = sampling.rows
        steps = passes(sampling.solver, sampling.steps)
        once = steps * flops.network_pass(transformer, rows) + flops.conditions(transformer, rows)
        after = flops.network_pass(transformer, rows) + self._decoding(first=False)
        return denoised * once + decoded * after

    @functools.cached_property
    def _reader(self) -> PromptReader:
        return PromptReader()

    @functools.cached_property
    def _autoencoder(self) -> Autoencoder:
        return self._ready(load_autoencoder(self._weights / "autoencoder.safetensors"))

    @functools.cached_property
    def _transformer(self) -> Transformer:
        return self._ready(load_transformer(self._weights / "transformer.safetensors"))

    @functools.cached_property
    def _student(self) -> Transformer | None:
        """The transformer distilled to one step; None where only the transformer was trained."""
        student = load_student(self._weights / "transformer.safetensors")
        return None if student is None else self._ready(student)

    def _sampling(self, request: LoopRequest) -> Sampling:
        return sampling_of(request, has_student=self._student is not None)

    @functools.cached_property
    def _network(self) -> PassBatcher:
        with self._loading:  # Streams share one, or nothing would be batched.
            network = self.__dict__.setdefault(
                "_network", PassBatcher(self._transformer, STREAMS_AT_ONCE, self._cores, self._student)
            )
        assert isinstance(network, PassBatcher)
        return network

    def _ready(self, model: _Network) -> _Network:
        model.to(self._device)
        if self._format == torch.bfloat16:
            halve(model)
        return model

    @functools.cached_property
    def _fingerprint(self) -> str:
        device = torch.cuda.get_device_name() if self._device.type == "cuda" else platform.machine()
        number_format = str(self._format).removeprefix("torch.")
        files = fingerprint(weight_files(self._weights))
        return f"{files} {number_format} numerics-{_NUMERICS} torch-{torch.__version__} {device}"

    def _compose(self, request: LoopRequest) -> tuple[LoopRequest, Score]:
        """The request with nothing left open, and its score. Raises InvalidRequest."""
        refuse_unsupported(request, "loopmeter", _CAPABILITIES)
        brief = self._brief(request)
        if request.stems and request.task not in (None, "text2music"):
            raise InvalidRequest(
                "stems", f"expected no stems with {request.task}, whose source is one sound, found true; leave it out"
            )
        request = sources.with_measured_tempo(request)
        try:
            resolved = resolve(request, brief)
            if request.chords is not None:
                read_chords(request.chords, 1, request.beats_per_bar)
        except ValueError as error:
            raise InvalidRequest("chords", str(error)) from error
        refuse_too_long(request, resolved, DURATION_S_MAX)
        score = plan_score(resolved, brief)
        if request.midi_base64 is not None:
            try:
                score = with_user_midi(score, base64.b64decode(request.midi_base64, validate=True))
            except (InvalidMidi, binascii.Error) as error:
                raise InvalidRequest("midi_base64", str(error)) from error
        self._reference(resolved)
        source = self._source(resolved, score.frames(SAMPLE_RATE_HZ))
        return resolved, score if source is None else source.score_of(score)

    def _brief(self, request: LoopRequest) -> PromptBrief:
        """What the prompt asks for, without the instruments that the negative prompt names."""
        brief = self._reader.read(request.prompt)
        if request.negative_prompt is None:
            return brief
        if request.guidance == 1.0:
            raise InvalidRequest(
                "guidance", "expected a guidance other than 1 with a negative prompt, found 1, which ignores it"
            )
        against = self._reader.read(request.negative_prompt)
        without = {*brief.layers_without, *against.layers_only, *against.families}
        return dataclasses.replace(brief, layers_without=tuple(layer for layer in LAYERS if layer in without))

    def _prepare(self, request: LoopRequest) -> Renderer | Mix:
        request, score = self._score(request)
        if request.stems:
            return Mix([self._renderer_of(request, stem, stem_seed(request.seed, stem)) for stem in stem_scores(score)])
        return self._renderer_of(request, score, request.seed)

    def _renderer_of(self, request: LoopRequest, score: Score, seed: int) -> Renderer:
        prompts = [request.prompt] if request.negative_prompt is None else [request.prompt, request.negative_prompt]
        source, reference = self._source(request, score.frames(SAMPLE_RATE_HZ)), self._reference(request)
        knowledge = None
        if source is not None or reference is not None:
            knowledge = sources.Knowledge(self._autoencoder, source, reference)
        return Renderer(
            self._network,
            self._autoencoder,
            score,
            self._reader.vectors(prompts),
            seed=seed,
            channels=2 if request.quality == "hifi" else 1,
            sampling=self._sampling(request),
            knowledge=knowledge,
        )

    def _decoding(self, *, first: bool) -> int:
        timbres = self._autoencoder.timbres
        return flops.decoding(self._autoencoder.config, None if timbres is None else timbres.config, first=first)

    def _flops(self, request: LoopRequest, index: int) -> int:
        """Of chunk ``index``."""
        return self._streams(request) * self._stream_flops(request, index)

    def _streams(self, request: LoopRequest) -> int:
        """How many streams make a request."""
        return len(self._score(request)[1].layers) if request.stems else 1

    def _stream_flops(self, request: LoopRequest, index: int) -> int:
        """Of chunk ``index``: one block, or the pre-roll and the first block with all that is done once."""
        transformer, autoencoder, sampling = self._transformer.config, self._autoencoder.config, self._sampling(request)
        rows = sampling.rows
        source = self._source(request, self._score(request)[1].frames(SAMPLE_RATE_HZ))
        context = source is not None and source.has_context
        full = self._decoding(first=False)

        def block(number: int) -> int:
            known = source is not None and source.knows(number)
            count = 1 if known else passes(sampling.solver, sampling.steps) + 1  # The last remembers the block.
            return count * flops.network_pass(transformer, rows) + flops.conditions(transformer, rows, context=context)

        if index > 0:
            return block(index + 1) + full
        encoded = sources.encoded_frames(source, self._reference(request))
        begin = self._decoding(first=True) + sum(flops.encoding(autoencoder, count) for count in encoded)
        told = len(encoded) > (source is not None)
        before = sum(block(number) for number in range(-source.blocks_before, 0)) if source is not None else 0
        return (
            before
            + block(0)
            + block(1)
            + begin
            + full
            + flops.set_up(transformer, rows, sampling.steps + 1, reference=told)
        )

    def _later_flops(self, request: LoopRequest, chunks: int) -> int:
        """Of all chunks but the first, which differ only where some of a source stays."""
        if request.task == "repaint":
            return sum(self._flops(request, index) for index in range(1, chunks))
        return (chunks - 1) * self._flops(request, 1)

    def _memory_bytes(self, request: LoopRequest) -> int:
        """Weights in working precision, the state, and the widest activations of a block."""
        rows = self._sampling(request).rows
        config = self._autoencoder.config
        activations = 4 * 3 * BLOCK_FRAMES * SUBFRAMES * config.decoder_width * 4
        streams = self._streams(request)
        return self._weights_bytes + streams * rows * 1_000_000 + min(streams, self._cores) * activations

    @functools.cached_property
    def _weights_bytes(self) -> int:
        """Counted once: walking the modules took a third of the time of a plan, which is on the way of every order."""
        later = [module for module in (self._autoencoder.timbres, self._student) if module is not None]
        modules = [self._transformer, self._autoencoder.decoder, *later]
        return sum(
            value.numel() * value.element_size()
            for module in modules
            for value in (*module.parameters(), *module.buffers())
        )


def loop_of(request: LiveRequest, number: int) -> LoopRequest:
    """Round ``number`` of a session as a loop: what its weightiest prompt asks for."""
    prompt = max(request.prompts, key=lambda prompt: prompt.weight)
    shared = request.model_dump(
        include={"tempo_bpm", "beats_per_bar", "key", "quality", "layers", "density", "intensity"}
    )
    return LoopRequest(
        prompt=prompt.text,
        bars=ROUND_BARS,
        seed=(request.seed + number) % 2**53,
        model=request.model,
        solver=request.solver or LASTING.solver,
        steps=request.steps or LASTING.steps,
        guidance=LASTING.guidance if request.guidance is None else request.guidance,
        **shared,
    )


def pcm_bytes(sound: Tensor, bits: int) -> bytes:
    """(channels, frames) in [-1, 1] to interleaved little-endian integers of 16 or 24 bit."""
    top = 2 ** (bits - 1) - 1
    values = (sound.T.double() * top).round().clamp(-top - 1, top).cpu().numpy().astype("<i4")
    if bits == 16:
        return bytes(values.astype("<i2").tobytes())
    assert bits == 24
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _cores() -> int:
    """How many of the machine's cores this process may use, up to ``CORES_MAX``."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, CORES_MAX)


def _peak_memory_bytes(device: torch.device) -> int:
    """Peak device memory; on the CPU the peak of the process, which is all that the system counts."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource  # Absent on Windows, where the CPU figure is 0.

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
