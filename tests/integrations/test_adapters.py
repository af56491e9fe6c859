from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from loopmeter_integrations import adapters
from loopmeter_integrations.adapters import AdapterUnavailable, adapter_names, load_adapter


def test_every_adapter_that_is_named_loads_and_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in adapter_names():
        with pytest.raises(SystemExit) as ended:
            load_adapter(name)(["--help"])
        assert ended.value.code == 0
        assert f"usage: loopmeter adapter {name}" in capsys.readouterr().out


def test_listing_imports_no_adapter() -> None:
    script = (
        "import sys; from loopmeter_integrations.adapters import adapter_names; assert 'ardour' in adapter_names();"
        "print([name for name in sys.modules if 'ardour' in name or 'pythonosc' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_an_unknown_adapter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AdapterUnavailable, match=r"one of the installed adapters \(.*ardour.*\), found 'cubase'"):
        load_adapter("cubase")


def test_an_adapter_that_needs_more_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoints([EntryPoint("broken", "no_such_module:main", adapters.GROUP)])
    monkeypatch.setattr(adapters, "entry_points", lambda **_: broken)
    with pytest.raises(AdapterUnavailable, match=r"no_such_module.*pip install 'loopmeter\[osc\]'"):
        load_adapter("broken")
