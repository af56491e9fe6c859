"""Which form the weights take in the memory that is there: as exact as it allows, and said in the engine's notes."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

_HEADROOM = 1.3  # Activations and the allocator, over the weights alone.


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """Number format, and whether parts wait in main memory until their turn (slower, a fraction of the memory)."""

    dtype: torch.dtype
    offload: bool

    def __str__(self) -> str:
        return str(self.dtype).removeprefix("torch.") + (", parts offloaded to main memory" if self.offload else "")


def choose_mode(device_type: str, free_bytes: int, parameters: int, largest_part: int) -> MemoryMode:
    """The most exact mode that fits ``parameters`` weights into ``free_bytes`` of the device's memory.

    On a CPU: float32, else bfloat16. On a GPU: bfloat16, else bfloat16 with offload, if the largest part fits alone.

    Raises:
        MemoryError: none fits.
    """
    if device_type == "cpu":
        for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
            if parameters * size * _HEADROOM <= free_bytes:
                return MemoryMode(dtype, offload=False)
    elif parameters * 2 * _HEADROOM <= free_bytes:
        return MemoryMode(torch.bfloat16, offload=False)
    elif largest_part * 2 * _HEADROOM <= free_bytes:
        return MemoryMode(torch.bfloat16, offload=True)
    raise MemoryError(
        f"expected {parameters * 2 * _HEADROOM / 1e9:.1f} GB of free memory for {parameters / 1e6:.0f} M weights, "
        f"found {free_bytes / 1e9:.1f} GB; free some or take a smaller checkpoint"
    )


def free_bytes(device: torch.device) -> int:
    """Free memory of the device; of the machine for a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 1 << 62  # Unknown: let the system say no.


def peak_bytes(device: torch.device) -> int:
    """Peak memory of the device; for a CPU the peak of the process, which is all that the system counts."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource  # Absent on Windows.

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """What computes: another model of it may round otherwise."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
