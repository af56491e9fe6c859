"""Sound through pygame (pygame-ce), beside the sounds that the game plays with ``pygame.mixer``.

It opens an SDL audio device of its own, which asks for samples in its own thread: a game that stalls for a moment, to
load a level say, does not stall its music. ``pygame.mixer`` cannot do that, it must be fed from the game's loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygame._sdl2 import audio, sdl2  # Marked as experimental by pygame; the only way to a callback.

if TYPE_CHECKING:
    from loopmeter.adaptive._outputs import Render


class PygameOutput:
    """An SDL audio device. ``device`` is a name that SDL gives, ``None`` the machine's default.

    ``block_frames`` is what the device asks for at a time: less means that a change is heard sooner, more that a slow
    machine keeps up.

    Raises:
        pygame._sdl2.sdl2.error: on ``start``, if there is no such device; or if the system has one that only one may
            open, SDL's driver "dummy" for one, and ``pygame.mixer`` has it: call ``pygame.mixer.quit()``.
    """

    def __init__(
        self,
        *,
        device: str | None = None,
        sample_rate_hz: int = 44_100,
        channels: int = 2,
        block_frames: int = 1024,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self._device_name = device
        self._block_frames = block_frames
        self._device: Any = None

    def start(self, render: Render) -> None:
        sdl2.init_subsystem(sdl2.INIT_AUDIO)  # Counted by SDL: it may be, and need not be, initialised already.
        frame_bytes = 4 * self.channels

        def fill(_device: Any, memory: Any) -> None:
            memory[:] = render(len(memory) // frame_bytes).tobytes()

        self._device = audio.AudioDevice(
            devicename=self._device_name,
            iscapture=False,
            frequency=self.sample_rate_hz,
            audioformat=audio.AUDIO_F32,
            numchannels=self.channels,
            chunksize=self._block_frames,
            allowed_changes=0,
            callback=fill,
        )
        self._device.pause(0)

    def close(self) -> None:
        if self._device is not None:
            self._device.pause(1)
            self._device.close()
            self._device = None
