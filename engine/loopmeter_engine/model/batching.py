"""Many streams through one device: as many threads compute as it has cores, and passes that wait run as one.

A stream computes in *turns* (``PassBatcher.turn``): more threads than cores would only wait for each other inside every
operation. Its passes through the network it hands in, and gives up its turn until they are done. Others go on with
what they alone can do, so that passes gather; when nothing else waits, one of the threads runs those that wait as one,
and hands out the results. Streams join and leave at every pass, each with its own time and memory. Nobody waits for
streams that are not there: a single one is not slowed down, and many come through sooner than in turn, since rows of a
matrix are cheap.

Each row is computed as if it were alone: on one device and number format the results are equal to the bit where its
matrix products are (oneDNN's are; tests hold them to it), and to a few units of the last place elsewhere.

Reading order: ``PassBatcher``, ``Turn``, ``run_together``.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory, Transformer, rotary
from loopmeter_engine.stopping import check_wanted

Modulations = list[tuple[Tensor, ...]]
_TABLES_MAX = 64  # Of positions: each stream is at one at a time, for all passes of a block.


@dataclass(eq=False)
class _Pass:
    """``x`` (rows, 16, latent), ``score`` (rows, 16, width): one stream's part of a pass through ``network``.

    ``go_on`` is set when its thread may compute: with a ``result`` or an ``error``, or to run ``together``.
    """

    network: Transformer
    x: Tensor
    score: Tensor
    mods: Modulations
    memory: Memory
    absorb: bool
    go_on: threading.Event = field(default_factory=threading.Event)
    together: list[_Pass] | None = None
    result: tuple[Tensor, Memory] | None = None
    error: BaseException | None = None
    share_s: float = 0.0  # Of the time that the common pass took.


@dataclass(eq=False)
class Turn:
    """A stream's use of the device so far: ``seconds`` of its own work, and its share of common passes."""

    seconds: float = 0.0
    began_s: float = 0.0

    def begin(self) -> None:
        """The stream computes from now on."""
        self.began_s = time.perf_counter()

    def end(self) -> None:
        """It stops, or waits."""
        self.seconds += time.perf_counter() - self.began_s


class PassBatcher:
    """Stands before a transformer, for use by many threads. At most ``passes_max`` streams go in one pass.

    ``cores``: how many threads compute at the same time. ``student``: the same network distilled, if there is one;
    streams of each go together with their like.
    """

    def __init__(
        self, transformer: Transformer, passes_max: int = 8, cores: int = 1, student: Transformer | None = None
    ) -> None:
        self.transformer, self.student, self.passes_max = transformer, student, passes_max
        self.largest = 0  # Streams in one pass so far, at most.
        self._lock = threading.Lock()  # Of what follows; held for moments.
        self._free = cores
        self._alone: deque[threading.Event] = deque()  # Who waits to compute alone. As many as there are streams,
        self._passes: deque[_Pass] = deque()  # and so are these.
        self._mine = threading.local()

    @contextlib.contextmanager
    def turn(self) -> Iterator[Turn]:
        """Inside, the caller computes; it waits before that, and for what it hands to ``run``."""
        turn, go_on = Turn(), threading.Event()
        with self._lock:
            self._alone.append(go_on)
            self._go_on()
        go_on.wait()
        _work_alone()
        self._mine.turn = turn
        turn.begin()
        try:
            yield turn
        finally:
            turn.end()
            self._mine.turn = None
            with self._lock:
                self._free += 1
                self._go_on()

    def run(
        self,
        x: Tensor,
        score: Tensor,
        mods: Modulations,
        memory: Memory,
        *,
        absorb: bool = False,
        network: Transformer | None = None,
    ) -> tuple[Tensor, Memory]:
        """As ``Transformer.block`` of ``network`` (else ``transformer``), together with whatever else waits for it.

        Raises:
            LeaseStopped: nobody wants it.
        """
        network = network or self.transformer
        turn: Turn | None = getattr(self._mine, "turn", None)
        if turn is None:
            with self.turn():
                return self.run(x, score, mods, memory, absorb=absorb, network=network)
        check_wanted()
        own = _Pass(network, x, score, mods, memory, absorb)
        turn.end()
        with self._lock:
            self._passes.append(own)
            self._free += 1
            self._go_on()
        own.go_on.wait()
        together, own.together = own.together, None  # It is one of them: kept, no pass would ever be let go.
        if together is not None:
            self._run_together(together)
        turn.begin()
        turn.seconds += own.share_s
        if own.error is not None:
            raise own.error
        assert own.result is not None
        return own.result

    def _go_on(self) -> None:
        """Let as many threads compute as there are cores for: what streams do alone first, so that passes gather."""
        while self._free and (self._alone or self._passes):
            if self._alone:
                self._alone.popleft().set()
            else:
                together = self._take_passes()
                together[0].together = together
                together[0].go_on.set()
            self._free -= 1

    def _take_passes(self) -> list[_Pass]:
        """Those that came first and are of one kind, since passes that remember a block do more: each free core's
        part of them."""
        first = self._passes[0]
        waiting = [one for one in self._passes if one.network is first.network and one.absorb == first.absorb]
        together = waiting[: min(self.passes_max, -(-len(waiting) // self._free))]
        for one in together:
            self._passes.remove(one)
        return together

    def _run_together(self, together: list[_Pass]) -> None:
        """In the thread of the first, which then goes on; the others go on when there is a core for them."""
        began_s = time.perf_counter()
        try:
            results = run_together(together[0].network, together, absorb=together[0].absorb)
            for one, result in zip(together, results, strict=True):
                one.result = result
        except BaseException as error:  # Every stream of the pass must hear of it; each raises it in its own thread.
            for one in together:
                one.error = error
        share_s = (time.perf_counter() - began_s) / len(together)
        with self._lock:
            self.largest = max(self.largest, len(together))
            for one in together:
                one.share_s = share_s
                if one is not together[0]:
                    self._alone.append(one.go_on)
            self._go_on()


def _work_alone() -> None:
    """Off the main thread, compute without further threads: a setting of this thread, not of the process.

    Every thread that computes brings a team of its own, and the teams wait for each other while they spin: in a worker
    thread of a gateway a stream ran 6.3 times real time with two threads on two cores, and 11.3 times with one. Asked
    at every turn, since a lease may be made by several threads one after another.
    """
    if threading.current_thread() is not threading.main_thread():
        torch.set_num_threads(1)


@torch.inference_mode()
def run_together(transformer: Transformer, passes: list[_Pass], *, absorb: bool) -> list[tuple[Tensor, Memory]]:
    """One pass of the network for all; results in the same order."""
    if len(passes) == 1:
        only = passes[0]
        table = _table(transformer, only)
        return [transformer.block(only.x, only.score, only.mods, only.memory, absorb=absorb, table=table)]
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
    """The rotary table of a stream's own position, (rows, 1, 16, 1, 1, E)."""
    config = transformer.config
    tables = _rotary(config.width // config.heads, one.memory.position, one.x.device)
    cos, sin = (part.expand(len(one.x), 1, *part.shape) for part in tables)
    return cos, sin


@functools.lru_cache(_TABLES_MAX)
def _rotary(width: int, position: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The table of a block, which all its passes share."""
    with torch.inference_mode():
        return rotary(BLOCK_FRAMES, width, position, device)
