"""Joins conductor, source, mixer and output: the part of adaptive music that has threads and a lock.

Three kinds of threads meet here: the game's, which commands; the output's, which asks for samples and must never wait
for a load; and the loaders. The lock is held for a step of the conductor, never while loading or mixing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

from loopmeter.adaptive._arrangement import Arrangement, Quantum, Take
from loopmeter.adaptive._conductor import Conductor, Manners
from loopmeter.adaptive._events import Event
from loopmeter.adaptive._mixer import Sound, mix
from loopmeter.adaptive._outputs import Output
from loopmeter.adaptive._sources import Source

if TYPE_CHECKING:
    from loopmeter.adaptive._mixer import Samples

_RETRY_S = 5.0
_LOG = logging.getLogger("loopmeter")


class AdaptivePlayer:
    """Plays an arrangement and follows the game. Safe to use from any thread; close it, or use it as a context manager.

        pack = Pack("music")
        with AdaptivePlayer(Arrangement.from_pack(pack), PackSource(pack), SounddeviceOutput()) as player:
            player.intensity = 0.7
            player.go_to("battle", at="bar", stinger="hit")

    Loading happens ahead, in ``loaders`` threads; a take that failed is asked for again after ``retry_s``. ``loader``
    and ``now`` (monotonic seconds) may be replaced, in tests for example. Sounds that are neither heard nor likely to
    come are let go.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        source: Source,
        output: Output,
        *,
        manners: Manners | None = None,
        intensity: float = 0.0,
        loaders: int = 2,
        retry_s: float = _RETRY_S,
        loader: Executor | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conductor = Conductor(
            arrangement, sample_rate_hz=output.sample_rate_hz, manners=manners, intensity=intensity
        )
        self._source = source
        self._output = output
        self._lock = threading.Lock()
        self._loaded = threading.Condition(self._lock)
        self._loader = loader or ThreadPoolExecutor(loaders, thread_name_prefix="loopmeter-load")
        self._retry_s = retry_s
        self._now = now
        self._sounds: dict[Take, Sound] = {}  # Replaced as a whole, never changed: the output's thread reads it.
        self._loading: set[Take] = set()
        self._failed_at: dict[Take, float] = {}
        self._closed = False

    def start(self) -> None:
        """Begin: silence until the first section is loaded, which happens in the background."""
        with self._lock:
            self._load_wanted()
        self._output.start(self._render)

    def wait_until_loaded(self, *names: str, timeout_s: float = 30.0) -> bool:
        """Wait for these sections and stingers, without any for the first one; ``False`` if that takes too long.

        Only what is likely to come is loaded: what plays, and what it leads to.

        Raises:
            ValueError: there is no section or stinger of a name.
        """
        arrangement = self._conductor.arrangement
        known = {part.name for part in arrangement.sections} | {part.name for part in arrangement.stingers}
        if unknown := sorted(set(names) - known):
            raise ValueError(f"expected some of {', '.join(sorted(known))}, found {unknown[0]!r}")
        wanted = {Take(name) for name in names}
        with self._loaded:
            return self._loaded.wait_for(lambda: self._conductor.ready and wanted <= self._sounds.keys(), timeout_s)

    def go_to(self, section: str, at: Quantum = "bar", *, stinger: str | None = None) -> None:
        """As ``Conductor.go_to``; loads the section if need be."""
        with self._lock:
            self._conductor.go_to(section, at, stinger=stinger)
            self._load_wanted()

    def sting(self, name: str, at: Quantum = "beat") -> None:
        """As ``Conductor.sting``."""
        with self._lock:
            self._conductor.sting(name, at)
            self._load_wanted()

    @property
    def intensity(self) -> float:
        """0 to 1; the layers follow as the manners say."""
        return self._conductor.intensity

    @intensity.setter
    def intensity(self, value: float) -> None:
        with self._lock:
            self._conductor.set_intensity(value)

    @property
    def frame(self) -> int:
        """The next frame that the output will ask for; what is heard lags behind it by the output's own buffer."""
        return self._conductor.frame

    @property
    def playing(self) -> Take | None:
        return self._conductor.playing

    def poll(self) -> tuple[Event, ...]:
        """What has happened since the last call. Call it once per picture, say."""
        with self._lock:
            self._load_wanted()  # A failed take may be due for another try.
            return self._conductor.drain()

    def close(self) -> None:
        """Stop the output, then the loaders; a load under way is waited for."""
        self._output.close()
        with self._lock:
            self._closed = True
        self._loader.shutdown(cancel_futures=True)

    def __enter__(self) -> AdaptivePlayer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _render(self, frames: int) -> Samples:
        with self._lock:
            spans = self._conductor.advance(frames)
            sounds = self._sounds
            self._load_wanted()
        return mix(spans, sounds, self._output.channels)

    def _load_wanted(self) -> None:
        """Ask for what is wanted and not here; let go of what is not. The lock is held."""
        if self._closed:
            return
        idle = self._conductor.unload()
        if idle:
            self._sounds = {take: sound for take, sound in self._sounds.items() if take not in idle}
        for take in self._conductor.wanted():
            if take in self._sounds or take in self._loading or self._failed_lately(take):
                continue
            self._loading.add(take)
            self._loader.submit(self._load, take)

    def _failed_lately(self, take: Take) -> bool:
        at_s = self._failed_at.get(take)
        return at_s is not None and self._now() - at_s < self._retry_s

    def _load(self, take: Take) -> None:
        try:
            sound = self._source.load(take)
            self._check(take, sound)
            with self._lock:
                self._conductor.loaded(take, sound.frames)
                self._sounds = {**self._sounds, take: sound}
                self._loading.discard(take)
                self._failed_at.pop(take, None)
                self._loaded.notify_all()
        except Exception as error:  # Whatever a source raises, the music goes on; it is logged, and an event.
            _LOG.warning("%s is not loaded: %s", take, error)
            with self._lock:
                self._loading.discard(take)
                self._failed_at[take] = self._now()
                self._conductor.failed(take, str(error))

    def _check(self, take: Take, sound: Sound) -> None:
        if sound.sample_rate_hz != self._output.sample_rate_hz:
            raise ValueError(
                f"expected sound at the output's {self._output.sample_rate_hz} Hz, found {sound.sample_rate_hz} Hz"
            )
        sections = {section.name: section for section in self._conductor.arrangement.sections}
        names = {layer.name for layer in sections[take.name].layers} if take.name in sections else {"all"}
        if names - sound.layers.keys():
            raise ValueError(f"expected the layers {sorted(names)}, found {sorted(sound.layers)}")
