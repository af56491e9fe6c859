"""One tiny checkpoint and one engine for all tests of this folder."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmarks.tiny_ace_step import save_tiny

from loopmeter_engine.engines.ace_step import AceStepEngine


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("ace-step") / "base")


@pytest.fixture(scope="session")
def turbo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("ace-step") / "turbo", turbo=True)


@pytest.fixture(scope="session")
def ace_step(checkpoint: Path) -> AceStepEngine:
    return AceStepEngine(checkpoint, device="cpu")


@pytest.fixture(scope="session")
def source_base64() -> str:
    return make_source()


def make_source() -> str:
    """Two seconds of noise at 44.1 kHz, mono, as an Ogg file: to be resampled, widened and padded."""
    noise = np.random.default_rng(0).normal(0, 0.1, 88_200)
    file = io.BytesIO()
    soundfile.write(file, noise, 44_100, format="OGG")
    return base64.b64encode(file.getvalue()).decode()
