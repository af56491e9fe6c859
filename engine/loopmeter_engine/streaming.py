"""A loop as a stream: its chunks, and how it closes.

The grid of latent frames (2048 samples) and the grid of beats differ, and block 0 cannot know how the loop ends. So a
stream begins one block before the loop, with the score wrapped around: this pre-roll is what sounds just before the
first beat, tails included. Its last samples are kept, and the last samples of the loop fade into them. At the wrap the
sound then runs on as it did from the pre-roll into the first beat: nothing is joined there.

Reading order: ``Geometry``, ``Renderer``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from loopmeter_engine.blocks import (
    BLOCK_SAMPLES,
    JOIN_SAMPLES,
    Player,
    Sounder,
    StreamState,
    final_frames,
    soft_clipped,
)
from loopmeter_engine.conditioning import (
    FRAME_S,
)
from loopmeter_engine.model.autoencoder import (
    LONG_HOP,
    SAMPLE_RATE_HZ,
    Autoencoder,
)
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.transformer import BLOCK_FRAMES
from loopmeter_engine.phase import LAG_SAMPLES, LEAD_SAMPLES
from loopmeter_engine.sampling import Sampling
from loopmeter_engine.score import Score
from loopmeter_engine.sources import Knowledge, Splice

_LOOP_START = BLOCK_SAMPLES + LEAD_SAMPLES  # In the vocoder's output.


@dataclass(frozen=True)
class Geometry:
    """Where chunks begin and end. Chunk k is ready when block ``k + 1`` is decoded; block 0 is the pre-roll."""

    frames: int
    lookahead: int  # Of the decoder, in latent frames.

    @property
    def chunk_frames(self) -> tuple[int, ...]:
        first = (
            LONG_HOP * (final_frames(0, self.lookahead) + final_frames(1, self.lookahead)) - LAG_SAMPLES - _LOOP_START
        )
        if self.frames <= first:
            return (self.frames,)
        whole, rest = divmod(self.frames - first, BLOCK_SAMPLES)
        return (first, *[BLOCK_SAMPLES] * whole, *([rest] if rest else []))

    @property
    def blocks(self) -> int:
        return len(self.chunk_frames) + 1


class Renderer:
    """One request, ready to be rendered. Everything random follows from ``seed`` and the number of the block, never
    from how the stream was cut."""

    def __init__(
        self,
        network: PassBatcher,
        autoencoder: Autoencoder,
        score: Score,
        text: Tensor,
        *,
        seed: int,
        channels: int,
        sampling: Sampling,
        knowledge: Knowledge | None = None,
    ) -> None:
        self.network, self.sampling, self.channels = network, sampling, channels
        self.player = Player(network, score, text, sampling, seed, -BLOCK_FRAMES * FRAME_S, knowledge)
        self.sounder = Sounder(autoencoder, channels, seed)
        self.geometry = Geometry(score.frames(SAMPLE_RATE_HZ), autoencoder.config.lookahead)
        source = knowledge.source if knowledge is not None else None
        self.splice = Splice(source, channels, self.player.device) if source is not None and source.keeps else None

    def initial_state(self) -> StreamState:
        return self.sounder.initial_state(self.player.init_memory())

    def state_of(self, data: bytes) -> StreamState:
        """Raises ValueError when ``data`` is no state."""
        return StreamState.from_bytes(data, self.player.device)

    def in_turn(self, index: int, state: StreamState) -> tuple[Tensor, StreamState, float]:
        """``chunk``, when the device is free, and the seconds that it computed."""
        with self.network.turn() as turn:
            sound, state = self.chunk(index, state)
        return sound, state, turn.seconds

    @torch.inference_mode()
    def chunk(self, index: int, state: StreamState) -> tuple[Tensor, StreamState]:
        """PCM of chunk ``index``, (channels, frames) in [-1, 1], and the state after it."""
        sound, state = self.unclipped(index, state)
        sound = soft_clipped(sound)
        begin = sum(self.geometry.chunk_frames[:index])
        return sound if self.splice is None else self.splice(begin, sound), state

    @torch.inference_mode()
    def unclipped(self, index: int, state: StreamState) -> tuple[Tensor, StreamState]:
        """The same with peaks beyond 1, to be added to others, and without what a source keeps."""
        if index == 0:
            pre_roll, state = self._block(0, state)
            first, state = self._block(1, state)
            sound = torch.cat([pre_roll, first], -1)
            join = sound[:, _LOOP_START - JOIN_SAMPLES : _LOOP_START]
            state = StreamState(state.memory, state.decoder, state.phase, join)
            sound = sound[:, _LOOP_START:]
        else:
            sound, state = self._block(index + 1, state)
        begin = sum(self.geometry.chunk_frames[:index])
        sound = sound[:, : self.geometry.chunk_frames[index]]
        if self.splice is not None:
            return sound, state
        return _joined(sound, state.join, self.geometry.frames - begin), state

    def _block(self, number: int, state: StreamState) -> tuple[Tensor, StreamState]:
        latents = self.player.denoise(number, state.memory)
        memory = self.player.absorb(number, latents, state.memory)
        begin = max(0, number - 1) * BLOCK_SAMPLES  # Before all that this block makes final.
        hits = self.player.hits(begin, begin + 3 * BLOCK_SAMPLES) + LEAD_SAMPLES
        told = self.player.told(*self.sounder.told_frames(number))
        return self.sounder.step(number, latents, told, hits, state, memory)


def _joined(sound: Tensor, join: Tensor, remaining: int) -> Tensor:
    """Fade the loop's last samples into the pre-roll's; ``remaining``: frames from this chunk's start to the end.

    Two renderings of the same moment are partly alike. The gains keep the power for however alike they are. A loop's
    last chunk may be shorter than the join: each chunk then takes its own part of the fade.
    """
    length = min(JOIN_SAMPLES, remaining)
    begin = remaining - length  # Where, in this chunk's frames, the fade starts or went on before.
    count = sound.shape[-1] - begin
    if count <= 0:
        return sound
    offset = JOIN_SAMPLES - length
    old, new = sound[:, begin:], join[:, offset : offset + count]
    place = (torch.arange(offset, offset + count, device=sound.device) + 0.5) / JOIN_SAMPLES
    place = (1 - torch.cos(place * math.pi)) / 2  # A fade that ends at a slope is a click under a bass.
    fade_in, fade_out = torch.sin(place * math.pi / 2), torch.cos(place * math.pi / 2)
    alike = (old * new).sum() / ((old.square().sum() * new.square().sum()).sqrt() + 1e-9)
    gain = (1 + 2 * alike.clamp(min=0) * fade_in * fade_out).rsqrt()
    return torch.cat([sound[:, :begin], (old * fade_out + new * fade_in) * gain], -1)
