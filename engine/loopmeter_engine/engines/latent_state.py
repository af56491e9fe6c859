"""The state of a stream between two chunks, as bytes: the latents that are still to be heard, and whose they are."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import torch
from torch import Tensor

from loopmeter import LoopRequest
from loopmeter_engine.contract import EngineFailed

_HEAD = struct.Struct("<4s16sIIIH")  # Magic, whose, next chunk, first latent kept, latents in all, width.
_MAGIC = b"LAT1"


def identity_of(request: LoopRequest) -> bytes:
    """16 bytes that tell requests apart."""
    return hashlib.sha256(request.model_dump_json().encode()).digest()[:16]


def seal(identity: bytes, next_chunk: int, first: int, latents: Tensor, total: int) -> bytes:
    """``latents`` is (T, width), float32, from latent frame ``first`` of ``total`` on."""
    head = _HEAD.pack(_MAGIC, identity, next_chunk, first, total, latents.shape[1])
    return head + latents.contiguous().numpy().astype("<f4").tobytes()


def open_state(identity: bytes, next_chunk: int, state: bytes) -> tuple[int, Tensor, int]:
    """(first, latents, total) as sealed.

    Raises:
        EngineFailed: the state of another request or chunk, or damaged.
    """
    try:
        magic, whose, index, first, total, width = _HEAD.unpack_from(state)
        latents = np.frombuffer(state, "<f4", offset=_HEAD.size).reshape(-1, width)
    except (struct.error, ValueError) as error:
        raise _wrong(next_chunk, state) from error
    if (magic, whose, index) != (_MAGIC, identity, next_chunk) or first + len(latents) != total:
        raise _wrong(next_chunk, state)
    return first, torch.from_numpy(latents.copy()), total


def _wrong(next_chunk: int, state: bytes) -> EngineFailed:
    return EngineFailed(
        f"expected the state after chunk {next_chunk - 1} of this request, found {len(state)} other bytes; "
        "pass the state_after of that chunk, or None to make it again"
    )
