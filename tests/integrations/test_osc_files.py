from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integrations.osc_peer import asynchronous

from loopmeter_integrations.osc._files import AtomicFile, safe_name
from loopmeter_integrations.osc._spares import SpareFiles


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_name_never_leaves_the_folder(first: str, second: str) -> None:
    folder = Path("/folder")
    name = safe_name(first, second)
    assert (folder / f"{name}.wav").resolve().parent == folder
    assert 0 < len(name) <= 121
    assert not name.startswith(("-", "."))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("take1", "job_9"), "take1-job_9"),
        (("../../etc/passwd", "j"), "etc-passwd-j"),
        (("a b\n\0c", "j"), "a-b-c-j"),
        (("..", "/"), "loop"),
        (("größe", "日本"), "gr-e"),
    ],
)
def test_names_keep_what_is_safe(parts: tuple[str, str], name: str) -> None:
    assert safe_name(*parts) == name


def test_the_file_appears_whole_when_committed(tmp_path: Path) -> None:
    with AtomicFile(tmp_path) as file:
        file.write(b"abc")
        file.write(b"def")
        assert not (tmp_path / "loop.wav").exists()
        path = file.commit("loop.wav")
        assert path.read_bytes() == b"abcdef"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "loop.wav"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), AtomicFile(tmp_path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_cannot_be_given_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError), AtomicFile(tmp_path) as file:
        file.write(b"x")
        file.commit("taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@asynchronous
async def test_spare_files_are_taken_without_waiting_and_leave_nothing(tmp_path: Path) -> None:
    spares = SpareFiles(tmp_path)
    for _ in range(3):
        first = await spares.take()
        spares.prepare()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        assert spares.ready
        with pytest.raises(StopIteration) as taken:
            spares.take().send(None)
        for file in [*first, *taken.value.value]:
            file.__exit__()
    spares.prepare()
    await spares.close()
    assert list(tmp_path.iterdir()) == []
