"""MusicGen behind the engine contract, through transformers: tokens one after another, sound as they come.

Its code is MIT, its weights are CC-BY-NC 4.0: the sound must not be sold, and no plan sells it that does not name it.
Reading order: ``checkpoint.py`` checks the weights, ``tokens.py`` makes audio codes step by step,
``codec.py`` turns them into sound, ``flops.py`` predicts, ``engine.py`` puts them together.
"""

from loopmeter_engine.engines.musicgen.engine import MusicGenEngine

__all__ = ["MusicGenEngine"]
