"""Who ducks under the beat, and how far: the side-chain pumping of club music, stated once.

The synthesisers of the training data duck whole stems so; ``model.players`` ducks what it has learned of single notes.
"""

from __future__ import annotations

from loopmeter import Layer

DEPTH_BY_GENRE = {"house": 0.5, "techno": 0.5, "trance": 0.65, "disco": 0.2, "synthwave": 0.4}
SHARE_BY_LAYER: dict[Layer, float] = {"bass": 0.8, "chords": 0.7, "pad": 1.0}
ATTACK_S = 0.006  # From each beat to the deepest point, along a sine squared.
RECOVER_BEATS = 0.6  # And back, along a sine squared to the power of ``RECOVER_POWER``.
RECOVER_POWER = 0.8
