"""Synthesisers that play a score as training audio: numpy and scipy alone; recorded instruments beside them if asked.

Reading order: ``render`` (score to stems), ``instrument``, ``oscillators``, ``envelopes``, ``effects``, then the
families: ``drums`` (``drum_voices``, ``drum_kits``), ``bass``, ``keys``, ``leads``, ``pads``, ``fx``; ``levels`` is the
gain plan. Recordings: ``soundfont`` reads them, ``bundle`` holds them, ``sampled`` plays them; ``tape`` colours whole
loops.
"""

from loopmeter_engine.training.synth.oscillators import SAMPLE_RATE_HZ
from loopmeter_engine.training.synth.render import render_stems

__all__ = ["SAMPLE_RATE_HZ", "render_stems"]
