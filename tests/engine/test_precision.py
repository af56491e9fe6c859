"""Half precision where it is fast: near full precision, said in the fingerprint, small layers untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from loopmeter import LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.model.precision import HalfLinear, halve

REQUEST = LoopRequest(prompt="deep house drums, bass and chords", tempo_bpm=124, bars=2, seed=5)


@pytest.fixture(scope="module")
def sounds() -> dict[torch.dtype, tuple[str, np.ndarray]]:
    found = {}
    for number_format in (torch.float32, torch.bfloat16):
        engine = LoopmeterEngine(device="cpu", number_format=number_format)
        chunks = len(engine.plan(REQUEST).chunk_frames)
        pcm = b"".join(chunk.pcm for chunk in engine.lease(REQUEST, 0, chunks, None))
        found[number_format] = (engine.info().fingerprint, np.frombuffer(pcm, "<i2") / 32768)
    return found


def test_the_fingerprint_tells_the_number_format(sounds: dict[torch.dtype, tuple[str, np.ndarray]]) -> None:
    assert "float32" in sounds[torch.float32][0] and "bfloat16" in sounds[torch.bfloat16][0]


def test_half_precision_has_the_spectrum_of_full_precision(sounds: dict[torch.dtype, tuple[str, np.ndarray]]) -> None:
    """Phases may come out otherwise, magnitudes hardly."""
    full, half = (torch.from_numpy(sounds[name][1]).float() for name in (torch.float32, torch.bfloat16))
    a, b = (
        torch.stft(x, 2048, 512, window=torch.hann_window(2048), return_complex=True).abs().log1p()
        for x in (full, half)
    )
    assert float((a - b).abs().mean() / a.abs().mean()) < 0.1


def test_only_large_layers_are_halved() -> None:
    model = nn.ModuleDict({"large": nn.Linear(300, 300), "small": nn.Linear(20, 20), "modulation": nn.Linear(300, 300)})
    halve(model)
    assert [type(layer) for layer in model.values()] == [HalfLinear, nn.Linear, nn.Linear]
    assert model["large"](torch.ones(1, 300)).dtype == torch.float32


@pytest.mark.parametrize("rows", [1, 16, 64])
def test_weights_in_the_order_of_the_library_give_the_product_of_plain_ones(rows: int) -> None:
    torch.manual_seed(rows)
    linear = nn.Linear(320, 960)
    x = torch.randn(rows, 320)
    plain = nn.functional.linear(x.bfloat16(), linear.weight.bfloat16(), linear.bias.bfloat16()).float()
    torch.testing.assert_close(HalfLinear(linear)(x), plain, rtol=2**-7, atol=2**-7)
