"""The cache: what it gives back is what was put in, whatever happens to processes and disks in between."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sdk.cache_worker import FRAMES
from tests.sdk.finished import finished

from loopmeter import LoopCache, LoopOrder, LoopRequest, request_sha256
from loopmeter._cli._program import program

DRUMS = LoopRequest(prompt="drums", bars=4)
ENTRY_BYTES_MAX = 2 * FRAMES + 4000


def requests(count: int) -> list[LoopRequest]:
    return [LoopRequest(prompt="drums", seed=seed) for seed in range(count)]


def entry_of(cache: LoopCache) -> Path:
    (path,) = cache.folder.glob("*.loop")
    return path


def test_what_was_put_in_comes_back_whole(tmp_path: Path) -> None:
    cache = LoopCache(tmp_path / "new" / "folder")

    assert cache.get(DRUMS) is None
    assert cache.put(DRUMS, finished(DRUMS))
    assert cache.get(DRUMS) == finished(DRUMS)
    assert LoopCache(cache.folder).get(DRUMS) == finished(DRUMS)


def test_the_name_of_a_request_is_the_same_for_ever() -> None:
    """A changed name would make every cache and every pack of users pay again."""
    request = LoopRequest(prompt="dusty lo-fi drums", tempo_bpm=92, bars=4, key="Am", layers=("drums", "bass"))

    assert request_sha256(request).startswith("e7af65a5c202")


def test_an_order_has_the_name_of_its_request() -> None:
    order = LoopOrder(**DRUMS.model_dump(), quote_id="quote_1")

    assert request_sha256(order) == request_sha256(DRUMS)


@pytest.mark.parametrize(
    "change", [{"bars": 8}, {"prompt": "drum"}, {"seed": 1}, {"quality": "hifi"}, {"layers": ("drums",)}], ids=str
)
def test_another_request_is_a_miss(change: dict[str, object], tmp_path: Path) -> None:
    cache = LoopCache(tmp_path)
    cache.put(DRUMS, finished(DRUMS))

    assert cache.get(DRUMS.model_copy(update=change)) is None


def test_a_loop_from_other_weights_is_a_miss_for_who_names_his(tmp_path: Path) -> None:
    cache = LoopCache(tmp_path)
    cache.put(DRUMS, finished(DRUMS, fingerprint="old"))

    assert cache.get(DRUMS, fingerprint="new") is None
    assert cache.get(DRUMS, fingerprint="old") is not None
    assert cache.get(DRUMS) is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_entry_is_a_miss_and_goes(data: st.DataObject, tmp_path: Path) -> None:
    cache = LoopCache(tmp_path)
    cache.put(DRUMS, finished(DRUMS, frames=20))
    path = entry_of(cache)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole + b"\0"])
    )
    path.write_bytes(damaged)

    assert cache.get(DRUMS) is None
    assert not path.exists()


def test_an_entry_under_a_wrong_name_is_a_miss(tmp_path: Path) -> None:
    cache = LoopCache(tmp_path)
    cache.put(DRUMS, finished(DRUMS))
    other = DRUMS.model_copy(update={"bars": 8})
    entry_of(cache).rename(tmp_path / f"{request_sha256(other)}.loop")

    assert cache.get(other) is None


def test_what_was_read_longest_ago_goes_first(tmp_path: Path) -> None:
    first, second, third = requests(3)
    size = len_of_one(tmp_path / "probe", first)
    cache = LoopCache(tmp_path / "cache", bytes_max=2 * size + 10)
    for age, request in enumerate((first, second)):
        cache.put(request, finished(request))
        os.utime(cache.folder / f"{request_sha256(request)}.loop", (age, age))

    assert cache.get(first) is not None  # Now second is the oldest.
    cache.put(third, finished(third))

    assert cache.get(second) is None
    assert cache.get(first) is not None and cache.get(third) is not None
    assert cache.stats().bytes <= cache.bytes_max


def len_of_one(folder: Path, request: LoopRequest) -> int:
    probe = LoopCache(folder)
    probe.put(request, finished(request))
    return probe.stats().bytes


def test_a_loop_above_the_bound_is_not_kept_and_drives_nothing_out(tmp_path: Path) -> None:
    small, large = requests(2)
    cache = LoopCache(tmp_path, bytes_max=5000)
    cache.put(small, finished(small))

    assert not cache.put(large, finished(large, frames=10_000))
    assert cache.get(small) is not None


def test_half_a_loop_is_refused(tmp_path: Path) -> None:
    whole = finished(DRUMS)
    half = type(whole)(whole.job, whole.pcm[:-2])

    with pytest.raises(ValueError, match="a completed job with 2000 bytes of sound, found completed with 1998"):
        LoopCache(tmp_path).put(DRUMS, half)


def test_a_folder_that_cannot_be_made_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = LoopCache(tmp_path / "file")

    assert not cache.put(DRUMS, finished(DRUMS))
    assert cache.get(DRUMS) is None
    assert cache.stats()[:2] == (0, 0)
    assert cache.clear() == 0


def test_clear_removes_every_entry(tmp_path: Path) -> None:
    cache = LoopCache(tmp_path)
    for request in requests(3):
        cache.put(request, finished(request))

    assert cache.stats().entries == 3
    assert cache.clear() == 3
    assert list(tmp_path.iterdir()) == []


def test_the_program_shows_the_cache_and_clears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPMETER_CACHE", str(tmp_path))
    LoopCache().put(DRUMS, finished(DRUMS))

    shown = json.loads(CliRunner().invoke(program, ["cache", "--json"]).stdout)
    cleared = CliRunner().invoke(program, ["cache", "--clear"]).stdout

    assert (shown["folder"], shown["entries"], shown["removed"]) == (str(tmp_path), 1, 0)
    assert cleared == f"{tmp_path}: 0 loops, 0 of {1 << 30} bytes, 1 removed\n"
    assert LoopCache().get(DRUMS) is None


def test_what_a_killed_writer_left_is_swept_but_not_what_one_is_writing(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".x.loop.1.part", tmp_path / ".x.loop.2.part"
    for part in (dead, alive):
        part.write_bytes(b"half")
    os.utime(dead, (0, 0))

    LoopCache(tmp_path).put(DRUMS, finished(DRUMS))

    assert not dead.exists()
    assert alive.exists()


def worker(folder: Path, bytes_max: int, count: int, seed: int, rounds: int, file_bytes_max: int = 0) -> list[str]:
    numbers = (bytes_max, count, seed, rounds, file_bytes_max)
    return [sys.executable, "-m", "tests.sdk.cache_worker", str(folder), *map(str, numbers)]


def test_eight_processes_and_their_deaths_leave_whole_loops_only(tmp_path: Path) -> None:
    """Each process is killed at a random round, most likely while it writes, and another takes its place."""
    chance = random.Random(1)
    count, bytes_max = 12, 8 * ENTRY_BYTES_MAX
    cache = LoopCache(tmp_path, bytes_max=bytes_max)

    def start(seed: int) -> subprocess.Popen[str]:
        return subprocess.Popen(worker(tmp_path, bytes_max, count, seed, 0), stdout=subprocess.PIPE, text=True)

    seen: list[str] = []
    processes = [start(seed) for seed in range(8)]
    try:
        for seed in range(8, 24):
            victim = processes.pop(0)
            assert victim.stdout is not None
            seen += [victim.stdout.readline() for _ in range(chance.randrange(1, 12))]
            victim.kill()
            seen += victim.communicate()[0].splitlines()
            if seed < 16:
                processes.append(start(seed))
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    assert len(seen) > 50 and any(" hit " in line for line in seen)
    assert not any(line.startswith("wrong") for line in seen)
    for request in requests(count):
        assert cache.get(request) in (None, finished(request, FRAMES))
    assert cache.put(DRUMS, finished(DRUMS))
    assert cache.stats().bytes <= bytes_max


def test_a_write_that_the_system_cuts_short_keeps_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        worker(tmp_path, 1 << 30, 3, 0, 4, file_bytes_max=FRAMES), capture_output=True, text=True, check=True
    )

    assert [line.split()[2:] for line in result.stdout.splitlines()] == [["miss", "refused"]] * 4
    assert "a loop is not cached" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "loopmeter-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root and the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_eight_processes_on_a_full_disk_read_whole_loops_only(small_disk: Path) -> None:
    processes = [
        subprocess.Popen(
            worker(small_disk, 1 << 30, 12, seed, 10), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for seed in range(8)
    ]
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]

    assert [process.returncode for process in processes] == [0] * 8
    assert len(lines) == 80
    assert any(line.endswith("refused") for line in lines) and any(line.endswith("kept") for line in lines)
    assert list(small_disk.glob("*.part")) == []
    cache = LoopCache(small_disk)
    for request in requests(12):
        assert cache.get(request) in (None, finished(request, FRAMES))
