"""How many processes an engine should work in on this machine. Torch-free, so that asking costs nothing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROCESSES_MAX = 4
PROCESS_BYTES = 800_000_000  # Of our engine: libraries, weights, and what many streams at once need on top.
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and either of them under Windows.
_UNKNOWN_BYTES = 1 << 62


def default_processes(name: str) -> int:
    """As many as ``loopmeter serve`` takes for the engine called ``name`` if it is not told; 0 means its own.

    Our engine on a CPU gets one for each core, up to ``PROCESSES_MAX``, as memory allows. On a GPU one process makes
    all streams in common passes. Other engines may hold gigabytes of weights: they are not copied unasked.
    """
    if name != "loopmeter" or not hasattr(socket, "send_fds") or _has_gpu():
        return 0
    count = min(cores_of_this_process(), PROCESSES_MAX, available_bytes() // PROCESS_BYTES)
    return count if count > 1 else 0


def cores_of_this_process() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that can be had without swapping: of the machine, or of the container if that has less."""
    found = [_UNKNOWN_BYTES]
    machine = _fields(root / "proc/meminfo").get("MemAvailable:")
    if machine is not None:
        found.append(machine * 1024)
    group = root / "sys/fs/cgroup"
    limit, used = (_number(group / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        # What files are kept in memory is given up when somebody needs it.
        found.append(limit - used + _fields(group / "memory.stat").get("inactive_file", 0))
    return max(0, min(found))


def _has_gpu() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(os.path.exists(path) for path in _GPUS)


def _fields(path: Path) -> dict[str, int]:
    """Names and numbers, line by line; of a file that is not there, none."""
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # Not there, or "max".
        return None
