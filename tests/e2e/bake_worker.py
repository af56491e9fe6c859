"""A process that bakes a list of music and prints one line per chunk, so that a test can kill it in the middle."""

from __future__ import annotations

import sys

from loopmeter import Loopmeter
from loopmeter.bake import bake, load_music, plan_bake

if __name__ == "__main__":
    music, folder = sys.argv[1:]
    with Loopmeter() as client:
        plan = plan_bake(client, load_music(music), folder)
        bake(client, plan, on_chunk=lambda planned, meter: print(planned.item.file_stem, meter.index, flush=True))
