"""Answers of a gateway as values, for tests of code that takes them: each field has a plausible default."""

from __future__ import annotations

from typing import Unpack

from loopmeter._chunks import ChunkReceived
from loopmeter._core import LoopOptions
from loopmeter._exceptions import APIError, api_error_type
from loopmeter._loop import Loop
from loopmeter._models import ChunkMeter, LoopRequest, Problem, Quote
from loopmeter.testing._gateway import FakeGateway


def make_quote(request: str | LoopRequest = "drums", **options: Unpack[LoopOptions]) -> Quote:
    """The quote of a request, as a ``FakeGateway`` gives it; ``options`` are the request's fields."""
    return FakeGateway().client().quote(request, **options)


def make_loop(request: str | LoopRequest = "drums", **options: Unpack[LoopOptions]) -> Loop:
    """A finished loop, with sound, bill and score, as a ``FakeGateway`` makes it."""
    gateway = FakeGateway(tokens=10**9)
    return gateway.client().loops.create(request, **options)


def make_chunk(index: int = 0, pcm: bytes = b"\0\0", *, frame_bytes: int = 2, tokens: int = 1) -> ChunkReceived:
    """A chunk of ``len(pcm) // frame_bytes`` frames whose predecessors cost ``tokens`` each, as it does."""
    frames = len(pcm) // frame_bytes
    meter = ChunkMeter(index=index, frames=frames, tokens=tokens, tokens_total=tokens * (index + 1))
    return ChunkReceived(pcm, meter)


def make_error(status: int, code: str = "internal", *, retry_after_s: float | None = None) -> APIError:
    """The exception that a client raises for such an answer."""
    problem = Problem(status=status, code=code, detail="made for a test", request_id="req_fake")
    return api_error_type(status, code)(problem, retry_after_s=retry_after_s)
