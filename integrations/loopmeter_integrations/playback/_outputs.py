"""Where the sound goes: JACK, PortAudio, or a test. An output asks for blocks and says when their first frame is heard.

Reading order: ``Output``, ``FrameTimes``, ``PortAudioOutput``; JACK has a module of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from loopmeter import LoopmeterError
from loopmeter_integrations.playback._mixer import CHANNELS, Frames

Render = Callable[[int, float], Frames]
"""``count`` frames, (count, 2), of which the first is heard at ``time_s`` of ``time.monotonic``."""

Lost = Callable[[str], None]

_LEAK = 0.0002  # Seconds a second: more than two devices' clocks ever differ by.


class OutputError(LoopmeterError):
    """There is no such output, or it cannot be opened. The message says what to do."""


class Output(Protocol):
    """Calls ``render`` from its own thread from ``start`` until ``close``, or until the device goes.

    Then it calls ``lost`` with the reason, from any thread, and can be closed and started again.
    """

    name: str
    xruns: int  # How often the device was not served in time.

    @property
    def rate_hz(self) -> int: ...

    def start(self, render: Render, lost: Lost) -> None:
        """Raises ``OutputError``."""
        ...

    def close(self) -> None: ...


class FrameTimes:
    """When frames are heard, from the times at which blocks are asked for. Pure.

    A block may be asked for late, never early: the earliest of the last ones is right, and the estimate may only creep
    towards later ones, by which it follows a device whose seconds are longer. After a pause it begins anew.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._offset_s: float | None = None
        self._at_s = 0.0

    def asked(self, frame: int, now_s: float) -> float:
        """The time of ``frame``, the first of a block that is asked for now."""
        offset_s = now_s - frame / self._rate_hz
        if self._offset_s is None or offset_s < self._offset_s or offset_s > self._offset_s + 1.0:
            self._offset_s = offset_s
        else:
            self._offset_s = min(offset_s, self._offset_s + (now_s - self._at_s) * _LEAK)
        self._at_s = now_s
        return self._offset_s + frame / self._rate_hz


class PortAudioOutput:
    """The system's sound card, over sounddevice. ``device`` as sounddevice names it; ``None`` is the default one.

    Raises:
        OutputError: sounddevice or the device is missing.
    """

    name = "portaudio"

    def __init__(self, device: str | int | None = None, rate_hz: int = 44_100, block: int = 512) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:  # OSError: PortAudio itself is missing.
            raise OutputError(
                f"expected sounddevice and PortAudio, found: {error}; install them with: "
                "pip install 'loopmeter[osc,play]' and, on Debian, apt-get install libportaudio2"
            ) from error
        self.rate_hz = rate_hz
        self._block = block
        self._device = device
        self._sounddevice = sounddevice
        self.xruns = 0
        self._stream: Any = None

    def start(self, render: Render, lost: Lost = lambda _: None) -> None:
        times, frame = FrameTimes(self.rate_hz), 0

        def fill(out: Frames, count: int, _stream_time: object, status: Any) -> None:
            nonlocal frame
            now_s = times.asked(frame, time.monotonic())
            frame += count
            self.xruns += bool(status.output_underflow)
            out[:] = render(count, now_s + self._latency_s)

        def finished() -> None:
            if self._stream is not None:  # Not by us.
                lost("the device has stopped")

        try:
            stream = self._sounddevice.OutputStream(
                samplerate=self.rate_hz,
                blocksize=self._block,
                device=self._device,
                channels=CHANNELS,
                dtype="float32",
                callback=fill,
                finished_callback=finished,
            )
            self._latency_s = float(stream.latency)
            stream.start()
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise OutputError(f"expected an output device, found: {error}; name one with --device") from error
        self._stream = stream

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
