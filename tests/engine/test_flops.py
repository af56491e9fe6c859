"""What a quote predicts is what the counter counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from loopmeter_engine import flops
from loopmeter_engine.conditioning import FRAME_CHANNELS, GLOBAL_CHANNELS
from loopmeter_engine.model.autoencoder import Autoencoder, AutoencoderConfig
from loopmeter_engine.model.transformer import BLOCK_FRAMES, Transformer, TransformerConfig

CONFIG = TransformerConfig(width=64, heads=4, layers=3, hidden=96, condition=32)
SMALL = AutoencoderConfig(encoder_width=32, encoder_width_low=32, decoder_width_low=32, decoder_width=48)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_pass_costs_what_is_predicted(rows: int) -> None:
    model = Transformer(CONFIG).eval().requires_grad_(False)
    mods = model.modulations(torch.zeros(rows, CONFIG.condition), torch.ones(rows, 1))
    score = torch.zeros(rows, BLOCK_FRAMES, CONFIG.width)
    memory = model.init_memory(rows)
    with FlopCounterMode(display=False) as counter:
        model.block(torch.zeros(rows, BLOCK_FRAMES, CONFIG.latent), score, mods, memory)
    assert counter.get_total_flops() == flops.network_pass(CONFIG, rows)


@pytest.mark.parametrize("rows", [1, 2])
def test_conditions_cost_what_is_predicted(rows: int) -> None:
    model = Transformer(CONFIG).eval().requires_grad_(False)
    ones = torch.ones(rows)
    with FlopCounterMode(display=False) as counter:
        style, text = torch.zeros(rows, GLOBAL_CHANNELS), torch.zeros(rows, CONFIG.text)
        known = model.conditioner.globals(style, text, ones, ones)
        for _ in range(5):
            model.modulations(known, torch.ones(rows, 1))
    assert counter.get_total_flops() == flops.set_up(CONFIG, rows, 5)
    features = torch.zeros(rows, BLOCK_FRAMES + 2 * CONFIG.ahead, FRAME_CHANNELS)
    with FlopCounterMode(display=False) as counter:
        model.conditioner(features, known)
    assert counter.get_total_flops() == flops.conditions(CONFIG, rows)


def test_decoding_costs_what_is_predicted() -> None:
    decoder = Autoencoder(SMALL).eval().requires_grad_(False).decoder
    state = decoder.init_state(1)
    for first in (True, False):
        frames = BLOCK_FRAMES - (SMALL.lookahead if first else 0)
        with FlopCounterMode(display=False) as counter:
            _, state = decoder.step(
                torch.zeros(1, BLOCK_FRAMES, SMALL.latent), torch.zeros(1, frames, SMALL.partials), state
            )
        assert counter.get_total_flops() == flops.decoding(SMALL, first=first)
