"""Loops at hand for asyncio: what ``loops.create`` looks through before it pays, and takes when it cannot pay.

A cache has what this machine paid for before; a pack has what the game was shipped with.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from loopmeter import _flows
from loopmeter._async_runner import AsyncRunner
from loopmeter._exceptions import (
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    LoopmeterError,
    ServerError,
    StreamInterrupted,
)
from loopmeter._files import AsyncFiles
from loopmeter._loop import AsyncLoop, LoopSource
from loopmeter._models import LoopRequest

if TYPE_CHECKING:
    from loopmeter._cache import CachedLoop, LoopCache
    from loopmeter.bake import Pack

OFFLINE_OR_OUT_OF_TOKENS = (BudgetExceeded, ConnectionFailed, InsufficientTokens, ServerError, StreamInterrupted)
_LOG = logging.getLogger("loopmeter")


class AsyncShelf:
    """A cache, a pack, both or neither. Safe to share between tasks."""

    def __init__(self, cache: LoopCache | None, pack: Pack | None) -> None:
        self._cache = cache
        self._pack = pack
        self._fingerprints: dict[str, str] | None = None

    def check(self, fallback: str | None) -> None:
        """Raises ``ValueError`` if there is no pack, or none with a loop of this name."""
        if fallback is None:
            return
        if self._pack is None:
            raise ValueError("expected a client with a pack beside fallback, found none; pass pack=Pack(folder)")
        if fallback not in self._pack.file_names:
            names = ", ".join(self._pack.file_names)
            raise ValueError(f"fallback: expected one of {names}, found {fallback!r}")

    async def find(self, request: LoopRequest, runner: AsyncRunner) -> AsyncLoop | None:
        """What the cache has, if the gateway's weights, as far as they can be learned, are those that made it."""
        if self._cache is None:
            return None
        kept = await AsyncFiles.call(self._cache.get, request)
        if kept is None:
            return None
        fingerprint = await self._fingerprint(request, runner)
        if fingerprint is not None and fingerprint != kept.fingerprint:
            return None
        return _loop(kept, "cache", "")

    async def keep(self, request: LoopRequest, loop: AsyncLoop, runner: AsyncRunner) -> None:
        """Put a loop that was just paid for into the cache. Never raises what a gateway or a disk can do."""
        if self._cache is None:
            return
        from loopmeter._cache import CachedLoop  # Loaded late: most clients have no cache.

        try:
            midi: bytes | None = await loop.midi()
        except LoopmeterError as error:
            _LOG.info("a loop is cached without its notes: %s", error)
            midi = None
        fingerprint = await self._fingerprint(request, runner)
        kept = CachedLoop(loop.job, loop.pcm, loop.meters, midi, fingerprint or "")
        await AsyncFiles.call(self._cache.put, request, kept)

    async def rescue(self, request: LoopRequest, error: LoopmeterError, fallback: str | None) -> AsyncLoop | None:
        """What the pack has for a call that failed: this very loop, else the one named ``fallback``."""
        if self._pack is None or not isinstance(error, OFFLINE_OR_OUT_OF_TOKENS):
            return None
        kept = await AsyncFiles.call(self._pack.find, request)
        if kept is None and fallback is not None:
            name, _, stem = fallback.partition(".")
            try:
                kept = await AsyncFiles.call(self._pack.read, name, stem or None)
            except LoopmeterError as damaged:
                error.add_note(f"The pack could not help either: {damaged}")
        if kept is None:
            return None
        _LOG.info("playing from the pack: %s", error)
        return _loop(kept, "pack", str(error))

    async def spare(self, name: str) -> AsyncLoop | None:
        """The file of the pack called ``name`` (``check`` has found it), or ``None`` if it is damaged."""
        assert self._pack is not None
        try:
            kept = await AsyncFiles.call(self._pack.read, name.partition(".")[0], name.partition(".")[2] or None)
        except LoopmeterError as damaged:
            _LOG.warning("the pack cannot help: %s", damaged)
            return None
        return _loop(kept, "pack", name)

    async def _fingerprint(self, request: LoopRequest, runner: AsyncRunner) -> str | None:
        """Asked once per client, and not again by retries; ``None`` if nobody answers."""
        if self._fingerprints is None:
            try:
                models = await runner.without_retries().run(_flows.models())
            except LoopmeterError:
                return None
            self._fingerprints = {model.name: model.fingerprint for model in models}
        return self._fingerprints.get(request.model)


def _loop(kept: CachedLoop, source: LoopSource, reason: str) -> AsyncLoop:
    loop = AsyncLoop(
        job=kept.job,
        pcm=kept.pcm,
        meters=kept.meters,
        first_chunk_s=0.0,
        total_s=0.0,
        fetch_midi=partial(_midi, kept),
    )
    return replace(loop, source=source, reason=reason)


async def _midi(kept: CachedLoop) -> bytes:
    if kept.midi is None:
        raise LoopmeterError(
            f"the notes of job {kept.job.id} were not kept", advice="fetch them with loops.midi(job_id)"
        )
    return kept.midi
