"""Sound to the machine's own output by PortAudio: ``pip install 'loopmeter[play]'``, and on Linux ``libportaudio2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sounddevice

    from loopmeter.adaptive._outputs import Render


class SounddeviceOutput:
    """A PortAudio stream that asks for samples in its own thread. ``device`` and ``latency`` are sounddevice's.

    ``underflows`` counts the blocks that came too late for the device.

    Raises:
        ModuleNotFoundError, OSError: on ``start``, without sounddevice or PortAudio; the message says what to install.
        sounddevice.PortAudioError: on ``start``, if there is no such device or it refuses the format.
    """

    def __init__(
        self,
        *,
        device: int | str | None = None,
        sample_rate_hz: int = 44_100,
        channels: int = 2,
        latency: float | str = "high",
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.underflows = 0
        self._device = device
        self._latency = latency
        self._stream: sounddevice.OutputStream | None = None

    def start(self, render: Render) -> None:
        def fill(out: Any, frames: int, _time: Any, status: sounddevice.CallbackFlags) -> None:
            self.underflows += bool(status.output_underflow)
            out[:] = render(frames)

        self._stream = _sounddevice().OutputStream(
            samplerate=self.sample_rate_hz,
            channels=self.channels,
            device=self._device,
            latency=self._latency,
            dtype="float32",
            callback=fill,
        )
        self._stream.start()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _sounddevice() -> Any:
    """Loaded late: it looks for PortAudio when it is imported."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SounddeviceOutput needs sounddevice; install it with: pip install 'loopmeter[play]'", name=error.name
        ) from error
    except OSError as error:
        raise OSError(
            f"SounddeviceOutput needs PortAudio ({error}); on Debian and Ubuntu: apt-get install libportaudio2"
        ) from error
    return sounddevice
