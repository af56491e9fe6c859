"""Sound without an end, steered: what plays from bar to bar, and how a change comes in on its bar.

A session is a row of pieces. A piece plays one score round and round, from a bar line on; the next piece begins where a
change takes effect, or after ``ROUND_BARS`` bars, when the music moves on. The transformer makes 16 frames at once, so
a block in which a piece begins is made once for each piece, from the same noise, and the latents change over at the
bar line.

A chunk needs the block behind it, since the decoder looks ahead. A change that comes when that block is already made
has it made again: the state keeps what was true before it. What was given out stays, and the new sound fades in.

Reading order: ``Piece``, ``pieces_within``, ``LiveState``, ``LiveRenderer``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from loopmeter import LiveRequest
from loopmeter_engine.attacks import HITS_APART
from loopmeter_engine.blocks import BLOCK_SAMPLES, Player, Sounder, StreamState, soft_clipped
from loopmeter_engine.contract import Applied, LiveChange
from loopmeter_engine.live_grid import Span, spans, spans_within
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ, Autoencoder
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.transformer import BLOCK_FRAMES
from loopmeter_engine.phase import LEAD_SAMPLES
from loopmeter_engine.sampling import Sampling
from loopmeter_engine.score import Score

ROUND_BARS = 16
_FADE_SAMPLES = 1024  # Between a block and the same block made again.
_PLAYERS_MAX = 8
# Gives the score of a request's round, of ``ROUND_BARS`` bars, and the text vector of its prompts.
Compose = Callable[[LiveRequest, int], tuple[Score, Tensor]]


@dataclass(frozen=True)
class Piece:
    """From sample ``start`` on, the ``number``-th round of ``request``."""

    start: int
    request: LiveRequest
    number: int


def pieces_within(played: Sequence[Span], first: int, last: int) -> list[Piece]:
    """The pieces that samples ``first .. last - 1`` belong to, in order; the first may begin before them."""
    found: list[Piece] = []
    within = spans_within(played, max(0, first), max(1, last))
    ends = [span.frame for span in within[1:]] + [last]
    for span, end in zip(within, ends, strict=True):
        bar = span.first_bar_at(max(first, span.frame) + 1, SAMPLE_RATE_HZ) - 1
        number = (bar - span.bar) // ROUND_BARS
        while (start := span.bar_frame(span.bar + number * ROUND_BARS, SAMPLE_RATE_HZ)) < end:
            found.append(Piece(start, span.request, number))
            number += 1
    return found


@dataclass
class LiveState:
    """After chunk k: the stream after block k + 1, the same before that block, and sound made but not yet given.

    ``rest`` (channels, samples) begins where chunk k ends.
    """

    before: StreamState
    after: StreamState
    rest: Tensor

    def to_bytes(self) -> bytes:
        parts = {"before": self.before.to_bytes(), "after": self.after.to_bytes()}
        tensors = {name: torch.frombuffer(bytearray(part), dtype=torch.uint8) for name, part in parts.items()}
        return safetensors.torch.save(tensors | {"rest": self.rest.contiguous()})

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device) -> LiveState:
        """Raises ValueError when ``data`` is no state."""
        try:
            stored = safetensors.torch.load(data)
            before, after = (
                StreamState.from_bytes(stored[name].numpy().tobytes(), device) for name in ("before", "after")
            )
            return cls(before, after, stored["rest"].to(device))
        except (KeyError, safetensors.SafetensorError) as error:
            raise ValueError(f"expected a session's state of this engine, found {len(data)} other bytes") from error


@dataclass(frozen=True)
class LiveSound:
    """``pcm`` (channels, BLOCK_SAMPLES) in [-1, 1]. ``denoised`` and ``decoded`` count blocks, for the meter."""

    pcm: Tensor
    state: LiveState
    applied: tuple[Applied, ...]
    denoised: int
    decoded: int


class LiveRenderer:
    """One session, for use by many threads. Chunks are ``BLOCK_SAMPLES`` long."""

    def __init__(
        self,
        network: PassBatcher,
        autoencoder: Autoencoder,
        request: LiveRequest,
        compose: Compose,
        *,
        channels: int,
        sampling: Sampling,
    ) -> None:
        self.request, self.sampling, self.channels = request, sampling, channels
        self.sounder = Sounder(autoencoder, channels, request.seed)
        # Not a method, which would hold this renderer with all its players until a sweep for garbage.
        self._player = functools.lru_cache(_PLAYERS_MAX)(
            functools.partial(_prepare, network, compose, sampling, request.seed)
        )

    @torch.inference_mode()
    def chunk(self, index: int, changes: Sequence[LiveChange], state: LiveState | None) -> LiveSound:
        """Chunk ``index``, by the state after the one before.

        Only changes that came by then count, so that a log may be handed over as a whole.
        """
        known = self._known(changes, index)
        if state is None:
            assert index == 0
            start = self.sounder.initial_state(self._player(pieces_within(known, 0, 1)[0]).init_memory())
            rest, current = self._block(0, known, start)
            rest, made = rest[:, LEAD_SAMPLES:], [0]
        else:
            current, rest, made = state.after, state.rest, []
            asked = self._known(changes, index - 1)
            if self._pieces(index, known) != self._pieces(index, asked):
                again, current = self._block(index, known, state.before)
                rest = _faded(rest, again[:, -rest.shape[1] :])
                made = [index]
        more, after = self._block(index + 1, known, current)
        sound = torch.cat([rest, more], 1)
        first = index * BLOCK_SAMPLES
        applied = tuple(
            change
            for span in spans_within(known, first, first + BLOCK_SAMPLES)
            for change in span.applied
            if first <= change.frame < first + BLOCK_SAMPLES
        )
        made.append(index + 1)
        return LiveSound(
            soft_clipped(sound[:, :BLOCK_SAMPLES]),
            LiveState(current, after, sound[:, BLOCK_SAMPLES:]),
            applied,
            denoised=sum(len(self._pieces(number, known)) for number in made),
            decoded=len(made),
        )

    def _known(self, changes: Sequence[LiveChange], index: int) -> list[Span]:
        log = [change for change in changes if change.from_chunk <= index]
        return spans(self.request, log, BLOCK_SAMPLES, SAMPLE_RATE_HZ)

    @staticmethod
    def _pieces(number: int, played: Sequence[Span]) -> list[Piece]:
        return pieces_within(played, number * BLOCK_SAMPLES, (number + 1) * BLOCK_SAMPLES)

    def _block(self, number: int, played: Sequence[Span], state: StreamState) -> tuple[Tensor, StreamState]:
        pieces = self._pieces(number, played)
        latents = self._player(pieces[0]).denoise(number, state.memory)
        for piece in pieces[1:]:
            # The frame in which a piece begins belongs to it already: its attack must be there.
            begin = piece.start // FRAME_SAMPLES - number * BLOCK_FRAMES
            latents = torch.cat([latents[:, :begin], self._player(piece).denoise(number, state.memory)[:, begin:]], 1)
        memory = self._player(pieces[-1]).absorb(number, latents, state.memory)
        told = self._told(*self.sounder.told_frames(number), played)
        return self.sounder.step(number, latents, told, self._hits(number, played), state, memory)

    def _told(self, first: int, frames: int, played: Sequence[Span]) -> Tensor:
        """What the decoder is told of latent frames, each from its piece; before the start, of the first."""
        pieces = pieces_within(played, first * FRAME_SAMPLES, (first + frames) * FRAME_SAMPLES)
        begins = [first, *(piece.start // FRAME_SAMPLES for piece in pieces[1:]), first + frames]
        parts = [
            self._player(piece).told(begin, end - begin)
            for piece, begin, end in zip(pieces, begins, begins[1:], strict=False)
            if end > begin
        ]
        return torch.cat(parts, 1)

    def _hits(self, number: int, played: Sequence[Span]) -> Tensor:
        """In the vocoder's samples, of all that block ``number`` makes final."""
        first, last = max(0, number - 1) * BLOCK_SAMPLES, (number + 2) * BLOCK_SAMPLES
        pieces = pieces_within(played, first, last)
        found = []
        for place, piece in enumerate(pieces):
            end = pieces[place + 1].start - HITS_APART if place + 1 < len(pieces) else last
            found.append(self._player(piece).hits(max(first, piece.start), end))
        return torch.cat(found) + LEAD_SAMPLES


def _prepare(network: PassBatcher, compose: Compose, sampling: Sampling, seed: int, piece: Piece) -> Player:
    score, text = compose(piece.request, piece.number)
    return Player(network, score, text, sampling, seed, -piece.start / SAMPLE_RATE_HZ)


def _faded(old: Tensor, new: Tensor) -> Tensor:
    """``new``, but beginning as ``old`` went on."""
    place = (torch.arange(_FADE_SAMPLES, device=new.device) + 0.5) / _FADE_SAMPLES * math.pi / 2
    start = old[:, :_FADE_SAMPLES] * place.cos().square() + new[:, :_FADE_SAMPLES] * place.sin().square()
    return torch.cat([start, new[:, _FADE_SAMPLES:]], 1)
