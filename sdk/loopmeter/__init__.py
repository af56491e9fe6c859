"""Loopmeter: music loops on tap, with the price before the call."""

from loopmeter._models import LAYERS, Layer, LoopRequest, Quality, Solver

__all__ = ["LAYERS", "Layer", "LoopRequest", "Quality", "Solver"]
