"""How many processes an engine gets, by the machine that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopmeter_engine.processes import count
from loopmeter_engine.processes.count import available_bytes, default_processes

GB = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight cores, 16 GB, no GPU."""
    monkeypatch.setattr(count, "cores_of_this_process", lambda: 8)
    monkeypatch.setattr(count, "available_bytes", lambda: 16 * GB)
    monkeypatch.setattr(count, "_GPUS", ("/nonesuch",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("cores", "free_bytes", "expected"),
    [
        (8, 16 * GB, 4),
        (3, 16 * GB, 3),
        (2, 16 * GB, 2),
        (1, 16 * GB, 0),
        (8, 2 * GB, 2),
        (8, 3 * GB, 3),
        (8, GB, 0),
        (8, 0, 0),
    ],
)
def test_our_engine_gets_one_for_each_core_as_memory_allows(
    machine: pytest.MonkeyPatch, cores: int, free_bytes: int, expected: int
) -> None:
    machine.setattr(count, "cores_of_this_process", lambda: cores)
    machine.setattr(count, "available_bytes", lambda: free_bytes)
    assert default_processes("loopmeter") == expected


@pytest.mark.parametrize("name", ["fake", "ace-step", "http://127.0.0.1:8140"])
def test_other_engines_are_not_copied_unasked(machine: pytest.MonkeyPatch, name: str) -> None:
    assert default_processes(name) == 0


def test_on_a_gpu_one_process_makes_all(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(count, "_GPUS", ("/dev/null",))
    assert default_processes("loopmeter") == 0
    machine.setenv("CUDA_VISIBLE_DEVICES", "")  # Hidden, so the engine computes on the CPU.
    assert default_processes("loopmeter") == 4


def test_a_container_has_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) > 1000 * GB  # Unknown: the system will say no.
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n")
    assert available_bytes(tmp_path) == 8_192_000_000
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    for name, text in (("memory.max", "max\n"), ("memory.current", "3000000000\n")):
        (group / name).write_text(text)
    assert available_bytes(tmp_path) == 8_192_000_000
    (group / "memory.max").write_text("4000000000\n")
    (group / "memory.stat").write_text("anon 2000000000\ninactive_file 500000000\n")
    assert available_bytes(tmp_path) == 1_500_000_000
