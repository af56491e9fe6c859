"""A running Ardour over OSC: is it there, where is it, play, locate, save. Switch OSC on in Ardour's preferences first.

Ardour answers queries to ``#reply`` and in the types ``h`` and ``d``, keeps silent on what it does not know, and loses
what comes before its session is loaded. So every question here is asked again until it is answered.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from loopmeter import LoopmeterError
from loopmeter_integrations.osc._codec import encode_message

DEFAULT_PORT = 3819
ANSWER_S_MAX = 20.0
_ASK_AGAIN_S = 0.2
_SIZES = {"i": 4, "f": 4, "h": 8, "d": 8}
_FORMATS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}
# Bank size, strip types 159, feedback 16 (session), fader mode, send page, plug-in page, port 0: that of the sender.
_ANSWER_HERE = (0, 159, 16, 0, 0, 0, 0)

Value = str | int | float


class ArdourSilent(LoopmeterError):
    """Ardour did not answer in time. The message says what was asked."""


class ArdourControl:
    """One Ardour, at ``host`` and ``port``. Every question waits at most ``answer_s_max``. Close it in the end."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, answer_s_max: float = ANSWER_S_MAX
    ) -> None:
        self._to = (host, port)
        self._answer_s_max = answer_s_max
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("", 0))
        self._socket.settimeout(_ASK_AGAIN_S)

    @property
    def port(self) -> int:
        """Ardour's own."""
        return self._to[1]

    def send(self, address: str, *values: Value) -> None:
        types = "".join("s" if isinstance(v, str) else "i" if isinstance(v, int) else "f" for v in values)
        self._socket.sendto(encode_message(address, types, values), self._to)

    def ask(self, address: str, answer: str | None = None, *values: Value) -> tuple[Value, ...]:
        """What Ardour answers to ``address``, from ``answer`` (the same address unless told).

        Raises:
            ArdourSilent: nothing came.
        """
        expected = answer or address
        until = time.monotonic() + self._answer_s_max
        while time.monotonic() < until:
            self.send(address, *values)
            asked_again = time.monotonic() + _ASK_AGAIN_S
            while time.monotonic() < asked_again:
                message = self._receive()
                if message is not None and message[0] == expected:
                    return message[1]
            # A session may have been saved with answers to a port of its own; this asks for answers to the sender.
            self.send("/set_surface", *_ANSWER_HERE)
        raise ArdourSilent(
            f"expected Ardour to answer {address} at osc.udp://{self._to[0]}:{self._to[1]}, found silence; "
            "start it, and switch OSC on under Preferences, Control Surfaces"
        )

    def session_name(self) -> str:
        """The name of the open session."""
        (name,) = self.ask("/set_surface", "/session_name", *_ANSWER_HERE)
        return str(name)

    def play_until_rolling(self) -> None:
        """Start the transport. When this returns, it rolls, and so Ardour is ready for everything else."""
        self._repeat("/transport_play", lambda: self.speed() > 0)

    def stop(self) -> None:
        self._repeat("/transport_stop", lambda: self.speed() == 0)

    def speed(self) -> float:
        return float(self.ask("/transport_speed")[0])

    def frame(self) -> int:
        """Where the playhead is."""
        return int(self.ask("/transport_frame")[0])

    def locate(self, frame: int) -> None:
        """Put the playhead on a frame, and leave it standing there."""
        self._repeat("/locate", lambda: self.frame() == frame, frame, 0)

    def save(self, session_file: Path) -> None:
        """Have Ardour write its session, and wait until the file has changed."""
        before = session_file.stat().st_mtime_ns
        self._repeat("/save_state", lambda: session_file.stat().st_mtime_ns != before)

    def is_there(self) -> bool:
        """Whether an Ardour with a session answers within a second."""
        usual, self._answer_s_max = self._answer_s_max, min(1.0, self._answer_s_max)
        try:
            self.speed()
        except ArdourSilent:
            return False
        finally:
            self._answer_s_max = usual
        return True

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> ArdourControl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repeat(self, address: str, done: Callable[[], bool], *values: Value) -> None:
        """Send a command that Ardour does not acknowledge, until its effect shows."""
        until = time.monotonic() + self._answer_s_max
        while time.monotonic() < until:
            self.send(address, *values)
            asked_again = time.monotonic() + 5 * _ASK_AGAIN_S
            while time.monotonic() < asked_again:
                if done():
                    return
                self._receive()  # Waits a moment, or takes what would fill the socket.
        raise ArdourSilent(f"expected {address} to take effect, found that it did not within {self._answer_s_max:g} s")

    def _receive(self) -> tuple[str, tuple[Value, ...]] | None:
        try:
            return decode(self._socket.recv(65_535))
        except (TimeoutError, ConnectionRefusedError):
            return None


def decode(datagram: bytes) -> tuple[str, tuple[Value, ...]] | None:
    """Address and arguments of one message, ``#reply`` included; ``None`` for what is not a message of known types."""
    try:
        address, at = _string(datagram, 0)
        types, at = _string(datagram, at)
        values: list[Value] = []
        for kind in types[1:]:
            if kind == "s":
                text, at = _string(datagram, at)
                values.append(text)
            elif kind in "TF":
                values.append(int(kind == "T"))
            else:
                values.append(struct.unpack_from(_FORMATS[kind], datagram, at)[0])
                at += _SIZES[kind]
    except (ValueError, KeyError, struct.error):
        return None
    return address, tuple(values)


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end // 4 * 4 + 4
