"""Bridges into DAWs and games, over the SDK."""
