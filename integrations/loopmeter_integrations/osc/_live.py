"""Live sessions over OSC: each chunk is a WAV file of its own, told as it comes, at the pace of its sound.

A session makes sound for as long as it is read. Nobody hears faster than time passes, so the bridge reads ahead by a
few seconds and no more: what is not heard is not paid. The last files are kept; the gateway has them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopmeter import (
    AsyncLiveSession,
    ChunkReceived,
    LiveApplied,
    LiveEnded,
    LiveError,
    LiveStarted,
    LiveWarning,
    wav_header,
    wav_padding,
)
from loopmeter_integrations.osc._files import AtomicFile, safe_name

if TYPE_CHECKING:
    from loopmeter_integrations.osc._work import Work

AHEAD_S = 3.0
FILES_KEPT_MAX = 64
LAYERS = ("drums", "bass", "chords", "lead", "pad", "fx")
_PROMPT = "prompt:"


class UnknownControl(Exception):
    """There is no such thing to steer, or not by this value. The message says what there is."""


async def run(work: Work, prompt: str, options: dict[str, Any]) -> None:
    """Play until the session ends, or ``stop`` is asked for."""
    limit = work.values.get("max_tokens")
    left = work.caps.left(work.payer, time.monotonic())
    limits = [tokens for tokens in (limit, left) if isinstance(tokens, int)]
    session = work.client.live(prompt, max_tokens=min(limits) if limits else None, **options)
    async with session:
        started = session.started
        work.live = Steering(session, prompt)
        per_minute = round(started.tokens_per_minute)
        work.reply("/loopmeter/live/started", started.job, started.sample_rate_hz, started.chunk_frames, per_minute)
        if work.cancel_wanted:
            await session.stop()
        files = _Files(work, started)
        async for event in session:
            await _take(work, session, event, files)


async def _take(work: Work, session: AsyncLiveSession, event: object, files: _Files) -> None:
    match event:
        case ChunkReceived():
            work.caps.reserve(work.payer, event.meter.tokens, time.monotonic())
            path = await asyncio.to_thread(files.write, event)
            work.reply("/loopmeter/live/chunk", event.index, str(path), event.meter.frames, session.tokens_charged)
            played_s = asyncio.get_running_loop().time() - files.began_s
            await asyncio.sleep(max(0.0, session.position_s - played_s - AHEAD_S))
        case LiveApplied():
            name = work.live.name_of(event.ref) if work.live is not None else ""
            work.reply("/loopmeter/live/applied", name, event.chunk, event.bar)
        case LiveWarning():
            work.reply("/loopmeter/live/warning", event.reason, event.tokens_left, event.seconds_left)
        case LiveError():
            work.reply("/loopmeter/error", event.problem.code, event.problem.detail or event.problem.title or "")
        case LiveEnded():
            work.reply("/loopmeter/live/ended", event.reason, event.chunks, event.tokens_charged)


class Steering:
    """What can be changed while a session plays: one name and one number at a time."""

    def __init__(self, session: AsyncLiveSession, prompt: str) -> None:
        self._session = session
        self._prompts: dict[str, float] = {prompt: 1.0}
        self._layers = set(session.started.request.layers or LAYERS)
        self._names: dict[str, str] = {}

    async def set(self, name: str, value: float) -> None:
        """``bpm``, ``density``, ``intensity``; a layer, 0 or 1; ``prompt:`` and words, by weight.

        Raises:
            UnknownControl: there is none of this name, or the value is none of its.
            InvalidRequest: the value is out of bounds.
        """
        ref = await self._session.steer(**self._change(name, value))
        while len(self._names) >= FILES_KEPT_MAX:
            del self._names[next(iter(self._names))]
        self._names[ref] = name

    async def stop(self) -> None:
        await self._session.stop()

    def name_of(self, ref: str) -> str:
        """What a change was asked for as."""
        return self._names.pop(ref, "")

    def _change(self, name: str, value: float) -> Any:
        if name in ("bpm", "density", "intensity"):
            return {"tempo_bpm" if name == "bpm" else name: value}
        if name in LAYERS:
            layers = self._layers | {name} if value >= 0.5 else self._layers - {name}
            if not layers:
                raise UnknownControl(
                    f"{name}: expected another layer that plays on, found none; use /loopmeter/live/stop"
                )
            self._layers = layers
            return {"layers": tuple(layer for layer in LAYERS if layer in layers)}
        if name.startswith(_PROMPT) and name[len(_PROMPT) :].strip():
            prompts = {**self._prompts, name[len(_PROMPT) :].strip(): value}
            self._prompts = {text: weight for text, weight in prompts.items() if weight > 0} or self._prompts
            return {"prompts": self._prompts}
        raise UnknownControl(
            f"name: expected bpm, density, intensity, one of {', '.join(LAYERS)}, or prompt: and words, "
            f"found the string {name[:40]!r}"
        )


class _Files:
    """The chunks' files: whole or not there, the last ``FILES_KEPT_MAX`` of them."""

    def __init__(self, work: Work, started: LiveStarted) -> None:
        self._folder = work.folder
        self._started = started
        self._name = safe_name(str(work.values["id"]), started.job)
        self._kept: deque[Path] = deque()
        self.began_s = asyncio.get_running_loop().time()

    def write(self, chunk: ChunkReceived) -> Path:
        started, frames = self._started, chunk.meter.frames
        with AtomicFile(self._folder) as file:
            file.write(wav_header(frames, started.sample_rate_hz, started.channels, started.bits) + chunk.pcm)
            file.write(wav_padding(frames, started.channels, started.bits))
            path = file.commit(f"{self._name}-{chunk.index:06}.wav")
        self._kept.append(path)
        while len(self._kept) > FILES_KEPT_MAX:
            with contextlib.suppress(OSError):
                self._kept.popleft().unlink(missing_ok=True)
        return path
