"""Sound out through JACK; MIDI clock and transport in. One JACK client for all three, so that they share its cycles."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from loopmeter_integrations.clocks import JackTransportClock, MidiClock
from loopmeter_integrations.clocks._jack import TransportPosition
from loopmeter_integrations.playback._mixer import CHANNELS
from loopmeter_integrations.playback._outputs import FrameTimes, OutputError, Render

log = logging.getLogger("loopmeter.osc")

library_lock = threading.Lock()
"""Held while a client of this process is opened or closed: libjack, which keeps one state for all of them, crashes or
hangs when two threads do so at once."""

QUIET_S = 0.3  # Much longer than a callback takes to come back from Python.


class JackOutput:
    """Two output ports of the client ``name``, connected to the first physical inputs where there are some.

    ``midi`` gets what comes in at the port ``midi_clock``; ``transport`` the transport's position, once a cycle.
    ``latency_s`` is what the hardware adds to the one period that JACK takes; it moves what Link's beats are aligned
    with, not MIDI clock's or the transport's. When the server goes, or throws us out, ``lost`` of ``start`` is called;
    ``close`` and another ``start`` then find the next server, which has to run at the same rate.

    Raises:
        OutputError: JACK-Client, libjack or the server is missing.
    """

    name = "jack"

    def __init__(
        self,
        name: str = "loopmeter",
        *,
        server: str | None = None,
        midi: MidiClock | None = None,
        transport: JackTransportClock | None = None,
        connect: bool = True,
        latency_s: float = 0.0,
    ) -> None:
        try:
            import jack
        except (ImportError, OSError) as error:  # OSError: libjack itself is missing.
            raise OutputError(
                f"expected JACK-Client and libjack, found: {error}; install them with: "
                "pip install 'loopmeter[osc,play]' and, on Debian, apt-get install libjack-jackd2-0"
            ) from error
        self._jack = jack
        self._name, self._server = name, server
        self._midi, self._transport, self._connect = midi, transport, connect
        self._latency_s = latency_s
        self._client: Any = self._opened()
        self.rate_hz = int(self._client.samplerate)
        self.xruns = 0
        self._gone = False  # The server, or its patience with us.
        self._called_s = 0.0  # When a thread of JACK was last in Python.

    def _opened(self) -> Any:
        jack = self._jack
        _listen(jack)
        try:
            with library_lock:
                return jack.Client(self._name, no_start_server=True, servername=self._server)
        except jack.JackOpenError as error:
            raise OutputError(
                "expected a JACK server, found none; start one, for example: jackd -d alsa, or use --play portaudio"
            ) from error

    def start(self, render: Render, lost: Callable[[str], None] = lambda _: None) -> None:
        client = self._client = self._client or self._opened()
        self._gone = False
        if int(client.samplerate) != self.rate_hz:
            found_hz = int(client.samplerate)
            self.close()
            raise OutputError(
                f"expected a JACK server at {self.rate_hz} Hz, as before, found one at {found_hz} Hz; "
                "start it at the same rate, or the bridge anew"
            )
        try:
            self._activate(client, render, lost)
        except self._jack.JackError as error:
            self.close()
            raise OutputError(f"expected a JACK client that can be activated, found: {error}") from error
        if self._connect:
            physical = client.get_ports(is_physical=True, is_input=True, is_audio=True)
            for port, target in zip(client.outports, physical, strict=False):
                with contextlib.suppress(self._jack.JackError):
                    port.connect(target)

    def _activate(self, client: Any, render: Render, lost: Callable[[str], None]) -> None:
        # Bound once: nothing is looked up in the audio thread that need not be.
        rate_hz, latency_s, times = self.rate_hz, self._latency_s, FrameTimes(self.rate_hz)
        ports = [client.outports.register(f"out_{number + 1}") for number in range(CHANNELS)]
        midi_port = client.midi_inports.register("midi_clock") if self._midi is not None else None

        def process(count: int) -> None:
            frame = client.last_frame_time
            late_s = client.frames_since_cycle_start / rate_hz
            # What is written in this cycle is heard when the next one begins, at the earliest.
            time_s = times.asked(frame, time.monotonic() - late_s) + count / rate_hz + latency_s
            self._receive(client, midi_port, time_s)
            block = render(count, time_s)
            for channel, port in enumerate(ports):
                port.get_array()[:] = block[:, channel]
            self._called_s = time.monotonic()

        client.set_process_callback(process)
        client.set_xrun_callback(self._count_xrun)
        client.set_shutdown_callback(lambda _, reason: self._on_shutdown(reason, lost))
        client.activate()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._await_callbacks()
            with library_lock, contextlib.suppress(self._jack.JackError):  # The server may have gone.
                client.deactivate()
                client.close()

    def _await_callbacks(self) -> None:
        """Wait for JACK's threads to leave Python, if the server is gone.

        libjack then ends them wherever they are. One that has the interpreter's lock at that moment never gives it
        back, and the whole process stands still.
        """
        while self._gone and (left_s := self._called_s + QUIET_S - time.monotonic()) > 0:
            time.sleep(left_s)

    def _on_shutdown(self, reason: str, lost: Callable[[str], None]) -> None:
        """In a thread of JACK, in which nothing of JACK may be called."""
        self._called_s = time.monotonic()
        self._gone = True
        if self._transport is not None:
            self._transport.stop(time.monotonic())
        lost(reason or "the JACK server has ended")
        self._called_s = time.monotonic()

    def _count_xrun(self, _delayed_us: float) -> None:
        self.xruns += 1

    def _receive(self, client: Any, midi_port: Any, time_s: float) -> None:
        if midi_port is not None and self._midi is not None:
            for offset, data in midi_port.incoming_midi_events():
                self._midi.receive(bytes(data), time_s + offset / self.rate_hz)
        if self._transport is not None:
            self._transport.receive(self._position(client), time_s)

    def _position(self, client: Any) -> TransportPosition:
        state, found = client.transport_query_struct()
        rolling = state == self._jack.ROLLING
        if not found.valid & self._jack._lib.JackPositionBBT:
            return TransportPosition(rolling, int(found.frame), self.rate_hz)
        return TransportPosition(rolling, int(found.frame), self.rate_hz, _beat(found), float(found.beats_per_minute))


@functools.cache
def _listen(jack: Any) -> None:
    """Have libjack log what it would write to stderr: four lines for each look at a server that is not there.

    Once in a process: the function before is freed when it is replaced, and another thread may be in it.
    """
    for set_function in (jack.set_error_function, jack.set_info_function):
        set_function(lambda message: log.debug("JACK: %s", message))


def _beat(found: Any) -> float:
    """Beats from the start of the song; JACK counts bars and beats from 1."""
    ticks: float = found.tick / found.ticks_per_beat
    return float((found.bar - 1) * found.beats_per_bar + found.beat - 1 + ticks)
