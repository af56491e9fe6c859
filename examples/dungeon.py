"""A small pygame game whose music follows it. Walk with the arrow keys; near the dragon it gets tense, then it fights.

    pip install 'loopmeter[play]'
    loopmeter bake examples/music.toml -o dungeon
    python examples/dungeon.py dungeon

The pad always sounds; chords and drums come in as the dragon gets near. In its reach the music goes to ``battle`` on
the next bar, and back on the next phrase once it is left behind. Each coin rings on the beat.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path

import pygame

from loopmeter.adaptive import AdaptivePlayer, Arrangement, Event, PackSource, PygameOutput, SectionStarted
from loopmeter.bake import Pack, PackDamaged

SIZE = (480, 320)
SPEED = 140.0  # pixels a second
REACH = 90.0  # pixels from the dragon at which the battle begins
FEAR = 300.0  # pixels at which its nearness can first be heard
HERO, DRAGON, COIN, FLOOR, INK = (90, 190, 255), (255, 90, 70), (255, 210, 70), (24, 22, 34), (225, 225, 235)


@dataclass
class Dungeon:
    """The game without its pictures and sounds."""

    hero: pygame.Vector2 = field(default_factory=lambda: pygame.Vector2(40, 160))
    dragon: pygame.Vector2 = field(default_factory=lambda: pygame.Vector2(400, 160))
    coins: list[pygame.Vector2] = field(default_factory=lambda: [pygame.Vector2(x, 60) for x in (80, 160, 240)])

    def walk(self, direction: pygame.Vector2, seconds: float) -> int:
        """Move the hero; how many coins were picked up."""
        if direction.length() > 0:
            self.hero += direction.normalize() * SPEED * seconds
        self.hero.x = min(max(self.hero.x, 10), SIZE[0] - 10)
        self.hero.y = min(max(self.hero.y, 10), SIZE[1] - 40)
        left = [coin for coin in self.coins if coin.distance_to(self.hero) > 16]
        found = len(self.coins) - len(left)
        self.coins = left
        return found

    @property
    def fighting(self) -> bool:
        return self.hero.distance_to(self.dragon) < REACH

    @property
    def tension(self) -> float:
        """0 far from the dragon, 1 beside it."""
        return min(1.0, max(0.0, 1 - self.hero.distance_to(self.dragon) / FEAR))


class Music:
    """What the game tells its music."""

    def __init__(self, player: AdaptivePlayer) -> None:
        self._player = player
        self._fighting = False
        self.heard = "…"

    def follow(self, dungeon: Dungeon, coins: int) -> tuple[Event, ...]:
        self._player.intensity = dungeon.tension
        if dungeon.fighting != self._fighting:
            self._fighting = dungeon.fighting
            if self._fighting:
                self._player.go_to("battle", at="bar")
            else:
                self._player.go_to("explore", at="phrase")
        if coins:
            self._player.sting("found", at="beat")
        events = self._player.poll()
        for event in events:
            if isinstance(event, SectionStarted):
                self.heard = event.take.name
        return events


def draw(screen: pygame.Surface, font: pygame.font.Font, dungeon: Dungeon, music: Music) -> None:
    screen.fill(FLOOR)
    pygame.draw.circle(screen, (60, 30, 40), dungeon.dragon, REACH, width=1)
    pygame.draw.circle(screen, DRAGON, dungeon.dragon, 16 + 2 * math.sin(pygame.time.get_ticks() / 200))
    for coin in dungeon.coins:
        pygame.draw.circle(screen, COIN, coin, 6)
    pygame.draw.circle(screen, HERO, dungeon.hero, 10)
    screen.blit(font.render(f"music: {music.heard}", True, INK), (12, SIZE[1] - 28))
    pygame.draw.rect(screen, INK, (300, SIZE[1] - 24, 160, 10), width=1)
    pygame.draw.rect(screen, DRAGON, (300, SIZE[1] - 24, round(160 * dungeon.tension), 10))


def pressed() -> pygame.Vector2:
    keys = pygame.key.get_pressed()
    return pygame.Vector2(keys[pygame.K_RIGHT] - keys[pygame.K_LEFT], keys[pygame.K_DOWN] - keys[pygame.K_UP])


def play(folder: Path) -> None:
    pack = Pack(folder)
    pygame.init()
    screen = pygame.display.set_mode(SIZE)
    pygame.display.set_caption("Dungeon")
    font, clock = pygame.font.Font(None, 24), pygame.time.Clock()
    dungeon = Dungeon()
    with AdaptivePlayer(Arrangement.from_pack(pack, start="explore"), PackSource(pack), PygameOutput()) as player:
        music = Music(player)
        while not pygame.event.get(pygame.QUIT):
            pygame.event.pump()
            coins = dungeon.walk(pressed(), clock.tick(60) / 1000)
            music.follow(dungeon, coins)
            draw(screen, font, dungeon, music)
            pygame.display.flip()
    pygame.quit()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A small game with adaptive music.")
    arguments.add_argument("pack", type=Path, help="folder made by: loopmeter bake examples/music.toml -o FOLDER")
    try:
        play(arguments.parse_args().pack)
    except PackDamaged as error:
        raise SystemExit(f"dungeon: {error}") from None
