"""Sound out through JACK; MIDI clock and transport in. One JACK client for all three, so that they share its cycles."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from loopmeter_integrations.clocks import JackTransportClock, MidiClock
from loopmeter_integrations.clocks._jack import TransportPosition
from loopmeter_integrations.playback._mixer import CHANNELS
from loopmeter_integrations.playback._outputs import FrameTimes, OutputError, Render


class JackOutput:
    """Two output ports of the client ``name``, connected to the first physical inputs where there are some.

    ``midi`` gets what comes in at the port ``midi_clock``; ``transport`` the transport's position, once a cycle.
    ``lost`` is called, from another thread, when the server goes. ``latency_s`` is what the hardware adds to the one
    period that JACK takes; it moves what Link's beats are aligned with, not MIDI clock's or the transport's.

    Raises:
        OutputError: JACK-Client, libjack or the server is missing.
    """

    def __init__(
        self,
        name: str = "loopmeter",
        *,
        server: str | None = None,
        midi: MidiClock | None = None,
        transport: JackTransportClock | None = None,
        connect: bool = True,
        latency_s: float = 0.0,
        lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        try:
            import jack
        except (ImportError, OSError) as error:  # OSError: libjack itself is missing.
            raise OutputError(
                f"expected JACK-Client and libjack, found: {error}; install them with: "
                "pip install 'loopmeter[osc,play]' and, on Debian, apt-get install libjack-jackd2-0"
            ) from error
        self._jack = jack
        try:
            self._client = jack.Client(name, no_start_server=True, servername=server)
        except jack.JackOpenError as error:
            raise OutputError(
                "expected a JACK server, found none; start one, for example: jackd -d alsa, or use --play portaudio"
            ) from error
        self.rate_hz = int(self._client.samplerate)
        self.xruns = 0
        self._midi, self._transport, self._connect = midi, transport, connect
        self._latency_s = latency_s
        self._ports = [self._client.outports.register(f"out_{number + 1}") for number in range(CHANNELS)]
        self._midi_port = self._client.midi_inports.register("midi_clock") if midi is not None else None
        self._times = FrameTimes(self.rate_hz)
        self._client.set_xrun_callback(self._count_xrun)
        self._client.set_shutdown_callback(lambda _, reason: lost(reason))

    def start(self, render: Render) -> None:
        # Bound once: nothing is looked up in the audio thread that need not be.
        client, ports, rate_hz = self._client, self._ports, self.rate_hz

        def process(count: int) -> None:
            frame = client.last_frame_time
            late_s = client.frames_since_cycle_start / rate_hz
            # What is written in this cycle is heard when the next one begins, at the earliest.
            time_s = self._times.asked(frame, time.monotonic() - late_s) + count / rate_hz + self._latency_s
            self._receive(time_s, rate_hz)
            block = render(count, time_s)
            for channel, port in enumerate(ports):
                port.get_array()[:] = block[:, channel]

        try:
            client.set_process_callback(process)
            client.activate()
        except self._jack.JackError as error:
            raise OutputError(f"expected a JACK client that can be activated, found: {error}") from error
        if self._connect:
            physical = client.get_ports(is_physical=True, is_input=True, is_audio=True)
            for port, target in zip(ports, physical, strict=False):
                with contextlib.suppress(self._jack.JackError):
                    port.connect(target)

    def close(self) -> None:
        with contextlib.suppress(self._jack.JackError):  # The server may have gone.
            self._client.deactivate()
            self._client.close()

    def _count_xrun(self, _delayed_us: float) -> None:
        self.xruns += 1

    def _receive(self, time_s: float, rate_hz: int) -> None:
        if self._midi_port is not None and self._midi is not None:
            for offset, data in self._midi_port.incoming_midi_events():
                self._midi.receive(bytes(data), time_s + offset / rate_hz)
        if self._transport is not None:
            self._transport.receive(self._position(rate_hz), time_s)

    def _position(self, rate_hz: int) -> TransportPosition:
        state, found = self._client.transport_query_struct()
        rolling = state == self._jack.ROLLING
        if not found.valid & self._jack._lib.JackPositionBBT:
            return TransportPosition(rolling, int(found.frame), rate_hz)
        return TransportPosition(rolling, int(found.frame), rate_hz, _beat(found), float(found.beats_per_minute))


def _beat(found: Any) -> float:
    """Beats from the start of the song; JACK counts bars and beats from 1."""
    ticks: float = found.tick / found.ticks_per_beat
    return float((found.bar - 1) * found.beats_per_bar + found.beat - 1 + ticks)
