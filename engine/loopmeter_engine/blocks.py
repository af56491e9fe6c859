"""A stream of sound, block by block: denoise 16 latent frames, decode them. What is carried on is a value.

Reading order: ``StreamState``, ``Player`` (score and style to latents), ``Sounder`` (latents to sound).
"""

from __future__ import annotations

from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from loopmeter_engine.attacks import HITS_APART
from loopmeter_engine.conditioning import (
    AHEAD_FRAMES,
    CLOCK_CHANNELS,
    FRAME_CHANNELS,
    FRAME_S,
    RELEASE_FRAMES,
    Events,
    events_of,
    frame_features,
    frame_voices,
    global_features,
    hits_of,
    partial_rolls,
    told_of,
)
from loopmeter_engine.model.autoencoder import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    SUBFRAMES,
    Autoencoder,
    DecoderState,
    expand,
    left_right,
)
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.flow import interpolate, schedule, solve
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Memory
from loopmeter_engine.phase import AHEAD, PhaseState, Vocoder, guide_of
from loopmeter_engine.sampling import Sampling
from loopmeter_engine.score import Score
from loopmeter_engine.sources import Knowledge

BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES
JOIN_SAMPLES = 2048  # 46 ms: long enough for a pad, short enough to lie between two sixteenths.
_CLIP_KNEE = 0.9
_BLOCKS_BACK = -(-(RELEASE_FRAMES + BLOCK_FRAMES) // BLOCK_FRAMES)  # So far back reaches what one block is told.
_PHASE_PARTS = ("phase", "tail", "long", "short", "past", "sung", "sound", "short_tail")


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


class Player:
    """One score in one style, as the transformer is told it: conditions computed once, then block after block.

    ``start_s``: when latent frame 0 of the stream lies, in the score's own time; the score goes round without an end.
    """

    def __init__(
        self,
        network: PassBatcher,
        score: Score,
        text: Tensor,
        sampling: Sampling,
        seed: int,
        start_s: float,
        knowledge: Knowledge | None = None,
    ) -> None:
        """``text`` (1, 384) or (384,); with guidance (2, 384) may follow it with what should not be heard."""
        transformer = network.student if sampling.student else network.transformer
        assert transformer is not None, "expected a student, as sampling_of asks for one only where there is one"
        self.transformer = transformer
        self.knowledge = knowledge
        self.network, self.score, self.sampling = network, score, sampling
        self.seed, self.start_s = seed, start_s
        self.device = transformer.inp.weight.device
        self._last: tuple[int, Tensor] | None = None  # Conditions: wanted by denoise, then by absorb.
        self._around: tuple[int, Tensor] | None = None  # Features: wanted for conditions, then for the decoder.
        self.events: Events = events_of([score], self.device)
        self._hits = hits_of(score, HITS_APART)
        begin = knowledge.begin if knowledge is not None else 0.0
        self.times = [begin + (1 - begin) * time for time in schedule(sampling.steps)]
        rows = sampling.rows
        style, text = global_features([score]).to(self.device), text.to(self.device).reshape(-1, text.shape[-1])
        statistics = knowledge.statistics if knowledge is not None else None
        # A reference that was given in words' stead tells the timbre, which the score's own would contradict.
        is_told = knowledge is not None and knowledge.tells_timbre
        self.style = torch.zeros_like(style) if is_told else style
        keep_style = torch.tensor([0.0 if is_told else 1.0, 0.0], device=self.device)[:rows]
        keep_text = torch.tensor([1.0, 1.0 if len(text) > 1 else 0.0], device=self.device)[:rows]
        text = (text if len(text) > 1 else text.expand(2, -1))[:rows]
        with torch.inference_mode():
            reference = None if statistics is None else statistics.expand(rows, -1)
            self.known = transformer.conditioner.globals(style.expand(rows, -1), text, keep_style, keep_text, reference)
            at = torch.tensor([*self.times[:-1], 1.0], device=self.device)
            self.mods = [transformer.modulations(self.known, value.expand(rows, 1)) for value in at]

    def init_memory(self) -> Memory:
        """The memory before block 0: of what is continued, as far as it reaches back."""
        memory = self.transformer.init_memory(len(self.known))
        source = self.knowledge.source if self.knowledge is not None else None
        for number in range(-source.blocks_before if source is not None else 0, 0):
            memory = self.absorb(number, self.denoise(number, memory), memory)
        return memory

    def features(self, first: int, frames: int) -> Tensor:
        """Score features (1, frames, FRAME_CHANNELS) of the stream's latent frames from ``first`` on.

        Cut from those around the block in which they end, which do not depend on what was asked before.
        """
        number = -(-(first + frames) // BLOCK_FRAMES) - 1
        offset = first - (number - _BLOCKS_BACK) * BLOCK_FRAMES
        if offset < 0:
            return frame_features(self.events, self._begin(first), frames)
        return self._features_around(number)[:, offset : offset + frames]

    def _features_around(self, number: int) -> Tensor:
        """Of block ``number``, ``_BLOCKS_BACK`` before it, and what the conditioner looks ahead."""
        around = self._around  # Streams of one request share a player.
        if around is None or around[0] != number:
            frames = (_BLOCKS_BACK + 1) * BLOCK_FRAMES + self.transformer.config.ahead
            begin = self._begin((number - _BLOCKS_BACK) * BLOCK_FRAMES)
            around = self._around = (number, frame_features(self.events, begin, frames))
        return around[1]

    def told(self, first: int, frames: int) -> Tensor:
        """What the decoder is told of the stream's latent frames from ``first`` on, (1, frames, TOLD_CHANNELS)."""
        trust: Tensor | float = 1.0 if self.knowledge is None else self.knowledge.trust(first, frames)
        voices = frame_voices(self.events, self._begin(first), frames)
        return told_of(self.features(first, frames), voices, self.style, trust)

    def hits(self, first: int, last: int) -> Tensor:
        """When drums are hit or notes struck in samples ``first`` to ``last`` of the stream, (h,) int64."""
        start = round(self.start_s * SAMPLE_RATE_HZ)
        return self._hits.within(first + start, last + start) - start

    def denoise(self, number: int, memory: Memory) -> Tensor:
        """Latents (1, 16, 64) of block ``number``; ``memory`` holds the blocks before it."""
        there = self.knowledge.block(number) if self.knowledge is not None else None
        if there is not None and bool(there[1].all()):
            return there[0]
        rows, score = len(self.known), self._conditions(number)
        latent = self.transformer.config.latent
        noise = torch.randn(1, BLOCK_FRAMES, latent, generator=_generator(self.seed, 2 * number)).to(self.device)
        x = noise
        if there is not None and self.times[0] > 0:
            x = interpolate(there[0], noise, torch.tensor(self.times[0]))

        def velocity(x: Tensor, step: int) -> Tensor:
            if there is not None:  # What stays is on its own straight path at every time.
                x = torch.where(there[1], interpolate(there[0], noise, torch.tensor(self.times[step])), x)
            found, _ = self.network.run(
                x.expand(rows, -1, -1), score, self.mods[step], memory, network=self.transformer
            )
            if rows == 1:
                return found
            return found[1:] + self.sampling.guidance * (found[:1] - found[1:])

        made = solve(velocity, x, self.times, self.sampling.solver)
        return made if there is None else torch.where(there[1], there[0], made)

    def absorb(self, number: int, latents: Tensor, memory: Memory) -> Memory:
        """The memory with finished block ``number`` in it."""
        rows = len(self.known)
        x, score = latents.expand(rows, -1, -1), self._conditions(number)
        _, memory = self.network.run(x, score, self.mods[-1], memory, absorb=True, network=self.transformer)
        return memory

    def _begin(self, first: int) -> Tensor:
        """When a latent frame begins in the score's own time, (1,) seconds."""
        return torch.tensor([self.start_s + first * FRAME_S], dtype=torch.float64, device=self.device)

    def _conditions(self, number: int) -> Tensor:
        # Not an lru_cache: it would hold the method, and so this player and its tensors, until a sweep for garbage.
        last = self._last
        if last is None or last[0] != number:
            last = self._last = (number, self._make_conditions(number))
        return last[1]

    def _make_conditions(self, number: int) -> Tensor:
        ahead = self.transformer.config.ahead
        features = self._features_around(number)[:, _BLOCKS_BACK * BLOCK_FRAMES - ahead :]
        context = None
        if self.knowledge is not None:
            features = self._without_score(features, number * BLOCK_FRAMES - ahead)
            context = self.knowledge.context(number * BLOCK_FRAMES - ahead, features.shape[1])
        conditions: Tensor = self.transformer.conditioner(
            features.expand(len(self.known), -1, -1),
            self.known,
            None if context is None else context.expand(len(self.known), -1, -1),
        )
        return conditions

    def _without_score(self, features: Tensor, first: int) -> Tensor:
        """Features without notes and hits where the sound itself is known, as in training."""
        known = self.knowledge.known(first, features.shape[1]) if self.knowledge is not None else None
        if known is None:
            return features
        score, clock = features[..., :-CLOCK_CHANNELS], features[..., -CLOCK_CHANNELS:]
        return torch.cat([score * (1 - known), clock], -1)


class Sounder:
    """Latents to sound, block after block. ``channels`` 1 decodes mid alone, 2 gives left and right."""

    def __init__(self, autoencoder: Autoencoder, channels: int, seed: int) -> None:
        self.autoencoder, self.channels, self.seed = autoencoder, channels, seed
        self.lookahead = autoencoder.config.lookahead
        self.device = autoencoder.mean.device
        self.vocoder = Vocoder().to(self.device)

    def initial_state(self, memory: Memory) -> StreamState:
        join = torch.zeros(self.channels, JOIN_SAMPLES, device=self.device)
        decoder = self.autoencoder.decoder.init_state(1, self.device)
        return StreamState(memory, decoder, self.vocoder.init_state(self.channels, self.device), join)

    def told_frames(self, number: int) -> tuple[int, int]:
        """First and count of the frames that ``step`` is told of: those that come out, and some around."""
        first = 0 if number == 0 else number * BLOCK_FRAMES - self.lookahead
        frames = BLOCK_FRAMES - self.lookahead if number == 0 else BLOCK_FRAMES
        return first - RELEASE_FRAMES, RELEASE_FRAMES + frames + AHEAD_FRAMES

    def step(
        self, number: int, latents: Tensor, told: Tensor, hits: Tensor, state: StreamState, memory: Memory
    ) -> tuple[Tensor, StreamState]:
        """Left and right, or mid alone, as far as block ``number`` makes them final.

        ``told``: of ``told_frames``; ``hits``: in the vocoder's samples. The state comes back with ``memory``.
        """
        rolls = partial_rolls(told[:, :-AHEAD_FRAMES, :FRAME_CHANNELS])
        timbres = self.autoencoder.timbres
        h, decoder = self.autoencoder.decoder.features(latents, state.decoder)
        change = None if timbres is None else timbres(h, told, rolls)
        spectra = self.autoencoder.decoder.spectra(h, rolls, change)
        long, short = expand(spectra)
        magnitudes = long[0, :, : self.channels].transpose(0, 1)
        guide = guide_of(change, self.channels, hits.to(self.device))
        generator = _generator(self.seed, 2 * number + 1)
        segment = final_frames(number, self.lookahead)
        pcm, phase = self.vocoder.step(magnitudes, short[0], guide, state.phase, segment, generator)
        sound = pcm if self.channels == 1 else left_right(pcm[None])[0]
        return sound, StreamState(memory, decoder, phase, state.join)


def final_frames(block: int, lookahead: int) -> int:
    """How many spectral frames block ``block`` of a stream makes final."""
    late = SUBFRAMES * lookahead + AHEAD if block == 0 else 0
    return SUBFRAMES * BLOCK_FRAMES - late


def _generator(seed: int, stream: int) -> torch.Generator:
    """An independent generator per (seed, stream), by the finaliser of SplitMix64 (Steele et al. 2014)."""
    word = (seed * 0x9E3779B97F4A7C15 + stream * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return torch.Generator().manual_seed((word ^ (word >> 31)) & (2**63 - 1))


def soft_clipped(sound: Tensor) -> Tensor:
    """Leave samples below 0.9 alone, bend those above towards 1 instead of cutting them."""
    over = (sound.abs() - _CLIP_KNEE).clamp(min=0)
    room = 1 - _CLIP_KNEE
    return sound.clamp(-_CLIP_KNEE, _CLIP_KNEE) + sound.sign() * room * torch.tanh(over / room)
