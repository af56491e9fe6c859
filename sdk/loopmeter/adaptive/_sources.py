"""Where takes come from: a pack on disk, or the gateway. A source may block; the player calls it in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from loopmeter._cache import CachedLoop
from loopmeter._client import Loopmeter
from loopmeter._loop import FinishedLoop
from loopmeter._models import LAYERS, Layer, LoopRequest
from loopmeter._pcm import pcm_array
from loopmeter.adaptive._arrangement import Take
from loopmeter.adaptive._mixer import Sound
from loopmeter.bake import Pack


class Source(Protocol):
    """Gives the sound of a take. Called from several threads."""

    def load(self, take: Take) -> Sound:
        """All layers of a take. Any exception means: not now; what plays goes on, and it may be asked again."""
        ...


class PackSource:
    """Takes from a baked pack: take 0 of ``battle`` is the loop ``battle``, take 1 is ``battle-2``, and so on."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack

    def load(self, take: Take) -> Sound:
        """Raises ``KeyError`` and ``PackDamaged`` as ``Pack.read``."""
        name = take.name if take.number == 0 else f"{take.name}-{take.number + 1}"
        loop = self._pack.loop(name)
        return _sound({file.stem or "all": self._pack.read(name, file.stem) for file in loop.files})


class GatewaySource:
    """Takes made on demand: each name has its request, take ``n`` has its seed plus ``n``, each layer is its own stem.

    ``layers`` are the stems of the sections that have some; the others are made whole, as the layer ``all``. Give the
    client a cache and a pack, and what was made once, or baked, plays without tokens and without a connection.
    """

    def __init__(
        self,
        client: Loopmeter,
        requests: Mapping[str, LoopRequest],
        layers: Mapping[str, tuple[Layer, ...]] | None = None,
    ) -> None:
        self._client = client
        self._requests = requests
        self._layers = layers or {}
        unknown = sorted({layer for names in self._layers.values() for layer in names} - set(LAYERS))
        if unknown:
            raise ValueError(f"expected layers among {', '.join(LAYERS)}, found {unknown[0]!r}")

    def load(self, take: Take) -> Sound:
        """Raises ``KeyError`` without a request of this name, and as every call of the client."""
        asked = self._requests[take.name]
        asked = asked.model_copy(update={"seed": asked.seed + take.number})
        stems = self._layers.get(take.name)
        if stems is None:
            return _sound({"all": self._client.loops.create(asked)})
        return _sound({stem: self._client.loops.create(asked, layers=[stem]) for stem in stems})


def _sound(loops: Mapping[str, CachedLoop | FinishedLoop]) -> Sound:
    layers = {name: pcm_array(loop.pcm, loop.job.channels, loop.job.bits) for name, loop in loops.items()}
    return Sound(layers, next(iter(loops.values())).job.sample_rate_hz)
