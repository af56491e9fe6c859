"""Interleaved little-endian PCM as numbers from -1 up to, but not including, 1."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pcm_floats(pcm: bytes, bits: int) -> array[float]:
    """The samples as C floats, interleaved as they were; needs nothing but Python.

    Raises:
        ValueError: bits other than 16 or 24, or a part of a sample at the end.
    """
    samples, full_scale = _integers(pcm, bits), float(1 << (15 if bits == 16 else 31))
    return array("f", [sample / full_scale for sample in samples])


def pcm_array(pcm: bytes, channels: int, bits: int) -> NDArray[np.float32]:
    """The samples as a float32 array of shape (frames, channels).

    Raises:
        ModuleNotFoundError: numpy is not installed; ``pcm_floats`` goes without.
        ValueError: as ``pcm_floats``, or a part of a frame at the end.
    """
    import numpy as np

    samples = np.frombuffer(_integers(pcm, bits), dtype=np.int16 if bits == 16 else np.int32)
    scaled = samples.astype(np.float32) / np.float32(1 << (15 if bits == 16 else 31))
    return scaled.reshape(-1, channels)


def _integers(pcm: bytes, bits: int) -> array[int]:
    """Samples as 16-bit integers, or 24-bit ones in the upper bytes of 32."""
    if bits not in (16, 24):
        raise ValueError(f"expected bits 16 or 24, found {bits}")
    if len(pcm) % (bits // 8):
        raise ValueError(f"expected whole samples of {bits // 8} bytes, found {len(pcm)} bytes")
    if bits == 24:
        wide = bytearray(len(pcm) // 3 * 4)
        for byte in range(3):
            wide[byte + 1 :: 4] = pcm[byte::3]
        pcm = bytes(wide)
    samples = array("h" if bits == 16 else "i", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
