"""Length: every loop of the shipped engine has ``round(bars * beats * 60 / bpm * 44100)`` frames."""

from __future__ import annotations

import random

import pytest

from loopmeter import LoopRequest
from loopmeter_engine.engine import LoopmeterEngine
from loopmeter_engine.testing import make_all

PAIRS = 200
SEED = 20_251


@pytest.fixture(scope="module")
def engine() -> LoopmeterEngine:
    return LoopmeterEngine()


def random_pairs() -> list[tuple[float, int]]:
    """Tempos of all kinds, whole ones too; bars from 1 to as many as fit into 300 s, short loops as often as long."""
    choose = random.Random(SEED)
    pairs = []
    for _ in range(PAIRS):
        tempo_bpm = choose.choice([choose.uniform(40, 240), float(choose.randint(40, 240))])
        most = min(256, int(300 * tempo_bpm / 60 / 4))
        pairs.append((tempo_bpm, min(most, round(2 ** choose.uniform(0, 8)))))
    return pairs


def test_the_plan_of_200_random_loops_is_exact(engine: LoopmeterEngine) -> None:
    wrong = []
    for tempo_bpm, bars in random_pairs():
        plan = engine.plan(LoopRequest(prompt="drums", tempo_bpm=tempo_bpm, bars=bars, layers=("drums",)))
        if not plan.frames == sum(plan.chunk_frames) == round(bars * 4 * 60 / tempo_bpm * 44_100):
            wrong.append((tempo_bpm, bars, plan.frames))

    assert wrong == []


@pytest.mark.parametrize(
    ("tempo_bpm", "bars", "beats_per_bar"),
    [(240.0, 1, 2), (171.7, 1, 4), (59.94, 1, 3), (133.3, 2, 5)],
    ids=lambda value: f"{value:g}",
)
def test_the_sound_is_as_long_as_planned(
    engine: LoopmeterEngine, tempo_bpm: float, bars: int, beats_per_bar: int
) -> None:
    request = LoopRequest(prompt="lo-fi", tempo_bpm=tempo_bpm, bars=bars, beats_per_bar=beats_per_bar)
    chunks = make_all(engine, request)

    frames = round(bars * beats_per_bar * 60 / tempo_bpm * 44_100)
    assert sum(chunk.frames for chunk in chunks) == frames
    assert sum(len(chunk.pcm) for chunk in chunks) == frames * 2
