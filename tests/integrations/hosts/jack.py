"""A JACK server without a sound card, its name, and how to end what a test started.

JACK keeps eight servers in a list of the whole machine. One that was killed stays in it, until a server of the same
name starts; so ours come under a few names, used again and again, each by one test at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES_MAX = 7
_LIST = Path("/dev/shm/jack-shm-registry")


@contextmanager
def server_name() -> Iterator[str]:
    """A name that no other test has, in this process or another, as long as the block runs.

    A server that is started without ``close_fds`` holds the name, too: one that outlives its test keeps it.
    """
    folder = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as held:
        for number in range(NAMES_MAX):
            lock = held.enter_context((folder / f"loopmeter-jack-{number}.lock").open("a"))
            os.set_inheritable(lock.fileno(), True)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            raise AssertionError(f"all {NAMES_MAX} names are in use; end the jackd that killed tests have left behind")
        _forget_dead_servers(folder)
        yield f"loopmeter-test-{number}"


@contextmanager
def dummy_jack(home: Path) -> Iterator[dict[str, str]]:
    """A JACK server at 44,100 Hz without a card; gives the environment of its clients."""
    with server_name() as name, tempfile.TemporaryFile() as log:
        environment = os.environ | {"JACK_NO_AUDIO_RESERVATION": "1", "JACK_DEFAULT_SERVER": name, "HOME": str(home)}
        # A machine under load must not make JACK throw its clients out: ten seconds of patience.
        command = ["jackd", "-n", name, "-r", "-t", "10000", "-d", "dummy", "-r", "44100", "-p", "4096"]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log, close_fds=False) as jack:
            try:
                yield environment
            finally:
                end_process(jack)


def end_process(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; JACK may hang in it, then SIGKILL."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def _forget_dead_servers(folder: Path) -> None:
    """Remove JACK's list when it names nobody but the dead: it is ours, and no server and no client runs.

    Who has it mapped may still write to it, so any process that does keeps it in place.
    """
    with (folder / "loopmeter-jack-list.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if _LIST.stat().st_uid == os.getuid() and not _is_mapped(_LIST):
                _LIST.unlink()


def _is_mapped(path: Path) -> bool:
    """Whether a process that we may look into has the file in its memory; also when we may not look into one."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(path) in maps.read_text(errors="replace"):
                return True
        except PermissionError:
            return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False
