"""ACE-Step 1.5 as an engine: latents at once, sound window by window, exact frames.

The model denoises a clip as a whole, so the first chunk waits for all steps; after that, each chunk is one window of
the decoder. The pipeline keeps its settings on itself and its neighbours in a batch change each other's music (there
is no padding mask), so one call runs at a time, alone. Reading order: ``AceStepEngine``, ``_Maker``.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.capabilities import refuse_unsupported
from loopmeter_engine.conform import CannotConform, Conformed, conform_one_of
from loopmeter_engine.contract import Chunk, EngineFailed, EngineInfo, InvalidRequest, Plan, ScoreSheet, Usage
from loopmeter_engine.engine import pcm_bytes
from loopmeter_engine.engines.ace_step.asking import LATENT_FRAMES, SAMPLE_RATE_HZ, Asked, ask
from loopmeter_engine.engines.ace_step.checkpoint import find_checkpoint, inspect_checkpoint
from loopmeter_engine.engines.ace_step.decoding import JOIN_FRAMES, WINDOWS, decode
from loopmeter_engine.engines.ace_step.flops import AceStepFlops
from loopmeter_engine.engines.ace_step.pipeline import AceStepPipelineHost
from loopmeter_engine.engines.latent_state import identity_of, open_state, seal
from loopmeter_engine.engines.memory import choose_mode, device_name, free_bytes, peak_bytes
from loopmeter_engine.engines.windows import levelled
from loopmeter_engine.engines.words import wished_score
from loopmeter_engine.exact import check_lease, loop_frames, with_defaults

NAME = "ace-step"
DURATION_S_MAX = 300.0
# In latent frames. The first sound waits for as little decoding as is sensible; later windows are long, because the
# margins of a short one are much of its work: 30 s cost 1.7 times the whole at 25 frames, about 1.2 times at these.
CHUNK_LATENTS = (12, 25, 50, 100)
CONFORM_SEEDS = 3
CONFORM_MARGIN = 0.12  # What a drifting tempo may need beyond the asked length.
_KEPT_MAX = 4
_CAPABILITIES = frozenset(
    {"hifi", "midi", "steps", "text2music", "lyrics", "reference_audio", "shift", "lora", "conform"}
)
_VERSION = "1"


class AceStepEngine:
    """Loops by the checkpoint in ``folder``, or where ``LOOPMETER_ACE_STEP_DIR`` and the hub's cache have one.

    Weights are loaded at the first chunk. ``device`` is torch's name of one; without it, a GPU if there is one.

    Raises:
        CheckpointFault: there is no checkpoint, or a part of it is missing, cut, misshapen or a pickle.
    """

    def __init__(self, folder: Path | None = None, device: str | None = None) -> None:
        self._checkpoint = inspect_checkpoint(folder or find_checkpoint())
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        free = free_bytes(self._device)
        self._mode = choose_mode(self._device.type, free, self._checkpoint.parameters, self._checkpoint.parameters // 2)
        self._host = AceStepPipelineHost(self._checkpoint, self._device, self._mode)
        self._lock = threading.Lock()  # One call at a time; planning is free to go on beside it.
        self._latents = functools.lru_cache(_KEPT_MAX)(self._make_latents)
        self._conformed = functools.lru_cache(_KEPT_MAX)(self._make_conformed)

    def info(self) -> EngineInfo:
        checkpoint = self._checkpoint
        libraries = f"torch-{torch.__version__} diffusers-{version('diffusers')}"
        lacking = tuple(f"cannot {task}: {why}" for task, why in sorted(self._why().items()))
        return EngineInfo(
            name=NAME,
            version=_VERSION,
            fingerprint=f"{checkpoint.fingerprint} {self._mode} {libraries} {device_name(self._device)}",
            sample_rate_hz=SAMPLE_RATE_HZ,
            capabilities=self._capabilities,
            duration_s_max=DURATION_S_MAX,
            licence="MIT",
            weights=str(checkpoint.folder),
            notes=(f"{'turbo' if checkpoint.is_turbo else 'base or SFT'}, {self._mode}", *lacking),
        )

    def plan(self, request: LoopRequest) -> Plan:
        resolved, frames = self._resolve(request)
        hifi = resolved.quality == "hifi"
        table = WINDOWS.chunk_table(frames, CHUNK_LATENTS)
        return Plan(
            request=resolved,
            frames=frames,
            sample_rate_hz=SAMPLE_RATE_HZ,
            channels=2 if hifi else 1,
            bits=24 if hifi else 16,
            chunk_frames=table,
            flops=sum(self._flops_of(resolved, table)),
            peak_memory_bytes=self._memory_bytes(),
        )

    def score(self, request: LoopRequest) -> ScoreSheet:
        resolved, _ = self._resolve(request)
        return wished_score(resolved, task=resolved.task or "text2music")

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        check_lease(plan, start_chunk, count)
        return self._make(plan, start_chunk, count, state if start_chunk > 0 else None)

    def _make(self, plan: Plan, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        request, identity = plan.request, identity_of(plan.request)
        flops = self._flops_of(request, plan.chunk_frames)
        began = time.perf_counter()
        with self._lock:
            if request.conform or state is None:
                first, latents = 0, None if request.conform else self._latents(request)
                total = 0 if latents is None else latents.shape[0]
            else:
                first, latents, total = open_state(identity, start_chunk, state)
        for index in range(start_chunk, start_chunk + count):
            start = sum(plan.chunk_frames[:index])
            stop = start + plan.chunk_frames[index]
            with self._lock:
                if latents is None:
                    sound = torch.from_numpy(self._conformed(request).sound[:, start:stop]).float()
                    state_after = identity  # The sound is made again, the same, where it is not kept any more.
                else:
                    sound = self._decode(plan, latents, first, start, stop, total)
                    low = WINDOWS.of(stop, stop + 1, total)[0]
                    latents, first = latents[low - first :], low
                    state_after = seal(identity, index + 1, first, latents, total)
            pcm = pcm_bytes(levelled(sound if plan.channels == 2 else sound.mean(0, keepdim=True)), plan.bits)
            seconds, began = time.perf_counter() - began, time.perf_counter()
            usage = Usage(
                frames=stop - start,
                steps=self.asked(request).steps,
                flops=flops[index],
                device_seconds=seconds,
                peak_memory_bytes=peak_bytes(self._device),
            )
            yield Chunk(index, pcm, stop - start, usage, state_after)
            began = time.perf_counter()  # The time between two chunks is the listener's.

    def _decode(self, plan: Plan, latents: Tensor, first: int, start: int, stop: int, total: int) -> Tensor:
        """A chunk's sound; the first one begins with what follows the end, fading into the start."""
        vae = self._host.pipeline.vae
        sound = decode(vae, latents, first, start, stop, total)
        size = min(JOIN_FRAMES, plan.chunk_frames[0])
        if start == 0:
            behind = decode(vae, latents, first, plan.frames, plan.frames + size, total)
            rise = (torch.arange(size) + 0.5) / size
            sound[:, :size] = sound[:, :size] * rise + behind * (1 - rise)
        return sound

    def _make_latents(self, request: LoopRequest) -> Tensor:
        """(T, width) float32, on the CPU. Called under the lock."""
        return self._host.latents(self.asked(request), request.seed, self._lora(request))

    def _make_conformed(self, request: LoopRequest) -> Conformed:
        assert request.tempo_bpm is not None and request.bars is not None
        asked = self.asked(request)

        def make(seed: int) -> Any:
            latents = self._host.latents(asked, seed, self._lora(request))
            total = latents.shape[0]
            return decode(self._host.pipeline.vae, latents, 0, 0, total * LATENT_FRAMES, total).numpy()

        seeds = [(request.seed + turn * 1_000_003) % 2**53 for turn in range(CONFORM_SEEDS)]
        try:
            return conform_one_of(
                make,
                seeds,
                SAMPLE_RATE_HZ,
                tempo_bpm=request.tempo_bpm,
                bars=request.bars,
                beats_per_bar=request.beats_per_bar,
            )
        except CannotConform as error:
            raise EngineFailed(
                f"none of {CONFORM_SEEDS} seeds could be conformed: {error}; ask without conform"
            ) from error

    @property
    def pipeline(self) -> Any:
        """``diffusers.AceStepPipeline`` with these weights. Not to be called while a lease runs."""
        return self._host.pipeline

    def _resolve(self, request: LoopRequest) -> tuple[LoopRequest, int]:
        """The request with nothing left open, checked, and its frames. Raises InvalidRequest."""
        refuse_unsupported(request, NAME, self._capabilities, self._why())
        resolved = with_defaults(request, DURATION_S_MAX)
        if request.lora is not None and request.lora not in self._checkpoint.loras:
            known = ", ".join(self._checkpoint.loras) or "none"
            raise InvalidRequest("lora", f"expected one of the installed LoRAs ({known}), found {request.lora!r}")
        self.asked(resolved)
        return resolved, loop_frames(resolved, SAMPLE_RATE_HZ)

    @functools.lru_cache(maxsize=16)  # noqa: B019  # Engines live as long as their process.
    def asked(self, resolved: LoopRequest) -> Asked:
        """What the pipeline is asked for a resolved request. Raises InvalidRequest."""
        frames = loop_frames(resolved, SAMPLE_RATE_HZ)
        if resolved.conform:
            frames = round(frames * (1 + CONFORM_MARGIN)) + 2 * SAMPLE_RATE_HZ
        return ask(resolved, frames, is_turbo=self._checkpoint.is_turbo)

    def _lora(self, request: LoopRequest) -> Path | None:
        return None if request.lora is None else self._checkpoint.loras[request.lora]

    @functools.cached_property
    def _flops(self) -> AceStepFlops:
        return AceStepFlops(self._checkpoint.folder, self._checkpoint.missing)

    def _flops_of(self, resolved: LoopRequest, table: tuple[int, ...]) -> tuple[int, ...]:
        """Per chunk. A conformed loop is decoded whole, in its first chunk; further seeds are not foreseen."""
        asked = self.asked(resolved)
        denoising = self._flops.denoising(asked, *self._host.token_counts(asked))
        if resolved.conform:
            return (denoising + self._flops.decoding(asked.latents), *[1] * (len(table) - 1))
        counts, start = [], 0
        for frames in table:
            low, high = WINDOWS.of(start, start + frames, asked.latents)
            counts.append(self._flops.decoding(high - low))
            start += frames
        low, high = WINDOWS.of(start, start + min(JOIN_FRAMES, table[0]), asked.latents)
        counts[0] += denoising + self._flops.decoding(high - low)
        return tuple(counts)

    def _memory_bytes(self) -> int:
        """Weights, and a decoder window where it is widest: in its last channels, in and out."""
        size = self._mode.dtype.itemsize
        weights = self._checkpoint.parameters * size
        window = (CHUNK_LATENTS[-1] + 2 * WINDOWS.margin) * LATENT_FRAMES
        return weights // (2 if self._mode.offload else 1) + 4 * window * 128 * size

    @functools.cached_property
    def _capabilities(self) -> frozenset[str]:
        able = {
            "hifi",
            "midi",
            "steps",
            "text2music",
            "lyrics",
            "reference_audio",
            "shift",
            "lora",
            "conform",
            "repaint",
        }
        able |= {"cover", "extract", "lego", "complete"} - self._why().keys()
        return frozenset(able if self._checkpoint.is_turbo else able | {"guidance"})

    def _why(self) -> dict[str, str]:
        """What this checkpoint cannot do, and what would bring it."""
        why = {}
        if self._checkpoint.missing:
            parts = " and ".join(sorted(self._checkpoint.missing))
            why["cover"] = (
                f"it needs {parts}, which this checkpoint lacks; convert it again with: loopmeter engines convert"
            )
        if self._checkpoint.is_turbo:
            why |= dict.fromkeys(("extract", "lego", "complete"), "it needs a base model, this is turbo")
        return why
