from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.registry import EngineUnavailable, engine_names, load_engine, open_engine

from .plug_ins import install


def test_the_shipped_engines_are_listed() -> None:
    entries = {entry.name: entry for entry in engine_names()}
    assert entries["fake"].distribution == "loopmeter"
    assert entries["fake"].target == "loopmeter_engine.fake:FakeEngine"
    assert "loopmeter" in entries


def test_listing_imports_no_engine() -> None:
    script = (
        "import sys, loopmeter_engine.registry as r; r.engine_names();"
        "print([m for m in ('torch', 'loopmeter_engine.fake') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_engine_is_loaded_by_name() -> None:
    assert isinstance(load_engine("fake"), FakeEngine)


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(EngineUnavailable, match=r"fake, loopmeter.*found 'nonesuch'.*install"):
        load_engine("nonesuch")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("broken = no_such_module_at_all:Engine", r"ModuleNotFoundError.*pip install 'loopmeter-broken'"),
        ("broken = math:no_such_engine", r"AttributeError.*--force-reinstall 'loopmeter-broken'"),
        ("broken = math:sqrt", r"TypeError"),
    ],
    ids=["module missing", "name missing", "construction fails"],
)
def test_a_broken_plug_in_names_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, said: str
) -> None:
    install(tmp_path, "loopmeter-broken", entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "broken" in [found.name for found in engine_names()]
    with pytest.raises(EngineUnavailable, match=rf"loopmeter-broken 3\.2.*{said}"):
        load_engine("broken")


def test_two_engines_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "one", "twin = math:sqrt")
    install(tmp_path, "two", "twin = math:floor")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"one \(math:sqrt\), two \(math:floor\)"):
        load_engine("twin")


def test_an_engine_is_told_how_many_cores_it_has_if_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asking.py").write_text("def build(cores=None):\n    return cores\n")
    install(tmp_path, "asking", "asking = asking:build")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert (load_engine("asking", cores=3), load_engine("asking")) == (3, None)
    assert isinstance(load_engine("fake", cores=3), FakeEngine)


def test_an_engine_at_an_address_has_no_processes_here() -> None:
    with pytest.raises(ValueError, match="expected no engine processes with an engine at an address, found 2"):
        open_engine("http://127.0.0.1:1", processes=2)
