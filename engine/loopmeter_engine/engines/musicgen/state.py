"""The state of a stream between two chunks, as bytes: the codes made so far and what the codec carries."""

from __future__ import annotations

import struct

import numpy as np
import torch
from torch import Tensor

from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.engines.musicgen.codec import Carried

_HEAD = struct.Struct("<4s16sIIHHH")  # Magic, whose, next chunk, frames, codebooks, layers and width carried.
_MAGIC = b"MGN1"


def seal(identity: bytes, next_chunk: int, codes: Tensor, carried: Carried) -> bytes:
    """``codes`` is (codebooks, frames); 30 s of four codebooks are 12 kB."""
    layers, _, width = carried[0].shape
    head = _HEAD.pack(_MAGIC, identity, next_chunk, codes.shape[1], codes.shape[0], layers, width)
    arrays = [codes.numpy().astype("<u2"), *(part.float().cpu().numpy().astype("<f4") for part in carried)]
    return head + b"".join(array.tobytes() for array in arrays)


def open_state(identity: bytes, next_chunk: int, state: bytes) -> tuple[Tensor, Carried]:
    """As sealed; float32, on the CPU.

    Raises:
        EngineFailed: the state of another request or chunk, or damaged.
    """
    try:
        magic, whose, index, frames, books, layers, width = _HEAD.unpack_from(state)
        codes = np.frombuffer(state, "<u2", books * frames, _HEAD.size).reshape(books, frames)
        carried = np.frombuffer(state, "<f4", offset=_HEAD.size + codes.nbytes).reshape(2, layers, 1, width)
        if (magic, whose, index) != (_MAGIC, identity, next_chunk):
            raise ValueError("another's")
    except (struct.error, ValueError) as error:
        raise EngineFailed(
            f"expected the state after chunk {next_chunk - 1} of this request, found {len(state)} other bytes; "
            "pass the state_after of that chunk, or None to make it again"
        ) from error
    hidden, cell = torch.from_numpy(carried.copy())
    return torch.from_numpy(codes.astype(np.int64)), (hidden, cell)
