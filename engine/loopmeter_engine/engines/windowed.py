"""Engines that denoise a whole piece first and then decode it window by window: what they all do alike.

Such a model hears a piece as a whole, so the first chunk waits for all steps; after that, each chunk is one window of
the decoder, equal to decoding the whole. Its pipeline keeps its settings on itself and neighbours in a batch change
each other's music, so one call runs at a time, alone. Reading order: ``WindowedEngine``, then a model's own engine.
"""

from __future__ import annotations

import functools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.conform import CannotConform, Conformed, conform_one_of
from loopmeter_engine.contract import Chunk, EngineFailed, Plan, Usage
from loopmeter_engine.engine import pcm_bytes
from loopmeter_engine.engines.latent_state import identity_of, open_state, seal
from loopmeter_engine.engines.memory import peak_bytes
from loopmeter_engine.engines.windows import Windows, levelled
from loopmeter_engine.exact import check_lease, loop_frames, plan_in_chunks

JOIN_FRAMES = 2_048  # What follows the end of the loop fades into its start over these.
CONFORM_SEEDS = 3
CONFORM_MARGIN = 0.12  # What a drifting tempo may need beyond the asked length.
_KEPT_MAX = 4


class WindowedEngine(ABC):
    """``sizes`` are the lengths of chunks in latent frames, the last one repeated."""

    def __init__(self, windows: Windows, sizes: tuple[int, ...], sample_rate_hz: int, device: torch.device) -> None:
        self._windows = windows
        self._sizes = sizes
        self._rate = sample_rate_hz
        self._device = device
        self._lock = threading.Lock()  # One call at a time; planning is free to go on beside it.
        self._latents = functools.lru_cache(_KEPT_MAX)(self._make_latents)
        self._conformed = functools.lru_cache(_KEPT_MAX)(self._make_conformed)

    @abstractmethod
    def plan(self, request: LoopRequest) -> Plan:
        """As ``Engine.plan``; ``planned`` makes one of a resolved request."""

    @abstractmethod
    def draw(self, request: LoopRequest, seed: int) -> Tensor:
        """(T, width) float32 on the CPU: the latents of a resolved request. Called under the lock."""

    @abstractmethod
    def vae(self) -> Any:
        """The decoder."""

    @abstractmethod
    def steps(self, request: LoopRequest) -> int:
        """How many denoising steps a resolved request takes."""

    @abstractmethod
    def latent_frames(self, request: LoopRequest) -> int:
        """How many latent frames ``draw`` makes."""

    @abstractmethod
    def denoising_flops(self, request: LoopRequest) -> int:
        """Everything up to the latents."""

    @abstractmethod
    def decoding_flops(self, latents: int) -> int:
        """Decoding one window of so many latent frames."""

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        check_lease(plan, start_chunk, count)
        return self._make(plan, start_chunk, count, state if start_chunk > 0 else None)

    def planned(self, resolved: LoopRequest, memory_bytes: int) -> Plan:
        """The plan of a request with nothing left open."""
        table = self._windows.chunk_table(loop_frames(resolved, self._rate), self._sizes)
        return plan_in_chunks(resolved, self._rate, table, self._work(resolved, table), memory_bytes)

    def made_frames(self, resolved: LoopRequest) -> int:
        """How much sound is made for a loop: more than its length where it is conformed, because the tempo drifts."""
        frames = loop_frames(resolved, self._rate)
        return round(frames * (1 + CONFORM_MARGIN)) + 2 * self._rate if resolved.conform else frames

    def _make(self, plan: Plan, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        request, identity = plan.request, identity_of(plan.request)
        work = self._work(request, plan.chunk_frames)
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
                    low = self._windows.of(stop, stop + 1, total)[0]
                    latents, first = latents[low - first :], low
                    state_after = seal(identity, index + 1, first, latents, total)
            pcm = pcm_bytes(levelled(sound if plan.channels == 2 else sound.mean(0, keepdim=True)), plan.bits)
            seconds, began = time.perf_counter() - began, time.perf_counter()
            usage = Usage(
                frames=stop - start,
                steps=self.steps(request),
                flops=work[index],
                device_seconds=seconds,
                peak_memory_bytes=peak_bytes(self._device),
            )
            yield Chunk(index, pcm, stop - start, usage, state_after)
            began = time.perf_counter()  # The time between two chunks is the listener's.

    def _decode(self, plan: Plan, latents: Tensor, first: int, start: int, stop: int, total: int) -> Tensor:
        """A chunk's sound; the first one begins with what follows the end, fading into the start."""
        vae = self.vae()
        sound = self._windows.decode(vae, latents, first, start, stop, total)
        size = min(JOIN_FRAMES, plan.chunk_frames[0])
        if start == 0:
            behind = self._windows.decode(vae, latents, first, plan.frames, plan.frames + size, total)
            rise = (torch.arange(size) + 0.5) / size
            sound[:, :size] = sound[:, :size] * rise + behind * (1 - rise)
        return sound

    def _decode_all(self, latents: Tensor) -> Tensor:
        """The sound of all latents, window by window: a long piece takes the memory of one."""
        total = latents.shape[0]
        return torch.cat(
            [self._windows.decode(self.vae(), latents, 0, start, stop, total) for start, stop in self._steps_of(total)],
            dim=1,
        )

    def _steps_of(self, total: int) -> list[tuple[int, int]]:
        """The frames of ``total`` latents in windows of the longest chunk."""
        frames, step = total * self._windows.latent_frames, self._sizes[-1] * self._windows.latent_frames
        return [(start, min(start + step, frames)) for start in range(0, frames, step)]

    def _make_latents(self, request: LoopRequest) -> Tensor:
        return self.draw(request, request.seed)

    def _make_conformed(self, request: LoopRequest) -> Conformed:
        assert request.tempo_bpm is not None and request.bars is not None

        def make(seed: int) -> Any:
            return self._decode_all(self.draw(request, seed)).numpy()

        seeds = [(request.seed + turn * 1_000_003) % 2**53 for turn in range(CONFORM_SEEDS)]
        try:
            return conform_one_of(
                make,
                seeds,
                self._rate,
                tempo_bpm=request.tempo_bpm,
                bars=request.bars,
                beats_per_bar=request.beats_per_bar,
            )
        except CannotConform as error:
            raise EngineFailed(
                f"none of {CONFORM_SEEDS} seeds could be conformed: {error}; ask without conform"
            ) from error

    def _work(self, resolved: LoopRequest, table: tuple[int, ...]) -> tuple[int, ...]:
        """Operations per chunk. A conformed loop is decoded whole in its first; further seeds are not foreseen."""
        total = self.latent_frames(resolved)
        denoising = self.denoising_flops(resolved)
        if resolved.conform:
            seen = [self._windows.of(start, stop, total) for start, stop in self._steps_of(total)]
            decoding = sum(self.decoding_flops(high - low) for low, high in seen)
            return (denoising + decoding, *[1] * (len(table) - 1))
        counts, start = [], 0
        for frames in table:
            low, high = self._windows.of(start, start + frames, total)
            counts.append(self.decoding_flops(high - low))
            start += frames
        low, high = self._windows.of(start, start + min(JOIN_FRAMES, table[0]), total)
        counts[0] += denoising + self.decoding_flops(high - low)
        return tuple(counts)
