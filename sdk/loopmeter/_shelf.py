"""Loops at hand, blocking.

Made from ``_async_shelf.py`` by ``python -m tests.sdk.twins``; change that file.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from loopmeter import _flows
from loopmeter._exceptions import (
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    LoopmeterError,
    ServerError,
    StreamInterrupted,
)
from loopmeter._files import Files
from loopmeter._loop import Loop, LoopSource
from loopmeter._models import LoopRequest
from loopmeter._runner import Runner

if TYPE_CHECKING:
    from loopmeter._cache import CachedLoop, LoopCache
    from loopmeter.bake import Pack

OFFLINE_OR_OUT_OF_TOKENS = (BudgetExceeded, ConnectionFailed, InsufficientTokens, ServerError, StreamInterrupted)
_LOG = logging.getLogger("loopmeter")


class Shelf:
    """A cache, a pack, both or neither. Safe to share between threads."""

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

    def find(self, request: LoopRequest, runner: Runner) -> Loop | None:
        """What the cache has, if the gateway's weights, as far as they can be learned, are those that made it."""
        if self._cache is None:
            return None
        kept = Files.call(self._cache.get, request)
        if kept is None:
            return None
        fingerprint = self._fingerprint(request, runner)
        if fingerprint is not None and fingerprint != kept.fingerprint:
            return None
        return _loop(kept, "cache", "")

    def keep(self, request: LoopRequest, loop: Loop, runner: Runner) -> None:
        """Put a loop that was just paid for into the cache. Never raises what a gateway or a disk can do."""
        if self._cache is None:
            return
        from loopmeter._cache import CachedLoop  # Loaded late: most clients have no cache.

        try:
            midi: bytes | None = loop.midi()
        except LoopmeterError as error:
            _LOG.info("a loop is cached without its notes: %s", error)
            midi = None
        fingerprint = self._fingerprint(request, runner)
        kept = CachedLoop(loop.job, loop.pcm, loop.meters, midi, fingerprint or "")
        Files.call(self._cache.put, request, kept)

    def rescue(self, request: LoopRequest, error: LoopmeterError, fallback: str | None) -> Loop | None:
        """What the pack has for a call that failed: this very loop, else the one named ``fallback``."""
        if self._pack is None or not isinstance(error, OFFLINE_OR_OUT_OF_TOKENS):
            return None
        kept = Files.call(self._pack.find, request)
        if kept is None and fallback is not None:
            name, _, stem = fallback.partition(".")
            try:
                kept = Files.call(self._pack.read, name, stem or None)
            except LoopmeterError as damaged:
                error.add_note(f"The pack could not help either: {damaged}")
        if kept is None:
            return None
        _LOG.info("playing from the pack: %s", error)
        return _loop(kept, "pack", str(error))

    def spare(self, name: str) -> Loop | None:
        """The file of the pack called ``name`` (``check`` has found it), or ``None`` if it is damaged."""
        assert self._pack is not None
        try:
            kept = Files.call(self._pack.read, name.partition(".")[0], name.partition(".")[2] or None)
        except LoopmeterError as damaged:
            _LOG.warning("the pack cannot help: %s", damaged)
            return None
        return _loop(kept, "pack", name)

    def _fingerprint(self, request: LoopRequest, runner: Runner) -> str | None:
        """Asked once per client, and not again by retries; ``None`` if nobody answers."""
        if self._fingerprints is None:
            try:
                models = runner.without_retries().run(_flows.models())
            except LoopmeterError:
                return None
            self._fingerprints = {model.name: model.fingerprint for model in models}
        return self._fingerprints.get(request.model)


def _loop(kept: CachedLoop, source: LoopSource, reason: str) -> Loop:
    loop = Loop(
        job=kept.job,
        pcm=kept.pcm,
        meters=kept.meters,
        first_chunk_s=0.0,
        total_s=0.0,
        fetch_midi=partial(_midi, kept),
    )
    return replace(loop, source=source, reason=reason)


def _midi(kept: CachedLoop) -> bytes:
    if kept.midi is None:
        raise LoopmeterError(
            f"the notes of job {kept.job.id} were not kept", advice="fetch them with loops.midi(job_id)"
        )
    return kept.midi
