"""A game's list of music rendered into a folder of files: ``loopmeter bake music.toml``, and the same from Python.

    from loopmeter import Loopmeter
    from loopmeter.bake import bake, load_music, plan_bake

    with Loopmeter() as client:
        plan = plan_bake(client, load_music("music.toml"), "music")
        print(plan.tokens)  # the whole price; nothing is held yet
        pack = bake(client, plan, max_tokens=5000)

Reading order: ``_music.py`` (what is wanted), ``_plan.py`` (what is missing, and its price), ``_bake.py`` (making it),
``_manifest.py`` and ``_pack.py`` (what lies in the folder).
"""

from loopmeter.bake._bake import bake
from loopmeter.bake._disclosure import DISCLOSURE_NAME, disclosure
from loopmeter.bake._exceptions import InvalidMusicFile, PackDamaged
from loopmeter.bake._game_wav import game_wav
from loopmeter.bake._manifest import MANIFEST_NAME, Manifest, PackFile, PackLoop, StoredFile
from loopmeter.bake._music import BakeItem, Music, MusicLoop, PackOptions, load_music, parse_music
from loopmeter.bake._pack import Pack
from loopmeter.bake._plan import BakePlan, PlannedItem, plan_bake

__all__ = [
    "DISCLOSURE_NAME",
    "MANIFEST_NAME",
    "BakeItem",
    "BakePlan",
    "InvalidMusicFile",
    "Manifest",
    "Music",
    "MusicLoop",
    "Pack",
    "PackDamaged",
    "PackFile",
    "PackLoop",
    "PackOptions",
    "PlannedItem",
    "StoredFile",
    "bake",
    "disclosure",
    "game_wav",
    "load_music",
    "parse_music",
    "plan_bake",
]
