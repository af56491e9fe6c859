"""A mix as the sum of its stems: every layer a stream of its own, all of them made at the same time.

A stem that is asked for alone, with the same seed, is the same stream, so stems add up to their mix, to the sample.
Only where the sum is bent instead of cut, at peaks above 0.9, does the mix differ.

Reading order: ``stem_scores``, ``MixState``, ``Mix``.
"""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from loopmeter import LAYERS, Layer
from loopmeter_engine.blocks import StreamState, soft_clipped
from loopmeter_engine.score import Score
from loopmeter_engine.streaming import Renderer


def stem_scores(score: Score) -> list[Score]:
    """What each layer plays, alone."""
    return [_only(score, layer) for layer in score.layers]


def stem_seed(seed: int, score: Score) -> int:
    """Noise of its own for each layer: equal noise in all stems would add up in phase."""
    (layer,) = score.layers
    return (len(LAYERS) * seed + LAYERS.index(layer) + 1) % 2**53


def _only(score: Score, layer: Layer) -> Score:
    return dataclasses.replace(
        score,
        timbres={layer: score.timbres[layer]},
        notes=tuple(note for note in score.notes if note.layer == layer),
        hits=score.hits if layer == "drums" else (),
        fx=score.fx if layer == "fx" else (),
    )


@dataclass
class MixState:
    """What the streams of all stems remember."""

    stems: Sequence[StreamState]

    def to_bytes(self) -> bytes:
        stored = [torch.frombuffer(bytearray(stem.to_bytes()), dtype=torch.uint8) for stem in self.stems]
        return safetensors.torch.save({f"stem.{number}": data for number, data in enumerate(stored)})

    @classmethod
    def from_bytes(cls, data: bytes, count: int, device: torch.device) -> MixState:
        """Raises ValueError when ``data`` is not the state of ``count`` stems."""
        try:
            stored = safetensors.torch.load(data)
            stems = [StreamState.from_bytes(stored[f"stem.{n}"].numpy().tobytes(), device) for n in range(count)]
        except (KeyError, safetensors.SafetensorError) as error:
            raise ValueError(f"expected a state of {count} stems, found {len(data)} other bytes") from error
        return cls(stems)


class Mix:
    """As ``streaming.Renderer``, for several stems that sound together."""

    def __init__(self, stems: Sequence[Renderer]) -> None:
        self.stems = stems
        self.sampling, self.channels = stems[0].sampling, stems[0].channels

    def initial_state(self) -> MixState:
        return MixState([stem.initial_state() for stem in self.stems])

    def state_of(self, data: bytes) -> MixState:
        """Raises ValueError when ``data`` is no state."""
        return MixState.from_bytes(data, len(self.stems), self.stems[0].player.device)

    def in_turn(self, index: int, state: MixState) -> tuple[Tensor, MixState, float]:
        """PCM of chunk ``index``, the state after it, and the seconds that all stems computed."""

        def stem(renderer: Renderer, before: StreamState) -> tuple[Tensor, StreamState, float]:
            with renderer.network.turn() as turn:
                sound, after = renderer.unclipped(index, before)
            return sound, after, turn.seconds

        # Threads, since that is how streams share the device; each is told who may stop it.
        with ThreadPoolExecutor(len(self.stems)) as pool:
            made = [
                pool.submit(contextvars.copy_context().run, stem, renderer, before)
                for renderer, before in zip(self.stems, state.stems, strict=True)
            ]
        sounds, states, seconds = zip(*(one.result() for one in made), strict=True)
        return soft_clipped(torch.stack(sounds).sum(0)), MixState(states), sum(seconds)
