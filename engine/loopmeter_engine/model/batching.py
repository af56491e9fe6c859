"""Many streams through one network: passes that wait at the same time run as one.

Streams join and leave at every pass, each with its own time and memory. Whoever finds the device free runs all that
waits, in the order in which it came, and hands out the results; nobody waits for others to come. So a single stream is
not slowed down, and eight come through in little more than the time of one, since rows of a matrix are cheap.

Each row is computed as if it were alone: on one device and number format the results are equal to the bit where its
matrix products are (oneDNN's are; tests hold them to it), and to a few units of the last place elsewhere.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory, Transformer, rotary
from loopmeter_engine.stopping import check_wanted

Modulations = list[tuple[Tensor, ...]]


@dataclass(eq=False)
class _Pass:
    """``x`` (rows, 16, latent), ``score`` (rows, 16, width): one stream's part. ``done`` is set when a result is in."""

    x: Tensor
    score: Tensor
    mods: Modulations
    memory: Memory
    absorb: bool
    done: threading.Event = field(default_factory=threading.Event)
    result: tuple[Tensor, Memory] | None = None
    error: BaseException | None = None


class PassBatcher:
    """Stands before a transformer, for use by many threads. At most ``passes_max`` streams go in one pass."""

    def __init__(self, transformer: Transformer, passes_max: int = 8) -> None:
        self.transformer, self.passes_max = transformer, passes_max
        self._device_free = threading.Lock()
        self._waiting: deque[_Pass] = deque()  # As many as there are streams.
        self.largest = 0  # Streams in one pass so far, at most.

    def run(
        self, x: Tensor, score: Tensor, mods: Modulations, memory: Memory, *, absorb: bool = False
    ) -> tuple[Tensor, Memory]:
        """As ``Transformer.block``, together with whatever else waits. Raises ``LeaseStopped``: nobody wants it."""
        check_wanted()
        own = _Pass(x, score, mods, memory, absorb)
        self._waiting.append(own)
        while not own.done.is_set():
            # Whoever holds the device may be running this pass already: then the lock comes free with it done.
            with self._device_free:
                if not own.done.is_set():
                    self._run_waiting()
        if own.error is not None:
            raise own.error
        assert own.result is not None
        return own.result

    def _run_waiting(self) -> None:
        """One pass for those that came first and are of one kind: passes that remember a block do more."""
        kind = self._waiting[0].absorb
        together: list[_Pass] = []
        for waiting in list(self._waiting):
            if waiting.absorb == kind and len(together) < self.passes_max:
                together.append(waiting)
                self._waiting.remove(waiting)
        self.largest = max(self.largest, len(together))
        try:
            for one, result in zip(together, run_together(self.transformer, together, absorb=kind), strict=True):
                one.result = result
        except BaseException as error:  # Every stream of the pass must hear of it; each raises it in its own thread.
            for one in together:
                one.error = error
        finally:
            for one in together:
                one.done.set()


@torch.inference_mode()
def run_together(transformer: Transformer, passes: list[_Pass], *, absorb: bool) -> list[tuple[Tensor, Memory]]:
    """One pass of the network for all; results in the same order."""
    if len(passes) == 1:
        only = passes[0]
        return [transformer.block(only.x, only.score, only.mods, only.memory, absorb=absorb)]
    rows = [len(one.x) for one in passes]
    tables = [_table(transformer, one) for one in passes]
    table = (torch.cat([cos for cos, _ in tables]), torch.cat([sin for _, sin in tables]))
    mods = [
        tuple(torch.cat(parts) for parts in zip(*(one.mods[layer] for one in passes), strict=True))
        for layer in range(transformer.config.layers)
    ]
    memories = [one.memory for one in passes]
    memory = Memory(
        [torch.cat(parts) for parts in zip(*(each.keys_values for each in memories), strict=True)],
        [torch.cat(parts) for parts in zip(*(each.keys for each in memories), strict=True)],
        [torch.cat(parts) for parts in zip(*(each.tail for each in memories), strict=True)],
        0,
    )
    x, score = torch.cat([one.x for one in passes]), torch.cat([one.score for one in passes])
    velocity, after = transformer.block(x, score, mods, memory, absorb=absorb, table=table)
    velocities = torch.split(velocity, rows)
    if not absorb:
        return list(zip(velocities, memories, strict=True))
    keys_values, keys, tails = (
        [torch.split(part, rows) for part in parts] for parts in (after.keys_values, after.keys, after.tail)
    )
    return [
        (
            velocities[place],
            Memory(
                [part[place] for part in keys_values],
                [part[place] for part in keys],
                [part[place] for part in tails],
                one.position + BLOCK_FRAMES,
            ),
        )
        for place, one in enumerate(memories)
    ]


def _table(transformer: Transformer, one: _Pass) -> tuple[Tensor, Tensor]:
    """The rotary table of a stream's own position, (rows, 1, 16, 1, 1, E / 2)."""
    config = transformer.config
    tables = rotary(BLOCK_FRAMES, config.width // config.heads, one.memory.position, one.x.device)
    cos, sin = (part.expand(len(one.x), 1, *part.shape) for part in tables)
    return cos, sin
