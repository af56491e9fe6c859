"""Loopmeter in Ableton Live: a remote script. Live calls ``create_instance`` when it is chosen as a control surface.

Live runs scripts in its own Python, without packages; so this folder needs nothing but the standard library, and reads
the few OSC messages of the bridge itself.
"""


def create_instance(c_instance):
    """What Live asks every remote script for."""
    from .surface import LoopmeterSurface

    return LoopmeterSurface(c_instance)
