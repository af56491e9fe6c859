"""Stable Audio 3 behind the engine contract, through diffusers.

Reading order: ``checkpoint.py`` checks the weights, ``asking.py`` turns a request into what the pipelines are
asked, ``flops.py`` predicts, ``engine.py`` puts them together over ``windowed.py``.
"""

from loopmeter_engine.engines.stable_audio.engine import StableAudioEngine

__all__ = ["StableAudioEngine"]
