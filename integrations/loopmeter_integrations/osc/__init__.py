"""Loops for anything that speaks OSC: one message in, a WAV and a MIDI file out.

``run`` is the program behind ``loopmeter bridge``; ``serve_osc`` runs the same inside an event loop. The protocol is a
table in ``_addresses.py``; ``_codec.py`` reads datagrams, ``_schedule.py`` keeps time, ``_bridge.py`` dispatches,
``_work.py`` makes loops over the SDK.
"""

from loopmeter_integrations.osc._server import BridgeError, parse_listen, run, serve_osc

__all__ = ["BridgeError", "parse_listen", "run", "serve_osc"]
