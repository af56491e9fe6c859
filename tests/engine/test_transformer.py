"""The recurrent form is the parallel form, and nothing looks where it must not."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer, TransformerConfig

BLOCKS = 4
SMALL = TransformerConfig(width=64, heads=4, layers=3, hidden=96, condition=32)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(SMALL).eval().requires_grad_(False)
    for value in model.parameters():  # The last layers start at zero, which would hide every difference.
        if not value.any():
            value.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    frames = BLOCKS * BLOCK_FRAMES
    return {
        "clean": torch.randn(2, frames, SMALL.latent),
        "noisy": torch.randn(2, frames, SMALL.latent),
        "time": torch.rand(2, BLOCKS),
        "score": torch.randn(2, frames, SMALL.width),
        "known": torch.randn(2, SMALL.condition),
    }


def test_recurrent_form_equals_parallel_form(model: Transformer, inputs: dict[str, torch.Tensor]) -> None:
    whole = model(**inputs)

    memory, parts = model.init_memory(2), []
    clean_mods = model.modulations(inputs["known"], torch.ones(2, 1))
    for block in range(BLOCKS):
        span = slice(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES)
        mods = model.modulations(inputs["known"], inputs["time"][:, block : block + 1])
        velocity, _ = model.block(inputs["noisy"][:, span], inputs["score"][:, span], mods, memory)
        parts.append(velocity)
        _, memory = model.block(inputs["clean"][:, span], inputs["score"][:, span], clean_mods, memory, absorb=True)

    assert whole.abs().max() > 0.1
    assert (torch.cat(parts, 1) - whole).abs().max() < 1e-5


def test_a_block_never_sees_later_blocks_nor_its_own_clean_copy(
    model: Transformer, inputs: dict[str, torch.Tensor]
) -> None:
    before = model(**inputs)
    changed = dict(inputs)
    changed["clean"] = inputs["clean"].clone()
    changed["clean"][:, 2 * BLOCK_FRAMES :] = 0
    after = model(**changed)

    kept = slice(0, 3 * BLOCK_FRAMES)  # Block 2 reads clean blocks 0 and 1 alone.
    assert torch.equal(before[:, kept], after[:, kept])
    assert not torch.allclose(before[:, 3 * BLOCK_FRAMES :], after[:, 3 * BLOCK_FRAMES :])


def test_memory_has_constant_size(model: Transformer, inputs: dict[str, torch.Tensor]) -> None:
    memory = model.init_memory(2)
    sizes = [value.shape for value in [*memory.keys_values, *memory.keys, *memory.tail]]
    mods = model.modulations(inputs["known"], torch.ones(2, 1))
    for block in range(BLOCKS):
        span = slice(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES)
        _, memory = model.block(inputs["clean"][:, span], inputs["score"][:, span], mods, memory, absorb=True)
    assert [value.shape for value in [*memory.keys_values, *memory.keys, *memory.tail]] == sizes
    assert memory.position == BLOCKS * BLOCK_FRAMES


def test_conditioner_gives_inner_frames_and_hides_what_is_dropped(model: Transformer) -> None:
    torch.manual_seed(2)
    style, text = torch.randn(1, GLOBAL_CHANNELS), torch.randn(1, SMALL.text)
    on, off = torch.ones(1), torch.zeros(1)
    hidden = model.conditioner.globals(style, text, off, off)
    assert not hidden.any()
    assert not torch.allclose(model.conditioner.globals(style, text, on, off), hidden)
    features = torch.randn(1, BLOCK_FRAMES + 2 * SMALL.ahead, FRAME_CHANNELS)
    assert model.conditioner(features, hidden).shape == (1, BLOCK_FRAMES, SMALL.width)


def test_configuration_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.width = 1  # type: ignore[misc]
