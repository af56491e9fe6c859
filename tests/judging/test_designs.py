"""Small codecs of other designs, as they are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from judging.designs import DESIGNS, Codec, Design, round_trip

from loopmeter_engine.model.autoencoder import LONG_HOP, SPECTRAL_CHANNELS


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_codec_gives_back_as_much_as_it_was_given(design: Design) -> None:
    model, spectra = Codec(design), torch.rand(2, 16, SPECTRAL_CHANNELS)
    made = model(spectra)
    assert made.shape == (spectra.shape if design.head == "magnitudes" else (2, 2, 16 * LONG_HOP))
    made.square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize("design", [DESIGNS[0], DESIGNS[-1]], ids=lambda design: design.head)
def test_a_round_trip_is_as_long_as_its_loop(design: Design) -> None:
    loop = np.sin(np.arange(50_000) * 0.05)[None]
    assert round_trip(Codec(design).eval(), loop).shape == loop.shape
