"""The example game runs, and its music follows it: SDL's own drivers stand in for the screen and the speaker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.sdk.adaptive_sounds import LateExecutor

from loopmeter.adaptive import (
    AdaptivePlayer,
    Arrangement,
    Event,
    LayersChanged,
    PackSource,
    RecordingOutput,
    SectionStarted,
    StingerStarted,
)
from loopmeter.bake import Pack, bake, load_music, plan_bake
from loopmeter.testing import FakeGateway

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    with FakeGateway().client() as client:
        plan = plan_bake(client, load_music(EXAMPLES / "music.toml"), tmp_path_factory.mktemp("music") / "dungeon")
        return bake(client, plan, max_tokens=8000)


def test_the_music_follows_a_walk_to_the_dragon_and_back(pack: Pack) -> None:
    """Played without a picture: sixty steps a second, each with its share of sound."""
    import pygame
    from examples.dungeon import Dungeon, Music

    output, loader = RecordingOutput(), LateExecutor(lambda: 0.0)
    dungeon = Dungeon()
    events: list[Event] = []
    arrangement = Arrangement.from_pack(pack, start="explore")
    with AdaptivePlayer(arrangement, PackSource(pack), output, loader=loader) as player:
        music = Music(player)
        route = [(0, -1)] * 43 + [(1, 0)] * 120 + [(0, 1)] * 43 + [(1, 0)] * 90 + [(-1, 0)] * 240 + [(0, 0)] * 300
        for step in route:
            loader.run_due()
            coins = dungeon.walk(pygame.Vector2(step), 1 / 60)
            events += music.follow(dungeon, coins)
            output.advance(735)

    started = [(event.take.name, event.frame) for event in events if isinstance(event, SectionStarted)]
    assert [name for name, _ in started] == ["explore", "battle", "explore"]
    assert all(frame % 88_200 == 0 for _, frame in started)  # Bars of 2 s at 120 bpm; the phrase is the loop's end.
    assert sum(isinstance(event, StingerStarted) for event in events) == 3
    assert any(isinstance(event, LayersChanged) for event in events)
    loudest = np.abs(output.sound()).max(axis=1).reshape(-1, 735).max(axis=1)
    assert loudest.min() > 0


RUN = """
import threading, pygame
from pathlib import Path
from examples import dungeon
drawn, draw = 0, dungeon.draw
def draw_and_look(screen, font, game, music):
    global drawn
    draw(screen, font, game, music)
    drawn += 1
    if music.heard == "explore" and drawn > 30:
        pygame.image.save(screen, {picture!r})
        pygame.event.post(pygame.event.Event(pygame.QUIT))
dungeon.draw = draw_and_look
dungeon.play(Path({pack!r}))
"""


def test_the_game_runs_from_start_to_quit_and_shows_its_picture(pack: Pack, tmp_path: Path) -> None:
    picture = tmp_path / "dungeon.png"
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    code = RUN.format(picture=str(picture), pack=str(pack.folder))
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60, cwd=EXAMPLES.parent)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert shows(picture, (90, 190, 255)) and shows(picture, (255, 90, 70)) and shows(picture, (255, 210, 70))


def shows(picture: Path, colour: tuple[int, int, int]) -> bool:
    """Whether a colour covers at least 40 pixels."""
    from matplotlib.image import imread

    pixels = np.rint(imread(picture)[:, :, :3] * 255).astype(int)
    return int(np.all(pixels == colour, axis=2).sum()) >= 40


def test_without_a_pack_the_game_says_how_to_make_one(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "dungeon.py"), str(tmp_path / "nothing")]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert said.returncode == 1
    assert said.stderr.startswith("dungeon: expected a pack at") and "make one with 'loopmeter bake'" in said.stderr
