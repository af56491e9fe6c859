"""A loop, block by block: denoise 16 latent frames, decode them, close the loop. The state is a value.

The grid of latent frames (2048 samples) and the grid of beats differ, and block 0 cannot know how the loop ends. So a
stream begins one block before the loop, with the score wrapped around: this pre-roll is what sounds just before the
first beat, tails included. Its last samples are kept, and the last samples of the loop fade into them. At the wrap the
sound then runs on as it did from the pre-roll into the first beat: nothing is joined there.

Reading order: ``Geometry``, ``StreamState``, ``Renderer``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from loopmeter_engine.conditioning import FRAME_S, Events, events_of, frame_features, global_features
from loopmeter_engine.model.autoencoder import FRAME_SAMPLES, SAMPLE_RATE_HZ, Autoencoder, DecoderState
from loopmeter_engine.model.flow import schedule, solve
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory, Transformer
from loopmeter_engine.score import Score

PRE_ROLL_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES
JOIN_SAMPLES = 2048  # 46 ms: long enough for a pad, short enough to lie between two sixteenths.
_CLIP_KNEE = 0.9


@dataclass(frozen=True)
class Geometry:
    """Where chunks begin and end. Chunk k is ready when block ``k + 1`` is decoded; block 0 is the pre-roll."""

    frames: int
    lookahead: int  # Of the decoder, in latent frames.

    @property
    def chunk_frames(self) -> tuple[int, ...]:
        first = (BLOCK_FRAMES - self.lookahead) * FRAME_SAMPLES
        if self.frames <= first:
            return (self.frames,)
        whole, rest = divmod(self.frames - first, PRE_ROLL_SAMPLES)
        return (first, *[PRE_ROLL_SAMPLES] * whole, *([rest] if rest else []))

    @property
    def blocks(self) -> int:
        return len(self.chunk_frames) + 1


@dataclass
class StreamState:
    """All that a stream remembers after a chunk. ``join`` (channels, JOIN_SAMPLES): the end of the pre-roll."""

    memory: Memory
    decoder: DecoderState
    join: Tensor

    def to_bytes(self) -> bytes:
        tensors = {
            "position": torch.tensor([self.memory.position]),
            "seen": torch.tensor(self.decoder.seen),
            "noise": self.decoder.noise,
            "overlap": self.decoder.overlap,
            "join": self.join,
        }
        for name, parts in self._lists().items():
            tensors |= {f"{name}.{index}": part for index, part in enumerate(parts)}
        return safetensors.torch.save({name: part.contiguous() for name, part in tensors.items()})

    def _lists(self) -> dict[str, list[Tensor]]:
        memory = self.memory
        return {
            "keys_values": memory.keys_values, "keys": memory.keys, "tail": memory.tail, "cache": self.decoder.caches,
        }  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes, device: torch.device) -> StreamState:
        """Raises ValueError when ``data`` is no state."""
        try:
            stored = {name: part.to(device) for name, part in safetensors.torch.load(data).items()}
            lists = {
                name: [stored[f"{name}.{index}"] for index in range(sum(key.startswith(f"{name}.") for key in stored))]
                for name in ("keys_values", "keys", "tail", "cache")
            }
            memory = Memory(lists["keys_values"], lists["keys"], lists["tail"], int(stored["position"]))
            seen = [int(value) for value in stored["seen"]]
            return cls(memory, DecoderState(lists["cache"], stored["noise"], stored["overlap"], seen), stored["join"])
        except (KeyError, safetensors.SafetensorError) as error:
            raise ValueError(f"expected a stream state of this engine, found {len(data)} other bytes") from error


@dataclass(frozen=True)
class Sampling:
    solver: str = "ab2"
    steps: int = 4
    guidance: float = 1.0


class Renderer:
    """One request, ready to be rendered: conditions computed once, then block after block.

    ``channels`` 1 decodes mid alone, 2 gives left and right. Everything random follows from ``seed`` and the number
    of the block, never from how the stream was cut.
    """

    def __init__(
        self,
        transformer: Transformer,
        autoencoder: Autoencoder,
        score: Score,
        text: Tensor,
        *,
        seed: int,
        channels: int,
        sampling: Sampling,
    ) -> None:
        self.transformer, self.autoencoder, self.score = transformer, autoencoder, score
        self.seed, self.channels, self.sampling = seed, channels, sampling
        self.geometry = Geometry(score.frames(SAMPLE_RATE_HZ), autoencoder.config.lookahead)
        self.device = transformer.inp.weight.device
        self.events: Events = events_of([score], self.device)
        self.times = schedule(sampling.steps)
        style, text = global_features([score]).to(self.device), text.to(self.device)
        guided = sampling.guidance != 1.0
        keep = torch.tensor([1.0, 0.0] if guided else [1.0], device=self.device)
        rows = len(keep)
        with torch.inference_mode():
            self.known = transformer.conditioner.globals(
                style.expand(rows, -1), text.reshape(1, -1).expand(rows, -1), keep, keep
            )
            at = torch.tensor([*self.times[:-1], 1.0], device=self.device)
            self.mods = [transformer.modulations(self.known, value.expand(rows, 1)) for value in at]

    def initial_state(self) -> StreamState:
        rows = len(self.known)
        decoder = self.autoencoder.decoder.init_state(1, self.channels, self.device)
        join = torch.zeros(self.channels, JOIN_SAMPLES, device=self.device)
        return StreamState(self.transformer.init_memory(rows), decoder, join)

    @torch.inference_mode()
    def chunk(self, index: int, state: StreamState) -> tuple[Tensor, StreamState]:
        """PCM of chunk ``index``, (channels, frames) in [-1, 1], and the state after it."""
        memory, decoder, join = state.memory, state.decoder, state.join
        if index == 0:
            pre_roll, memory, decoder = self._block(0, memory, decoder)
            first, memory, decoder = self._block(1, memory, decoder)
            sound = torch.cat([pre_roll, first], -1)
            join = sound[:, PRE_ROLL_SAMPLES - JOIN_SAMPLES : PRE_ROLL_SAMPLES]
            sound = sound[:, PRE_ROLL_SAMPLES:]
        else:
            sound, memory, decoder = self._block(index + 1, memory, decoder)
        begin = sum(self.geometry.chunk_frames[:index])
        sound = sound[:, : self.geometry.chunk_frames[index]]
        sound = _joined(sound, join, self.geometry.frames - begin)
        return _soft_clipped(sound), StreamState(memory, decoder, join)

    def _block(self, number: int, memory: Memory, decoder: DecoderState) -> tuple[Tensor, Memory, DecoderState]:
        latents, memory = self._denoise(number, memory)
        generator = _generator(self.seed, 2 * number + 1)
        noise = self.autoencoder.noise(BLOCK_FRAMES, generator).to(self.device)
        pcm, decoder = self.autoencoder.decoder.step(latents, noise, decoder)
        mid = pcm[0, 0]
        sound = mid[None] if self.channels == 1 else torch.stack([mid + pcm[0, 1], mid - pcm[0, 1]])
        return sound, memory, decoder

    def _denoise(self, number: int, memory: Memory) -> tuple[Tensor, Memory]:
        model, rows = self.transformer, len(self.known)
        ahead = model.config.ahead
        start = (number - 1) * BLOCK_FRAMES - ahead
        begin_s = torch.tensor([start * FRAME_S], dtype=torch.float64, device=self.device)
        features = frame_features(self.events, begin_s, BLOCK_FRAMES + 2 * ahead).expand(rows, -1, -1)
        score = model.conditioner(features, self.known)
        x = torch.randn(1, BLOCK_FRAMES, model.config.latent, generator=_generator(self.seed, 2 * number))

        def velocity(x: Tensor, step: int) -> Tensor:
            found, _ = model.block(x.expand(rows, -1, -1), score, self.mods[step], memory)
            if rows == 1:
                return found
            return found[1:] + self.sampling.guidance * (found[:1] - found[1:])

        x = solve(velocity, x.to(self.device), self.times, self.sampling.solver)
        _, memory = model.block(x.expand(rows, -1, -1), score, self.mods[-1], memory, absorb=True)
        return x, memory


def _generator(seed: int, stream: int) -> torch.Generator:
    """An independent generator per (seed, stream), by the finaliser of SplitMix64 (Steele et al. 2014)."""
    word = (seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return torch.Generator().manual_seed((word ^ (word >> 31)) & (2**63 - 1))


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
    fade_in, fade_out = torch.sin(place * math.pi / 2), torch.cos(place * math.pi / 2)
    alike = (old * new).sum() / ((old.square().sum() * new.square().sum()).sqrt() + 1e-9)
    gain = (1 + 2 * alike.clamp(min=0) * fade_in * fade_out).rsqrt()
    return torch.cat([sound[:, :begin], (old * fade_out + new * fade_in) * gain], -1)


def _soft_clipped(sound: Tensor) -> Tensor:
    """Leave samples below 0.9 alone, bend those above towards 1 instead of cutting them."""
    over = (sound.abs() - _CLIP_KNEE).clamp(min=0)
    room = 1 - _CLIP_KNEE
    return sound.clamp(-_CLIP_KNEE, _CLIP_KNEE) + sound.sign() * room * torch.tanh(over / room)
