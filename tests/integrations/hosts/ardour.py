"""A real Ardour on a JACK server of its own that has no sound card: without a window, or with one nobody sees."""

from __future__ import annotations

import base64
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
ROLL_S_MAX_WITH_WINDOW = 20.0  # It draws first.
STARTS_MAX = 5

_ADD_TRACK = """
AudioEngine:set_backend("None (Dummy)", "", "")
local session = load_session("{folder}", "song")
session:new_audio_track(1, 2, nil, 1, "{track}", ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
session:save_state("")
close_session()
quit()
"""


_TELL_REGIONS = """
AudioEngine:set_backend("None (Dummy)", "", "")
local session = load_session("{folder}", "song")
for region in session:route_by_name("{track}"):to_track():playlist():region_list():iter() do
  print("region", region:position():samples(), region:length():samples())
end
close_session()
quit()
"""


def region_as_opened(session_file: Path, home: Path, track: str) -> list[str]:
    """What Ardour finds on a track when it opens the session again: first frame and length of each region."""
    script = home / "tell_regions.lua"
    script.write_text(_TELL_REGIONS.format(folder=session_file.parent, track=track))
    said = _run("ardour7-lua", str(script), home=home)
    return [line.removeprefix("region ") for line in said.splitlines() if line.startswith("region ")]


def new_session(folder: Path, home: Path, *, tempo_bpm: float, track: str, rate_hz: int = 44_100) -> Path:
    """A session with one mono track, made by Ardour itself, OSC switched on. Gives its file."""
    _run("ardour7-new_session", "-s", str(rate_hz), str(folder), "song", home=home)
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
    root = tree.getroot()
    hints = root.find("EngineHints")
    if hints is not None:  # Of the sound system that made the session; another one would be asked about.
        root.remove(hints)
    tree.write(file, encoding="UTF-8", xml_declaration=True)
    return file


@contextmanager
def rolling_ardour(session_file: Path, home: Path, action: Path | None = None) -> Iterator[ArdourControl]:
    """Ardour with the session open and its transport rolling, under remote control. Ends without saving.

    With a script ``action``, it is Ardour with its window, and the action is ``script-1``.

    While Ardour 7.3 connects its ports, two of its threads may write to JACK's socket at once; JACK reads garbage and
    throws Ardour out, which never rolls again. That is between the two of them, so both are started afresh.
    """
    for attempt in range(1, STARTS_MAX + 1):
        with contextlib.ExitStack() as stack:
            environment = stack.enter_context(dummy_jack(home))
            if action is not None:
                install_action(action, home)
                environment |= stack.enter_context(_window(home))
            ardour = Ardour(session_file, environment, "hardour-*" if action is None else "ardour-7*")
            stack.callback(ardour.close)
            roll_s_max = ROLL_S_MAX if action is None else ROLL_S_MAX_WITH_WINDOW
            control = stack.enter_context(ArdourControl(port=ardour.port, answer_s_max=roll_s_max))
            try:
                control.play_until_rolling()
            except ArdourSilent:
                assert attempt < STARTS_MAX, "Ardour and JACK did not come to terms"
                continue
            yield control
            return


def install_action(action: Path, home: Path) -> None:
    """As Ardour itself keeps an action in its first place: Lua that builds a table of scripts, in base64 in XML."""
    source = f"local ardour = function () end; local params = ...\n{action.read_text()}\nreturn factory (params)"
    quoted = "".join(f"\\{byte:03}" for byte in source.encode())
    state = f'scripts = {{ {{ n = "Loopmeter", s = "", f = "{quoted}", a = {{}} }} }}'
    settings = home / ".config" / "ardour7"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / ".a7").touch()  # Been here before: no questions.
    scripts = (
        f'<LuaScripts lua="5.3"><ActionScript>{base64.b64encode(state.encode()).decode()}</ActionScript></LuaScripts>'
    )
    (settings / "ui_scripts").write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{scripts}\n')


@contextmanager
def _window(home: Path) -> Iterator[dict[str, str]]:
    """A display without a screen, and Ardour's libraries with JACK alone, so that it does not ask which sound card."""
    libraries = home / "ardour"
    (libraries / "backends").mkdir(parents=True, exist_ok=True)
    for library in [*PROGRAMS.iterdir(), PROGRAMS / "backends" / "libjack_audiobackend.so"]:
        link = libraries / library.relative_to(PROGRAMS)
        if not link.exists():
            link.symlink_to(library)
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as screen:
        try:
            assert screen.stdout is not None
            number = screen.stdout.readline().decode().strip()
            assert number, "Xvfb does not start"
            yield {"DISPLAY": f":{number}", "ARDOUR_DLL_PATH": str(libraries)}
        finally:
            end_process(screen)


class Ardour:
    """A running Ardour. ``port`` is the one that its OSC took; ``close`` ends it without saving."""

    def __init__(self, session_file: Path, environment: dict[str, str], name: str) -> None:
        (program,) = PROGRAMS.glob(name)
        places = {"LD_LIBRARY_PATH": str(PROGRAMS), "ARDOUR_DLL_PATH": str(PROGRAMS)}
        places |= {"ARDOUR_DATA_PATH": "/usr/share/ardour7", "ARDOUR_CONFIG_PATH": "/etc/ardour7"}
        without = [session_file.parent, session_file.stem]
        opened = without if name.startswith("hardour") else ["--no-splash", session_file]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # Closed in close().
        self._process = subprocess.Popen(
            [program, *opened],
            env=places | environment,
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


def _run(*command: str, home: Path) -> str:
    done = subprocess.run(command, env=os.environ | {"HOME": str(home)}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")
