"""What baking and packs raise, below ``LoopmeterError``.

LoopmeterError
├── InvalidMusicFile    music.toml is wrong; the message names the table and the field
└── PackDamaged         a pack's manifest or one of its files is missing, changed or unreadable
"""

from __future__ import annotations

from loopmeter._exceptions import LoopmeterError


class InvalidMusicFile(LoopmeterError):
    """The list of music is wrong: what was expected, what was found, and where. Nothing was asked or charged."""


class PackDamaged(LoopmeterError):
    """A pack cannot be read as it was baked. Bake it again: what is undamaged costs nothing."""
