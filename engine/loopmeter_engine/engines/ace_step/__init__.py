"""ACE-Step 1.5 (MIT) behind the engine contract, through diffusers.

Reading order: ``checkpoint.py`` checks the weights, ``asking.py`` turns a request into what the pipeline is
asked, ``pipeline.py`` asks it, ``flops.py`` predicts, ``engine.py`` puts them together over ``windowed.py``.
"""

from loopmeter_engine.engines.ace_step.engine import AceStepEngine

__all__ = ["AceStepEngine"]
