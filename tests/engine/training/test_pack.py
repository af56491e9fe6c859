"""Training on a bare machine: the archive holds all that it imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from loopmeter_engine.training.pack import pack

PROGRAM = """
import sys
for name in ("soundfile", "mido", "pydantic", "httpx", "tenacity", "click"):
    sys.modules[name] = None
import loopmeter_engine.training.corpus as corpus
import loopmeter_engine.training.train_autoencoder, loopmeter_engine.training.train_transformer
import loopmeter_engine.weights_io
from loopmeter_engine.text.encoder import TextEncoder
print(corpus.__file__, TextEncoder.load().encode(["a warm pad"]).shape)
"""


def test_training_runs_from_the_archive_without_the_sdk_and_its_dependencies(tmp_path: Path) -> None:
    bundle = tmp_path / "made"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    size = pack(tmp_path / "training.tar", bundle)
    assert 1e6 < size < 25e6, "the text encoder and code"
    with tarfile.open(tmp_path / "training.tar") as tar:
        tar.extractall(tmp_path / "bare", filter="data")
    assert (tmp_path / "bare" / "bundle" / "manifest.json").read_text() == "{}"

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "bare")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=60)

    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "bare") in done.stdout and "[1, 384]" in done.stdout
