"""Finished loops for tests, made up from their request: equal requests sound the same, others differ."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from loopmeter import CachedLoop, ChunkMeter, Job, LoopRequest, ResolvedRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def finished(request: LoopRequest, frames: int = 1000, fingerprint: str = "weights-1") -> CachedLoop:
    """A completed mono loop of 16 bit."""
    seed = hashlib.sha256(request.model_dump_json().encode()).digest()
    pcm = (seed * (2 * frames // len(seed) + 1))[: 2 * frames]
    job = Job(
        id=f"job_{seed.hex()[:8]}",
        state="completed",
        frames=frames,
        chunks=1,
        chunks_delivered=1,
        sample_rate_hz=44100,
        channels=1,
        bits=16,
        tokens_quoted=800,
        tokens_charged=800,
        request=ResolvedRequest.model_validate(request.model_dump()),
        created_at=NOW,
    )
    meter = ChunkMeter(index=0, frames=frames, tokens=800, tokens_total=800)
    return CachedLoop(job, pcm, (meter,), midi=b"MThd" + seed, fingerprint=fingerprint)
