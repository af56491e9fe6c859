"""Engines with a will of their own, to be run in engine processes: laid out as an installed distribution."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.plug_ins import install

_ENGINES = '''
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from loopmeter_engine.contract import EngineFailed
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.stopping import LeaseStopped, check_wanted

HOME = Path(__file__).parent


class Mortal(FakeEngine):
    """Says in each chunk's peak memory who made it. Does as it is told by the prompt when it comes to chunk 2."""

    def __init__(self):
        super().__init__(streams_at_once=4)
        self.stopped = threading.Event()

    def info(self):
        return replace(super().info(), fingerprint=(HOME / "fingerprint").read_text())

    def lease(self, request, start_chunk, count, state):
        def told(chunks):
            for chunk in chunks:
                if chunk.index == 2:
                    self.obey(request.prompt)
                yield replace(chunk, usage=replace(chunk.usage, peak_memory_bytes=os.getpid()))

        return told(super().lease(request, start_chunk, count, state))

    def obey(self, prompt):
        if prompt == "die" or (prompt.startswith("die once") and self.first(prompt)):
            print("no room for more", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if prompt == "break":
            raise KeyError("a part of mine")
        if prompt == "fail":
            raise EngineFailed("the oven is cold")
        if prompt == "hang" and self.first(prompt):
            threading.Event().wait()
        try:
            while prompt == "step":
                check_wanted()
                threading.Event().wait(0.002)
        except LeaseStopped:
            self.stopped.set()
            raise

    def first(self, prompt):
        mark = HOME / prompt.replace(" ", "-")
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def score(self, request):
        """Only when a lease was stopped on the way."""
        if not self.stopped.wait(timeout=20):
            raise EngineFailed("no lease was stopped")
        return super().score(request)


class Stillborn(FakeEngine):
    def info(self):
        print("no weights to be found", file=sys.stderr)
        os._exit(7)
'''


def install_mortal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distribution ``mortal``: engines ``mortal`` and ``stillborn``, for this process and those that it starts."""
    (folder / "mortal_engines.py").write_text(_ENGINES)
    (folder / "fingerprint").write_text("mortal-1")
    install(folder, "mortal", "mortal = mortal_engines:Mortal\nstillborn = mortal_engines:Stillborn")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
