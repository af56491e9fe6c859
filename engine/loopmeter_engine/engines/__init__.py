"""Engines of other people's models, one small package each. None is imported before it is asked for by name."""
