"""Exact bars from sound that drifts: ``beats.py`` and ``bars.py`` hear, ``splice.py`` moves, ``place.py`` does both."""

from loopmeter_engine.conform.place import CannotConform, ConformReport, conform
from loopmeter_engine.conform.retry import Conformed, conform_one_of

__all__ = ["CannotConform", "ConformReport", "Conformed", "conform", "conform_one_of"]
