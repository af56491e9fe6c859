"""Sound through ``pygame.mixer`` (pygame-ce), beside the sounds that the game plays with it.

One channel of the mixer plays block after block: while one sounds, the next is queued, and SDL_mixer goes on with it
in the middle of its buffer, without a gap. A thread of its own keeps the queue filled, so a game that stalls for a
moment does not stall its music. SDL's audio devices with a callback (``pygame._sdl2.audio``) were tried and dropped:
they wait for the callback while they hold the interpreter's lock, which the callback needs, so closing may hang.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pygame

if TYPE_CHECKING:
    from loopmeter.adaptive._outputs import Render

_SIGNED_16_BIT = -16


class PygameOutput:
    """A channel of pygame's mixer, added to those that the game has. The mixer is started if it is not running.

    A change is heard after one to two blocks of ``block_frames``: less means sooner, more that a slow machine keeps up.

    Raises:
        ValueError: the mixer runs in another format than signed 16 bit.
        pygame.error: the mixer cannot be started.
    """

    def __init__(self, *, sample_rate_hz: int = 44_100, channels: int = 2, block_frames: int = 4096) -> None:
        if pygame.mixer.get_init() is None:
            pygame.mixer.init(sample_rate_hz, _SIGNED_16_BIT, channels, allowedchanges=0)
        found = pygame.mixer.get_init()
        assert found is not None  # It raises where it cannot start.
        self.sample_rate_hz, bits, self.channels = found
        if bits != _SIGNED_16_BIT:
            raise ValueError(f"expected a mixer of signed 16 bit, found {bits}; call pygame.mixer.pre_init(size=-16)")
        self._block_frames = block_frames
        self._closing = threading.Event()
        self._feeder: threading.Thread | None = None
        number = pygame.mixer.get_num_channels()
        pygame.mixer.set_num_channels(number + 1)
        self._channel = pygame.mixer.Channel(number)

    def start(self, render: Render) -> None:
        self._feeder = threading.Thread(target=self._feed, args=(render,), name="loopmeter-pygame", daemon=True)
        self._feeder.start()

    def close(self) -> None:
        self._closing.set()
        if self._feeder is not None:
            self._feeder.join()
            self._feeder = None
            while pygame.mixer.get_init() is not None and self._channel.get_busy():
                self._channel.stop()  # Once for what sounds, once for what was queued behind it.

    def _feed(self, render: Render) -> None:
        pause_s = self._block_frames / self.sample_rate_hz / 8
        while not self._closing.is_set() and pygame.mixer.get_init() is not None:
            if self._channel.get_busy() and self._channel.get_queue() is not None:
                self._closing.wait(pause_s)
                continue
            block = np.rint(render(self._block_frames) * np.float32(32767)).astype("<i2")
            self._channel.queue(pygame.mixer.Sound(buffer=block.tobytes()))
