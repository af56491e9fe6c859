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

from loopmeter_engine.conditioning import (
    FRAME_S,
    RELEASE_FRAMES,
    Events,
    events_of,
    frame_features,
    global_features,
    hit_samples,
    partial_rolls,
    sounding_pitches,
)
from loopmeter_engine.model.autoencoder import (
    FRAME_SAMPLES,
    LONG_HOP,
    SAMPLE_RATE_HZ,
    SUBFRAMES,
    Autoencoder,
    DecoderState,
    expand,
    left_right,
)
from loopmeter_engine.model.flow import schedule, solve
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory, Transformer
from loopmeter_engine.phase import AHEAD, HITS_APART, LAG_SAMPLES, LEAD_SAMPLES, Guide, PhaseState, Vocoder
from loopmeter_engine.score import Score

BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES
_LOOP_START = BLOCK_SAMPLES + LEAD_SAMPLES  # In the vocoder's output.
JOIN_SAMPLES = 2048  # 46 ms: long enough for a pad, short enough to lie between two sixteenths.
_CLIP_KNEE = 0.9
_PHASE_PARTS = ("phase", "tail", "long", "short", "past", "notes", "sound", "short_tail")


@dataclass(frozen=True)
class Geometry:
    """Where chunks begin and end. Chunk k is ready when block ``k + 1`` is decoded; block 0 is the pre-roll."""

    frames: int
    lookahead: int  # Of the decoder, in latent frames.

    def segment(self, block: int) -> int:
        """How many spectral frames block ``block`` makes final."""
        late = SUBFRAMES * self.lookahead + AHEAD if block == 0 else 0
        return SUBFRAMES * BLOCK_FRAMES - late

    @property
    def chunk_frames(self) -> tuple[int, ...]:
        first = LONG_HOP * (self.segment(0) + self.segment(1)) - LAG_SAMPLES - _LOOP_START
        if self.frames <= first:
            return (self.frames,)
        whole, rest = divmod(self.frames - first, BLOCK_SAMPLES)
        return (first, *[BLOCK_SAMPLES] * whole, *([rest] if rest else []))

    @property
    def blocks(self) -> int:
        return len(self.chunk_frames) + 1


@dataclass
class StreamState:
    """All that a stream remembers after a chunk. ``join`` (channels, JOIN_SAMPLES): the end of the pre-roll."""

    memory: Memory
    decoder: DecoderState
    phase: PhaseState
    join: Tensor

    def to_bytes(self) -> bytes:
        tensors = {
            "position": torch.tensor([self.memory.position]),
            "seen": torch.tensor(self.decoder.seen),
            "kept": torch.tensor([self.phase.kept]),
            "dropped": torch.tensor([self.phase.dropped]),
            "join": self.join,
        }
        tensors |= {f"phase.{name}": getattr(self.phase, name) for name in _PHASE_PARTS}
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
            parts = {name: stored[f"phase.{name}"] for name in _PHASE_PARTS}
            phase = PhaseState(**parts, kept=int(stored["kept"]), dropped=int(stored["dropped"]))
            return cls(memory, DecoderState(lists["cache"], seen), phase, stored["join"])
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
        self.vocoder = Vocoder().to(self.device)
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
        join = torch.zeros(self.channels, JOIN_SAMPLES, device=self.device)
        return StreamState(
            self.transformer.init_memory(len(self.known)),
            self.autoencoder.decoder.init_state(1, self.device),
            self.vocoder.init_state(self.channels, self.device),
            join,
        )

    @torch.inference_mode()
    def chunk(self, index: int, state: StreamState) -> tuple[Tensor, StreamState]:
        """PCM of chunk ``index``, (channels, frames) in [-1, 1], and the state after it."""
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
        return _soft_clipped(_joined(sound, state.join, self.geometry.frames - begin)), state

    def _block(self, number: int, state: StreamState) -> tuple[Tensor, StreamState]:
        """Left and right, or mid alone, as far as block ``number`` makes them final."""
        latents, memory = self._denoise(number, state.memory)
        rolls = self._rolls(number)
        spectra, decoder = self.autoencoder.decoder.step(latents, rolls, state.decoder)
        long, short = expand(spectra)
        magnitudes = long[0, :, : self.channels].transpose(0, 1)
        generator = _generator(self.seed, 2 * number + 1)
        notes = sounding_pitches(rolls)[0].repeat_interleave(SUBFRAMES, 0)
        begin = max(0, number - 1) * BLOCK_SAMPLES - _LOOP_START  # Before all that this block makes final.
        hits = hit_samples(self.score, begin, begin + 3 * BLOCK_SAMPLES, HITS_APART) + _LOOP_START
        guide = Guide(notes, hits.to(self.device))
        segment = self.geometry.segment(number)
        pcm, phase = self.vocoder.step(magnitudes, short[0], guide, state.phase, segment, generator)
        sound = pcm if self.channels == 1 else left_right(pcm[None])[0]
        return sound, StreamState(memory, decoder, phase, state.join)

    def _features(self, first: int, frames: int) -> Tensor:
        """Score features of latent frames from ``first`` on; frame 0 is the pre-roll's first."""
        begin_s = torch.tensor([(first - BLOCK_FRAMES) * FRAME_S], dtype=torch.float64, device=self.device)
        return frame_features(self.events, begin_s, frames)

    def _rolls(self, number: int) -> Tensor:
        """The notes of the frames that the decoder gives for block ``number``: late by its look-ahead."""
        late = self.geometry.lookahead
        first = 0 if number == 0 else number * BLOCK_FRAMES - late
        frames = BLOCK_FRAMES - late if number == 0 else BLOCK_FRAMES
        return partial_rolls(self._features(first - RELEASE_FRAMES, frames + RELEASE_FRAMES))

    def _denoise(self, number: int, memory: Memory) -> tuple[Tensor, Memory]:
        model, rows = self.transformer, len(self.known)
        ahead = model.config.ahead
        features = self._features(number * BLOCK_FRAMES - ahead, BLOCK_FRAMES + 2 * ahead).expand(rows, -1, -1)
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
