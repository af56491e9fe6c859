"""A real Ardour without a window, on a JACK server of its own that has no sound card."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integrations.hosts.jack import dummy_jack, end_process

from loopmeter_integrations.ardour import ArdourControl, ArdourSilent

PROGRAMS = Path("/usr/lib/ardour7")
START_S_MAX = 30.0
ROLL_S_MAX = 8.0
STARTS_MAX = 5

_ADD_TRACK = """
AudioEngine:set_backend("None (Dummy)", "", "")
local session = load_session("{folder}", "song")
session:new_audio_track(1, 2, nil, 1, "{track}", ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
session:save_state("")
close_session()
quit()
"""


def new_session(folder: Path, home: Path, *, tempo_bpm: float, track: str) -> Path:
    """A session at 44,100 Hz with one mono track, made by Ardour itself, OSC switched on. Gives its file."""
    _run("ardour7-new_session", "-s", "44100", str(folder), "song", home=home)
    script = home / "add_track.lua"
    script.write_text(_ADD_TRACK.format(folder=folder, track=track))
    _run("ardour7-lua", str(script), home=home)
    file = folder / "song.ardour"
    tree = ET.parse(file)
    for tempo in tree.iter("Tempo"):
        tempo.set("npm", f"{tempo_bpm:g}")
        tempo.set("enpm", f"{tempo_bpm:g}")
    for protocol in tree.iter("Protocol"):
        if protocol.get("name") == "Open Sound Control (OSC)":
            protocol.attrib |= {"active": "1", "feedback": "16"}
    tree.write(file, encoding="UTF-8", xml_declaration=True)
    return file


@contextmanager
def rolling_ardour(session_file: Path, home: Path) -> Iterator[ArdourControl]:
    """Ardour with the session open and its transport rolling, under remote control. Ends without saving.

    While Ardour 7.3 connects its ports, two of its threads may write to JACK's socket at once; JACK reads garbage and
    throws Ardour out, which never rolls again. That is between the two of them, so both are started afresh.
    """
    for attempt in range(1, STARTS_MAX + 1):
        with contextlib.ExitStack() as stack:
            ardour = Ardour(session_file, stack.enter_context(dummy_jack(home)))
            stack.callback(ardour.close)
            control = stack.enter_context(ArdourControl(port=ardour.port, answer_s_max=ROLL_S_MAX))
            try:
                control.play_until_rolling()
            except ArdourSilent:
                assert attempt < STARTS_MAX, "Ardour and JACK did not come to terms"
                continue
            yield control
            return


class Ardour:
    """A running hardour. ``port`` is the one that its OSC took; ``close`` ends it without saving."""

    def __init__(self, session_file: Path, environment: dict[str, str]) -> None:
        (program,) = PROGRAMS.glob("hardour-*")
        places = {"LD_LIBRARY_PATH": str(PROGRAMS), "ARDOUR_DLL_PATH": str(PROGRAMS)}
        places |= {"ARDOUR_DATA_PATH": "/usr/share/ardour7", "ARDOUR_CONFIG_PATH": "/etc/ardour7"}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # Closed in close().
        self._process = subprocess.Popen(
            [program, session_file.parent, session_file.stem],
            env=environment | places,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self.port = self._wait_for_port()

    def close(self) -> None:
        end_process(self._process)
        self._log.close()

    def _wait_for_port(self) -> int:
        """Ardour takes the first free port from 3819 on; see which, among the sockets that it has open."""
        until = time.monotonic() + START_S_MAX
        while time.monotonic() < until:
            assert self._process.poll() is None, self._read_log()
            own = set()
            for link in Path(f"/proc/{self._process.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # Closed while we look.
                    own.update(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
            for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if fields[9] in own and 3819 <= port < 3900:
                    return port
            time.sleep(0.1)
        raise AssertionError(self._read_log())

    def _read_log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


def _run(*command: str, home: Path) -> None:
    done = subprocess.run(command, env=os.environ | {"HOME": str(home)}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
