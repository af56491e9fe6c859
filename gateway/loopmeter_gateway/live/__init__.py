"""Endless sessions: ``terms`` (what they cost), ``records`` (what is durable), ``session``, ``sessions``."""
