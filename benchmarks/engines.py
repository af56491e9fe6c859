"""Engines of other people's models, and engines that die: ``python -m benchmarks.engines`` prints a table.

ACE-Step is measured with random weights of a sixteenth of its width, so the ratios say what our way of streaming costs
and gains, not how fast the model is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from benchmarks import table
from benchmarks.tiny_ace_step import save_tiny

from loopmeter import LoopRequest
from loopmeter_engine.engines.ace_step import AceStepEngine
from loopmeter_engine.remote.client import RemoteEngine
from loopmeter_engine.testing import make_all

ROUNDS = 3
KILLS = 5
REQUEST = LoopRequest(prompt="benchmark", tempo_bpm=120, bars=8, steps=8, guidance=1.0)  # 16 s
_SERVE = "from loopmeter._cli import main; main()"


class Row(NamedTuple):
    """One figure."""

    what: str
    figure: str
    bar: str


def measure() -> list[Row]:
    """Takes about a minute."""
    return [*_ace_step(), _killed()]


def _ace_step() -> list[Row]:
    """The engine's whole loop and first chunk, over one call of the pipeline for as much sound."""
    with tempfile.TemporaryDirectory() as folder:
        engine = AceStepEngine(save_tiny(Path(folder) / "checkpoint", width=128), device="cpu")
        ratios, firsts = [], []
        for round_ in range(ROUNDS + 1):
            request = engine.plan(REQUEST.model_copy(update={"seed": round_})).request
            asked = engine.asked(request)
            began = time.perf_counter()
            engine.pipeline(
                **asked.words,
                num_inference_steps=asked.steps,
                guidance_scale=asked.guidance,
                generator=torch.Generator().manual_seed(round_),
                output_type="pt",
            )
            whole_s = time.perf_counter() - began
            began = time.perf_counter()
            next(iter(engine.lease(request, 0, 1, None)))
            first_s = time.perf_counter() - began
            # The first chunk's latents are kept; they are counted once, with the first chunk.
            began = time.perf_counter()
            make_all(engine, request)
            rest_s = time.perf_counter() - began
            if round_ > 0:  # The first one warms up.
                ratios.append((first_s + rest_s) / whole_s)
                firsts.append(first_s / whole_s)
    return [
        Row(
            "ACE-Step, 16 s: time of our stream over the pipeline's one call",
            f"{statistics.median(ratios):.2f} x",
            "1 x",
        ),
        Row("ACE-Step, 16 s: first chunk over the pipeline's one call", f"{statistics.median(firsts):.2f} x", "< 1 x"),
    ]


def _killed() -> Row:
    """The longest wait for a chunk when the engine process is killed and started again at once."""
    gaps, starts = [], []
    for _ in range(KILLS):
        process, url, _ = _start("0")
        remote = RemoteEngine(url)
        request = LoopRequest(prompt="x", tempo_bpm=120, bars=4)
        stream = remote.lease(request, 0, 8, None)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # A generator, as the contract says.
        process.kill()
        process.wait()
        began = time.perf_counter()
        process, url, start_s = _start(url.rpartition(":")[2])
        next(iter(remote.lease(request, 1, 1, None)))
        gaps.append(time.perf_counter() - began)
        starts.append(start_s)
        remote.close()
        process.kill()
        process.wait()
    what = "engine process killed (-9) and started again: gap between two chunks, and how much of it is the start"
    return Row(what, f"{statistics.median(gaps):.2f} s, {statistics.median(starts):.2f} s", "2 s")


def _start(port: str) -> tuple[subprocess.Popen[str], str, float]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, "engine", "serve", "--engine", "fake", "--port", port],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, line.removeprefix("listening on ").strip(), time.perf_counter() - began


if __name__ == "__main__":
    print(table.plain(Row._fields, measure()))
