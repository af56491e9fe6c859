"""Which form the weights take in the memory that is there: as exact as it allows, and said in the engine's notes."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

_HEADROOM = 1.3  # Activations and the allocator, over the weights alone.


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """How weights are kept. ``dtype`` is what is computed in.

    ``offload``: parts wait in main memory until their turn (slower, a fraction of the memory). ``int8``: the matrices
    of repeated layers in eight bits (``int8.py``).
    """

    dtype: torch.dtype
    offload: bool = False
    int8: bool = False

    def __str__(self) -> str:
        return (
            str(self.dtype).removeprefix("torch.")
            + (", weights of layers in int8" if self.int8 else "")
            + (", parts offloaded to main memory" if self.offload else "")
        )

    def weight_bytes(self, parameters: int, packable: int) -> int:
        """The size of so many weights, of which ``packable`` can be kept in eight bits."""
        size = self.dtype.itemsize
        return packable + (parameters - packable) * size if self.int8 else parameters * size


_MODES = {
    "cpu": (MemoryMode(torch.float32), MemoryMode(torch.bfloat16), MemoryMode(torch.bfloat16, int8=True)),
    "gpu": (
        MemoryMode(torch.bfloat16),
        MemoryMode(torch.bfloat16, offload=True),
        MemoryMode(torch.bfloat16, int8=True),
        MemoryMode(torch.bfloat16, offload=True, int8=True),
    ),
}


def choose_mode(device_type: str, free_bytes: int, parameters: int, largest_part: int, packable: int = 0) -> MemoryMode:
    """The most exact mode that fits ``parameters`` weights into ``free_bytes`` of the device's memory.

    On a CPU: float32, bfloat16, int8. On a GPU: bfloat16, that with offload (if the largest part fits alone), int8,
    that with offload. Of ``packable`` weights there is a form in eight bits; of the largest part, the same share.

    Raises:
        MemoryError: none fits.
    """
    for mode in _MODES["cpu" if device_type == "cpu" else "gpu"]:
        at_once = largest_part if mode.offload else parameters
        needed = mode.weight_bytes(at_once, packable * at_once // parameters)
        if needed * _HEADROOM <= free_bytes and (packable or not mode.int8):
            return mode
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
