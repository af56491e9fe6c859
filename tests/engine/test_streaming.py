"""A stream is the same however it is cut, has the exact length, and closes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.scores import SCORE
from torch import Tensor

from loopmeter_engine.blocks import JOIN_SAMPLES, StreamState
from loopmeter_engine.model.autoencoder import Autoencoder, AutoencoderConfig
from loopmeter_engine.model.batching import PassBatcher
from loopmeter_engine.model.transformer import Transformer, TransformerConfig
from loopmeter_engine.sampling import Sampling
from loopmeter_engine.seam import seam_ratio
from loopmeter_engine.streaming import Geometry, Renderer, _joined

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks() -> tuple[Transformer, Autoencoder]:
    """Small networks with random weights: what is tested here holds for any."""
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig(width=64, heads=4, layers=2, hidden=64, condition=32)).eval()
    torch.nn.init.normal_(transformer.out.weight, std=0.1)
    config = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)
    autoencoder = Autoencoder(config).eval()
    torch.nn.init.normal_(autoencoder.decoder.head.bias, std=0.4)
    return transformer.requires_grad_(False), autoencoder.requires_grad_(False)


def _renderer(networks: tuple[Transformer, Autoencoder], *, channels: int = 1, guidance: float = 1.0) -> Renderer:
    text = torch.ones(384)
    sampling = Sampling("ab2", 2, guidance)
    return Renderer(PassBatcher(networks[0]), networks[1], SCORE, text, seed=5, channels=channels, sampling=sampling)


def _all_chunks(renderer: Renderer, *, through_bytes: bool) -> Tensor:
    state, parts = renderer.initial_state(), []
    for index in range(len(renderer.geometry.chunk_frames)):
        part, state = renderer.chunk(index, state)
        parts.append(part)
        if through_bytes:
            state = StreamState.from_bytes(state.to_bytes(), CPU)
    return torch.cat(parts, -1)


@pytest.mark.parametrize(("channels", "guidance"), [(1, 1.0), (2, 1.0), (1, 2.5)])
def test_a_state_survives_being_written_down(
    networks: tuple[Transformer, Autoencoder], channels: int, guidance: float
) -> None:
    renderer = _renderer(networks, channels=channels, guidance=guidance)
    kept = _all_chunks(renderer, through_bytes=False)
    assert kept.shape == (channels, SCORE.frames(44_100))
    assert kept.abs().max() > 1e-3
    assert torch.equal(kept, _all_chunks(renderer, through_bytes=True))


def test_the_state_does_not_grow(networks: tuple[Transformer, Autoencoder]) -> None:
    renderer = _renderer(networks)
    state, sizes = renderer.initial_state(), []
    for index in range(len(renderer.geometry.chunk_frames)):
        _, state = renderer.chunk(index, state)
        sizes.append(len(state.to_bytes()))
    assert len(sizes) >= 3 and len(set(sizes)) == 1


def test_other_bytes_are_no_state() -> None:
    with pytest.raises(ValueError, match="expected a stream state"):
        StreamState.from_bytes(b"nonsense", CPU)


@given(st.integers(1, 20_000_000), st.integers(0, 8))
def test_chunks_add_up_to_the_frames(frames: int, lookahead: int) -> None:
    table = Geometry(frames, lookahead).chunk_frames
    assert sum(table) == frames
    assert min(table) > 0
    assert len(set(table[1:-1])) <= 1


@pytest.mark.parametrize("cut", [0, 500, 2047, 2048, 4000])
def test_the_join_is_the_same_across_a_chunk_border(cut: int) -> None:
    """The loop's end fades into the pre-roll's end, wherever the last chunk begins."""
    generator = torch.Generator().manual_seed(1)
    old, join = torch.randn(1, 6000, generator=generator), torch.randn(1, JOIN_SAMPLES, generator=generator)
    ends = _joined(old, join, 6000)
    assert torch.equal(ends[:, : 6000 - JOIN_SAMPLES], old[:, : 6000 - JOIN_SAMPLES])
    parts = [_joined(old[:, :cut], join, 6000), _joined(old[:, cut:], join, 6000 - cut)] if cut else [ends]
    whole = torch.cat(parts, 1)
    assert whole.shape == old.shape
    assert torch.allclose(whole[:, -16:], join[:, -16:], atol=0.1)


def test_a_loop_runs_on_where_its_pre_roll_stopped(networks: tuple[Transformer, Autoencoder]) -> None:
    """The last sample is the pre-roll's last sample: from there to the first is inside one rendering."""
    renderer = _renderer(networks)
    _, state = renderer.chunk(0, renderer.initial_state())
    loop = _all_chunks(renderer, through_bytes=False)
    assert torch.allclose(loop[:, -8:], state.join[:, -8:], atol=2e-3)


@pytest.mark.parametrize("late", [0.3, 1.1, 2.5])
def test_a_bass_that_the_join_changes_over_to_closes_without_a_click(late: float) -> None:
    """Two renderings of a pure 55 Hz that differ in phase: what goes round is foreseen by a linear predictor."""
    place = torch.arange(-JOIN_SAMPLES, 44_100) * (2 * torch.pi * 55 / 44_100)
    whole, other = (0.5 * torch.sin(place + phase)[None] for phase in (0.0, late))
    sound = torch.cat([whole[:, JOIN_SAMPLES:-JOIN_SAMPLES], other[:, -JOIN_SAMPLES:]], -1)
    closed = _joined(sound, whole[:, :JOIN_SAMPLES], sound.shape[1])
    assert seam_ratio(closed.double().numpy()) <= 1
