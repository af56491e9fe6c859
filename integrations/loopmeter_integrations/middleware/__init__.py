"""A baked pack for FMOD Studio and Wwise: stems with a marker on every bar, and what to set when importing them.

``_markers.py`` puts cue points into WAV files, ``_sheets.py`` writes the sheets, ``_program.py`` is ``loopmeter adapter
fmod`` and ``loopmeter adapter wwise``. The pack comes from ``loopmeter bake``; nothing is made or paid here.
"""

from loopmeter_integrations.middleware._markers import bar_frames, with_markers
from loopmeter_integrations.middleware._sheets import fmod_sheet, wwise_sheet

__all__ = ["bar_frames", "fmod_sheet", "with_markers", "wwise_sheet"]
